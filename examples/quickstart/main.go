// Command quickstart is "make demo": it starts two small services and Tricot in front of them, prints what to try, and
// ends all of it on Ctrl-C. It needs nothing but the two binaries, and no right to low ports.
//
// Tricot runs on copies of tricot.yaml and services.yaml in the state directory, which are made afresh at each start and
// may be edited. The certificates there are kept, so that a root certificate that a user trusts stays the right one.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	// Children end with the thread that started them (see process_linux.go): this one lasts as long as the program.
	runtime.LockOSThread()

	demo := demo{ports: defaultPorts}
	flag.StringVar(&demo.tricot, "tricot", "bin/tricot", "the `path` of the tricot binary")
	flag.StringVar(&demo.backend, "backend", "bin/backend", "the `path` of the backend binary")
	flag.StringVar(&demo.state, "state", ".cache/demo", "the `directory` for the configuration and the certificates")
	for _, p := range demo.ports.named() {
		flag.IntVar(p.port, p.flag, *p.port, "the `port` of "+p.what)
	}
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := demo.run(ctx, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "quickstart: %v\n", err)
		os.Exit(1)
	}
}

// demo is what the demonstration is made of.
type demo struct {
	tricot, backend string // paths of the binaries
	state           string // the directory of everything that is written
	ports           ports
}

// run returns nil when ctx ends. When it returns, no child is left.
func (d *demo) run(ctx context.Context, out io.Writer) (err error) {
	if err := d.ports.free(); err != nil {
		return err
	}
	if err := writeConfiguration(d.state, d.ports); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	// Tricot runs in the state directory, where the paths of tricot.yaml lead to.
	tricot, err := filepath.Abs(d.tricot)
	if err != nil {
		return err
	}

	family := newFamily(out)
	defer family.end()
	for _, backend := range []struct {
		name string
		port int
	}{{"one", d.ports.One}, {"two", d.ports.Two}} {
		err := family.start("backend "+backend.name, "", d.backend, "-listen", loopback(backend.port), "-name", backend.name)
		if err != nil {
			return err
		}
	}
	if err := family.start("tricot", d.state, tricot, "--config", "tricot.yaml"); err != nil {
		return err
	}

	root := filepath.Join(d.state, rootCertificate)
	ready := make(chan error, 1)
	go func() { ready <- awaitReady(ctx, d.ports, root) }()
	select {
	case err := <-ready:
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	case gone := <-family.gone:
		return endedEarly(ctx, gone)
	}

	printTour(out, d.ports, root, filepath.Join(d.state, "services.yaml"))
	select {
	case <-ctx.Done():
		return nil
	case gone := <-family.gone:
		return endedEarly(ctx, gone)
	}
}

// endedEarly says which child is gone, unless it ended for the same reason as the demonstration: Ctrl-C reaches all of
// a terminal's processes, and theirs may be the faster end.
func endedEarly(ctx context.Context, gone *child) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(200 * time.Millisecond):
		return fmt.Errorf("%s ended by itself (%s); what it said last:\n%s", gone.name, gone.how(), gone.last())
	}
}
