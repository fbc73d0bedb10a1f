package compress

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A step of a handler: content to write, then perhaps a flush.
type step struct {
	content []byte
	flush   bool
}

// A script is what one handler does. The client says on seen that it has decoded everything up to a flush, and only
// then the handler goes on: so whatever a flush holds back stops both.
type script struct {
	steps    []step
	declared bool // whether it says its Content-Length
	seen     chan struct{}
}

func newScript(random *rand.Rand) *script {
	s := &script{declared: random.IntN(3) == 0, seen: make(chan struct{})}
	for range 1 + random.IntN(12) {
		content := make([]byte, random.IntN(1<<random.IntN(17)))
		switch random.IntN(3) {
		case 0: // noise, which no coding makes smaller
			for i := range content {
				content[i] = byte(random.Uint32())
			}
		case 1: // a run
		default:
			copy(content, page(len(content)))
		}
		s.steps = append(s.steps, step{content, random.IntN(3) == 0})
	}
	s.steps = append(s.steps, step{content: []byte("the end")})
	if s.declared {
		s.steps = append(s.steps, step{content: make([]byte, DefaultMinLength)})
	}
	return s
}

func (s *script) content() (all []byte) {
	for _, step := range s.steps {
		all = append(all, step.content...)
	}
	return all
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if s.declared {
		w.Header().Set("Content-Length", strconv.Itoa(len(s.content())))
	}
	for _, step := range s.steps {
		if _, err := w.Write(step.content); err != nil {
			panic(http.ErrAbortHandler)
		}
		if !step.flush {
			continue
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(http.ErrAbortHandler)
		}
		select {
		case <-s.seen:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// follow decodes what the script writes, up to each flush as soon as it has happened.
func (s *script) follow(t *testing.T, body io.Reader) {
	var want []byte
	for i, step := range s.steps {
		want = append(want, step.content...)
		if !step.flush {
			continue
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(body, got); !assert.NoError(t, err, "up to step %d", i) {
			return
		}
		assert.True(t, string(want) == string(got), "content up to step %d", i)
		want = nil
		s.seen <- struct{}{}
	}
	got, err := io.ReadAll(body)
	assert.NoError(t, err)
	assert.True(t, string(want) == string(got), "content after the last flush")
}

func TestRoundTrip_DecodesToTheOriginalAndUpToEachFlush(t *testing.T) {
	eachWay(t, func(t *testing.T, protocol string, c coding) {
		var scripts sync.Map
		server := serve(t, protocol, Options{}, func(w http.ResponseWriter, r *http.Request) {
			s, _ := scripts.Load(r.Header.Get("Script"))
			s.(*script).ServeHTTP(w, r)
		})
		var clients sync.WaitGroup
		for client := range 4 {
			clients.Go(func() {
				var seed [32]byte
				binary.LittleEndian.PutUint64(seed[:], uint64(client))
				random := rand.New(rand.NewChaCha8(seed))
				for round := range 3 {
					s := newScript(random)
					name := fmt.Sprintf("%d/%d", client, round)
					scripts.Store(name, s)
					response := server.do(t, http.MethodGet, http.Header{"Accept-Encoding": {c.String()}, "Script": {name}})
					assert.Equal(t, c.String(), response.Header.Get("Content-Encoding"))
					s.follow(t, decode(t, c.String(), response.Body))
				}
			})
		}
		clients.Wait()
	})
}

func TestRoundTrip_GivesEachOfManyClientsItsOwn(t *testing.T) {
	server := serve(t, "HTTP/2.0", Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for range 20 {
			_, _ = io.WriteString(w, r.Header.Get("Client")+page(500))
		}
	})
	var clients sync.WaitGroup
	for i := range 18 {
		clients.Go(func() {
			client := fmt.Sprintf("client %d ", i)
			c := everyCoding[i%len(everyCoding)]
			for range 2 {
				response := server.do(t, http.MethodGet, http.Header{"Accept-Encoding": {c.String()}, "Client": {client}})
				content := decodeAll(t, response)
				require.Len(t, content, 20*(len(client)+500))
				for at := 0; at < len(content); at += len(client) + 500 {
					assert.Equal(t, client, content[at:at+len(client)])
				}
			}
		})
	}
	clients.Wait()
}
