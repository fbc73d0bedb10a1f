package acme

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	protocol "github.com/mholt/acmez/v3/acme"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/acme/acmetest"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/dir"
)

func opened(t testing.TB, path string) store.Store {
	s, err := dir.Open(dir.Options{Dir: path, Poll: 500 * time.Millisecond})
	require.NoError(t, err)
	return s
}

func TestSweep_RemovesChallengesThatNobodyCanHaveAnOrderForAnyMore(t *testing.T) {
	at := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, at)
		put := func(token, answer string) {
			there, _ := s.Load(t.Context(), "challenge/"+token)
			_, err := s.Save(t.Context(), store.Record{Key: "challenge/" + token, Value: []byte(answer), Version: there.Version})
			require.NoError(t, err)
		}
		there := func(token string) bool {
			_, err := s.Load(t.Context(), "challenge/"+token)
			return err == nil
		}
		i, err := New(Options{Store: s, Email: "ops@example.com"})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		put("old", "1")
		put("reused", "1")
		go func() { ended <- i.Run(ctx) }()
		<-time.After(staleAfter / 2)
		put("new", "1")
		put("reused", "2")
		<-time.After(staleAfter/2 + time.Minute)
		assert.False(t, there("old"))
		assert.True(t, there("new"))
		assert.True(t, there("reused"))
		<-time.After(staleAfter)
		assert.False(t, there("new"))
		assert.False(t, there("reused"))
		cancel()
		require.NoError(t, <-ended)
	})
}

func TestLook_FollowsAWindowThatMoves(t *testing.T) {
	t.Parallel()
	ca, s := acmetest.Start(t, acmetest.Options{}), opened(t, t.TempDir())
	ca.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		record, _ := s.Load(r.Context(), "challenge/"+path.Base(r.URL.Path))
		_, _ = w.Write(record.Value)
	}))
	now := time.Now()
	i, err := New(Options{
		Directory: ca.Directory(), CACert: ca.CACert(), Email: "ops@example.com", Store: s, Settle: -1,
		Now: func() time.Time { return now },
	})
	require.NoError(t, err)
	pair, err := i.Issue(t.Context(), "a.example.com")
	require.NoError(t, err)
	block, _ := pem.Decode(pair.Chain)
	leaf, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	require.Zero(t, i.RenewAt("a.example.com", leaf))
	r := i.renewals.due(now)
	require.NotNil(t, r)
	for _, start := range []time.Time{now.Add(24 * time.Hour), now.Add(time.Hour)} {
		ca.SetRenewalWindow(leaf, start, start.Add(10*time.Hour), "")
		require.Nil(t, i.look(t.Context(), r))
		at := i.RenewAt("a.example.com", leaf)
		assert.WithinDuration(t, start.Add(time.Duration(shareOf(leaf)*float64(10*time.Hour))), at, time.Millisecond)
		assert.Equal(t, now.Add(6*time.Hour), r.look, "as Retry-After says")
	}
	before := i.RenewAt("a.example.com", leaf)
	ca.SetRenewalWindow(leaf, now, now, "")
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360} {
		assert.ErrorContains(t, i.look(t.Context(), r), "no window that can be used")
		assert.GreaterOrEqual(t, r.look.Sub(now), pause*time.Minute)
		assert.LessOrEqual(t, r.look.Sub(now), pause*time.Minute*5/4)
	}
	assert.Equal(t, before, i.RenewAt("a.example.com", leaf), "what was known is known still")
}

func TestDue_DropsWhatNobodyAsksForAndWhatHasExpired(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var r renewals
	r.init()
	for id, one := range map[string]renewal{
		"forgotten": {asked: now.Add(-unaskedFor - 1), ends: now.Add(time.Hour)},
		"expired":   {asked: now, ends: now},
		"later":     {asked: now, ends: now.Add(time.Hour), look: now.Add(time.Minute)},
	} {
		r.byID[id] = &one
	}
	assert.Nil(t, r.due(now))
	assert.Len(t, r.byID, 1)
	assert.Equal(t, time.Minute, r.wait(now))
	assert.NotNil(t, r.due(now.Add(time.Minute)))
}

func TestHTTPChallenge_IsOneThatCanBeAnswered(t *testing.T) {
	t.Parallel()
	_, err := httpChallenge(pending("http-01", "abc-DEF_123"))
	require.NoError(t, err)
	for _, token := range []string{"", "../secret", "a.b", "a b", strings.Repeat("a", 256)} {
		_, err := httpChallenge(pending("http-01", token))
		assert.ErrorContains(t, err, "a token that is none", token)
	}
	_, err = httpChallenge(pending("dns-01", "abc"))
	assert.ErrorContains(t, err, "offers no http-01 challenge")
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "120", "-1", "1e9", "99999999999999999999", "Fri, 31 Dec 1999 23:59:59 GMT", "x"} {
		f.Add(seed)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, value string) {
		until := retryAfter(http.Header{"Retry-After": {value}}, now)
		if !until.IsZero() && (until.Before(now) || until.After(now.Add(maxRetryAfter))) {
			t.Fatalf("%q: %v", value, until)
		}
		if until := limitedUntil("retry after "+value, now); until.Before(now) || until.After(now.Add(maxRetryAfter)) {
			t.Fatalf("%q: %v", value, until)
		}
		if line := oneLine(value); strings.ContainsAny(line, "\n\r\x1b") || len(line) > maxText+len("…") {
			t.Fatalf("%q: %q", value, line)
		}
	})
}

func FuzzKey(f *testing.F) {
	key, err := P256.generate()
	require.NoError(f, err)
	inPEM, err := encodeKey(key)
	require.NoError(f, err)
	f.Add(string(inPEM))
	f.Add("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, inPEM string) {
		key, err := decodeKey(inPEM)
		if (key == nil) == (err == nil) || err != nil && len(inPEM) > 40 && strings.Contains(err.Error(), inPEM) {
			t.Fatalf("%q: %v, %v", inPEM, key, err)
		}
	})
}

func FuzzRenewalInformation(f *testing.F) {
	f.Add(`{"suggestedWindow":{"start":"2025-01-02T04:00:00Z","end":"2025-01-03T04:00:00Z"},"explanationURL":"https://a"}`)
	f.Add(`{"suggestedWindow":{"end":"2025-01-02T04:00:00Z","start":"2025-01-03T04:00:00Z"}}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		info, err := decodeInfo([]byte(body))
		if err == nil && !info.SuggestedWindow.Start.Before(info.SuggestedWindow.End) {
			t.Fatalf("%q: %v", body, info)
		}
	})
}

func pending(kind, token string) protocol.Authorization {
	return protocol.Authorization{
		Status: protocol.StatusPending, Challenges: []protocol.Challenge{{Type: kind, Token: token}},
	}
}
