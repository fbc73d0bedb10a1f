// Command backend is a small HTTP service to put behind Tricot: it says who answered and what reached it.
//
//	backend -listen 127.0.0.1:9001 -name one
//
// It answers /page with an HTML page that is worth compressing, /events with server-sent events, one each half second,
// and every other path with its name and the headers by which a proxy tells where a request came from. SIGINT or
// SIGTERM ends it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "the `address` to listen on")
	name := flag.String("name", "backend", "what the service calls itself")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *name); err != nil {
		fmt.Fprintf(os.Stderr, "backend %s: %v\n", *name, err)
		os.Exit(1)
	}
}

// run serves until ctx ends, and lets requests in flight finish.
func run(ctx context.Context, address, name string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           newService(name, 500*time.Millisecond),
		ReadHeaderTimeout: 10 * time.Second,
		// An event stream has no end of its own: it ends with ctx.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	timeout, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = server.Shutdown(timeout)
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
