package consul_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/consul"
)

// holderConsul names, in the environment of a copy of this test binary that is to hold a lock, the agent that it asks;
// holderPrefix the store's prefix.
const (
	holderConsul = "TRICOT_TEST_HOLDER_CONSUL"
	holderPrefix = "TRICOT_TEST_HOLDER_PREFIX"
)

// runAsHolder is what such a copy does: it takes the lock "a" and says so, and for each line that it reads it writes the
// record certs/a under the lock, over the version in the line, and says what came of it. At the end it waits to lose it.
func runAsHolder() bool {
	address := os.Getenv(holderConsul)
	if address == "" {
		return false
	}
	fail := func(err error) {
		if err != nil {
			fmt.Println("the holder failed:", err)
			os.Exit(1)
		}
	}
	config := api.DefaultConfig()
	config.Address = address
	client, err := api.NewClient(config)
	fail(err)
	s, err := consul.Open(consul.Options{Client: client, Prefix: os.Getenv(holderPrefix), SessionTTL: ttl})
	fail(err)
	held, err := s.Lock(context.Background(), "a")
	fail(err)
	fmt.Println("held")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		_, err := held.Save(context.Background(), store.Record{Key: "certs/a", Value: []byte("holder"), Version: lines.Text()})
		switch {
		case err == nil:
			fmt.Println("saved")
		case errors.Is(err, store.ErrLockLost):
			fmt.Println("lock lost")
		default:
			fmt.Println(err)
		}
	}
	<-held.Lost()
	fmt.Println("it knows")
	fail(held.Unlock(context.Background()))
	fmt.Println("unlocked")
	return true
}

// A holder is such a copy.
type holder struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startHolder(t *testing.T, address string) *holder {
	t.Helper()
	h := &holder{Cmd: exec.Command(os.Args[0])}
	h.Env = append(os.Environ(), holderConsul+"="+address, holderPrefix+"="+prefix(t))
	h.Stderr = os.Stderr
	var err error
	h.in, err = h.StdinPipe()
	require.NoError(t, err)
	out, err := h.StdoutPipe()
	require.NoError(t, err)
	h.out = bufio.NewScanner(out)
	require.NoError(t, h.Start())
	t.Cleanup(func() {
		_ = h.Process.Kill()
		_ = h.Wait()
	})
	return h
}

// says is the next line that it says.
func (h *holder) says(t *testing.T) string {
	t.Helper()
	line := make(chan string, 1)
	go func() {
		h.out.Scan()
		line <- h.out.Text()
	}()
	return closed(t, line, "the holder says nothing")
}

func TestLock_OfAHolderThatIsFrozenPassesOnAndTheThawedOneWritesNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		until func(*testing.T, store.Lock) // it thaws
	}{
		{"while-another-holds-it", func(*testing.T, store.Lock) {}},
		{"after-another-gave-it-back", func(t *testing.T, next store.Lock) { require.NoError(t, next.Unlock(t.Context())) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			agent := shared.Agent(t)
			s := open(t, agent, consul.Options{})
			h := startHolder(t, agent.HTTP)
			require.Equal(t, "held", h.says(t))
			_, err := fmt.Fprintln(h.in, "")
			require.NoError(t, err)
			require.Equal(t, "saved", h.says(t))

			require.NoError(t, h.Process.Signal(syscall.SIGSTOP))
			next := lock(t, s, "a")
			there, err := s.Load(t.Context(), "certs/a")
			require.NoError(t, err)
			test.until(t, next)
			// Its first act when it thaws is to write over a version that is right: only the lock is in its way.
			_, err = fmt.Fprintln(h.in, there.Version)
			require.NoError(t, err)
			require.NoError(t, h.Process.Signal(syscall.SIGCONT))
			assert.Equal(t, "lock lost", h.says(t))
			require.NoError(t, h.in.Close())
			assert.Equal(t, "it knows", h.says(t))
			assert.Equal(t, "unlocked", h.says(t))

			after, err := s.Load(t.Context(), "certs/a")
			require.NoError(t, err)
			assert.Equal(t, there, after, "the thawed one wrote")
			select {
			case <-next.Lost():
				require.Fail(t, "the thawed one took the lock away")
			default:
			}
		})
	}
}

func TestLock_OfAHolderThatDiedPassesOn(t *testing.T) {
	t.Parallel()
	agent := shared.Agent(t)
	h := startHolder(t, agent.HTTP)
	require.Equal(t, "held", h.says(t))
	require.NoError(t, h.Process.Kill())
	next := lock(t, open(t, agent, consul.Options{}), "a")
	require.NoError(t, next.Unlock(t.Context()))
}
