package consultest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-cleanhttp"
)

const (
	// patience is how long a Consul may take to start: some fifty times what it needs on an idle machine.
	patience = 2 * time.Minute
	// tries is how often a start is tried with other ports.
	tries = 10
	// A look at a Consul that is starting takes look at most, and the next one follows after between.
	look    = 5 * time.Second
	between = 20 * time.Millisecond
	// logShown is how many bytes of a log are shown at most.
	logShown = 16 << 10
)

var (
	errClash = errors.New("a port is taken")
	errEnded = errors.New("it ended")
)

// A server is an agent's files, ports and process. Its methods but answering, signal and stop are for one goroutine.
type server struct {
	binary, dir string
	mode        mode
	options     Options
	token       string          // may do everything, once there is a leader
	recovery    string          // may see the agent itself, always
	peers       func() []string // addresses to join; nil where there are none
	expect      int             // servers in the cluster

	ports     ports
	client    *api.Client
	transport *http.Transport

	mu      sync.Mutex
	process *process // nil where it does not run
	paused  bool
}

// newServer says how one is to be; nothing is started.
func newServer(binary, dir string, mode mode, options Options) *server {
	if options.NodeName == "" {
		options.NodeName = name("node-")
	}
	options.Meta = maps.Clone(options.Meta)
	if options.Site != "" {
		if options.Meta == nil {
			options.Meta = map[string]string{}
		}
		options.Meta["site"] = options.Site
	}
	s := &server{binary: binary, dir: dir, mode: mode, options: options}
	if options.ACL {
		s.token, s.recovery = uuid(), uuid()
	}
	return s
}

// start starts it with ports that are free, and waits until it is useful.
func (s *server) start() error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.settled()
}

// launch starts it with ports that are free, and waits until its API answers.
func (s *server) launch() error {
	for try := 1; ; try++ {
		var err error
		if s.ports, err = freePorts(); err != nil {
			return err
		}
		if s.client, s.transport, err = s.newClient(s.token); err != nil {
			return err
		}
		err = s.run()
		if !errors.Is(err, errClash) || try == tries {
			return err
		}
		s.transport.CloseIdleConnections()
	}
}

// restart starts it with the ports that it had.
func (s *server) restart() error {
	s.stop()
	var err error
	for try := range tries {
		// A connection that some other program has just opened may hold the port for a moment.
		time.Sleep(time.Duration(try) * 100 * time.Millisecond)
		if err = s.run(); !errors.Is(err, errClash) {
			break
		}
	}
	if err != nil || s.mode == member {
		return err
	}
	return s.settled()
}

// run starts the process and waits until its API answers.
func (s *server) run() error {
	arguments, err := s.configure()
	if err != nil {
		return err
	}
	begin := s.logSize()
	process, err := startProcess(s.binary, arguments, s.logPath())
	if err != nil {
		return fmt.Errorf("start Consul: %w", err)
	}
	s.mu.Lock()
	s.process, s.paused = process, false
	s.mu.Unlock()
	err = s.wait("its API", func(ctx context.Context) bool {
		self, err := s.self(ctx)
		return err == nil && self == s.options.NodeName
	})
	if err == nil {
		return nil
	}
	s.stop()
	if errors.Is(err, errEnded) && bytes.Contains(s.logFrom(begin), []byte("address already in use")) {
		return errClash
	}
	return fmt.Errorf("start Consul: %w", err)
}

// settled waits until there is a leader that has this node, with all that belongs to it, in the catalog.
func (s *server) settled() error {
	err := s.wait("a leader and itself in the catalog", s.listed)
	if err != nil {
		return fmt.Errorf("wait for Consul: %w", err)
	}
	return nil
}

// listed says whether the catalog has this node, with all that belongs to it. The read is a consistent one, which a leader
// answers when it has caught up with what others did before it; other reads give the past for a moment.
func (s *server) listed(ctx context.Context) bool {
	node, _, err := s.client.Catalog().Node(s.options.NodeName, queryOptions(ctx))
	if err != nil || node == nil {
		return false
	}
	for key, value := range s.options.Meta {
		if node.Node.Meta[key] != value {
			return false
		}
	}
	return s.mode == clientOnly || node.Services["consul"] != nil
}

// wait looks until something is there, or the process ends, or patience does.
func (s *server) wait(what string, there func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, look)
		ok := there(try)
		done()
		if ok {
			return nil
		}
		select {
		case <-s.process.done:
			return fmt.Errorf("%w: %v", errEnded, s.process.err)
		case <-ctx.Done():
			return fmt.Errorf("after %s there is no sign of %s", patience, what)
		case <-time.After(between):
		}
	}
}

// self asks for the name of the node that answers: on a clash of ports that may be another's.
func (s *server) self(ctx context.Context) (string, error) {
	var self struct{ Config struct{ NodeName string } }
	options := (&api.QueryOptions{Token: s.recovery}).WithContext(ctx)
	_, err := s.client.Raw().Query("/v1/agent/self", &self, options)
	return self.Config.NodeName, err
}

// newClient makes a client whose connections are its own.
func (s *server) newClient(token string) (*api.Client, *http.Transport, error) {
	transport := cleanhttp.DefaultPooledTransport()
	transport.Proxy = nil
	config := &api.Config{Address: s.url(), Token: token, Transport: transport}
	if s.options.TLS != nil {
		config.TLSConfig = s.options.TLS.client()
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of Consul: %w", err)
	}
	return client, transport, nil
}

// queryOptions are for what only the leader may answer, for as long as ctx.
func queryOptions(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func (s *server) url() string {
	scheme := "http"
	if s.options.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + loopback(s.ports.api)
}

// stop kills the process, if there is one, and waits for its end.
func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.kill()
		s.process, s.paused = nil, false
	}
}

// close gives back what outlives the process.
func (s *server) close() {
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
}

func (s *server) pause() error { return s.signal(syscall.SIGSTOP, true) }

func (s *server) resume() error { return s.signal(syscall.SIGCONT, false) }

func (s *server) signal(signal syscall.Signal, paused bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return fmt.Errorf("send %v to Consul %s: it does not run", signal, s.options.NodeName)
	}
	if err := s.process.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("send %v to Consul %s: %w", signal, s.options.NodeName, err)
	}
	s.paused = paused
	if paused {
		return s.process.awaitStopped()
	}
	return nil
}

// answering says whether it runs and is not frozen.
func (s *server) answering() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil && !s.paused
}

func (s *server) logPath() string { return filepath.Join(s.dir, "log") }

func (s *server) logSize() int64 {
	info, err := os.Stat(s.logPath())
	if err != nil {
		return 0
	}
	return info.Size()
}

// logFrom gives what the log has after so many bytes, the last part of that where it is much.
func (s *server) logFrom(begin int64) []byte {
	log, err := os.ReadFile(s.logPath())
	if err != nil {
		return []byte(err.Error())
	}
	log = log[min(int(begin), len(log)):]
	return log[max(0, len(log)-logShown):]
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// name makes up a name.
func name(prefix string) string { return prefix + uuid()[:8] }

func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
