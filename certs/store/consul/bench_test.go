package consul_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
)

// certificate is about as large as one with its chain and its key.
var certificate = make([]byte, 8<<10)

func benchmarked(b *testing.B) *consul.Store {
	s, err := consul.Open(consul.Options{Client: shared.Agent(b).Client(), Prefix: fmt.Sprintf("%s-%d/", b.Name(), b.N)})
	require.NoError(b, err)
	b.ReportAllocs()
	return s
}

func BenchmarkStore_SavesUnderALock(b *testing.B) {
	s := benchmarked(b)
	var record store.Record
	for b.Loop() {
		held, err := s.Lock(b.Context(), "a")
		require.NoError(b, err)
		record, err = held.Save(b.Context(), store.Record{Key: "certs/a", Value: certificate, Version: record.Version})
		require.NoError(b, err)
		require.NoError(b, held.Unlock(b.Context()))
	}
	_ = s.Delete(b.Context(), "certs/a")
}

func BenchmarkStore_Loads(b *testing.B) {
	s := benchmarked(b)
	_, _ = s.Save(b.Context(), store.Record{Key: "certs/a", Value: certificate})
	for b.Loop() {
		_, err := s.Load(b.Context(), "certs/a")
		require.NoError(b, err)
	}
}

// From the write of one certificate among a thousand to its being told.
func BenchmarkFollow_TellsAChangeAmongAThousand(b *testing.B) {
	s := benchmarked(b)
	var record store.Record
	for i := range 1000 {
		saved, err := s.Save(b.Context(), store.Record{Key: fmt.Sprintf("certs/%03d", i), Value: certificate})
		if err != nil { // there from a run before
			saved, err = s.Load(b.Context(), fmt.Sprintf("certs/%03d", i))
		}
		require.NoError(b, err)
		record = saved
	}
	ctx, cancel := context.WithCancel(b.Context())
	told := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Follow(ctx, "certs/", func(records []store.Record) { told <- records[len(records)-1].Version })
	}()
	<-told
	for b.Loop() {
		saved, err := s.Save(b.Context(), record)
		require.NoError(b, err)
		for version := range told {
			if version == saved.Version {
				break
			}
		}
		record = saved
	}
	cancel()
	<-ended
}
