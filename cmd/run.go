package cmd

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

// run runs the proxy until a signal ends it. SIGTERM or SIGINT: requests in flight may finish; a second one: they may
// not.
func (p *program) run(cmd *cobra.Command, _ []string) error {
	s, err := p.verified(cmd)
	if err != nil {
		return err
	}
	log := newLogger(p.stderr, s.Log.Format, s.Log.Level)
	takeStandardLog(log)
	for _, odd := range s.Warnings() {
		log.Warn(odd.Reason, "source", odd.Source)
	}

	// Signals count from here on: one that comes when the first port is open already must not end the process by itself.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	stop, stopNow := make(chan struct{}), make(chan struct{})
	ended, end := context.WithCancel(cmd.Context())
	defer end()
	go func() {
		for _, then := range []chan struct{}{stop, stopNow} {
			select {
			case got := <-signals:
				log.Info("signal", "signal", got.String())
				close(then)
			case <-ended.Done():
				return
			}
		}
	}()

	proxy, err := assemble(s, p.stages, log)
	if err != nil {
		return &runError{err}
	}
	defer onEach(hangups, proxy.reopen)()
	if err := proxy.run(cmd.Context(), stop, stopNow); err != nil {
		return &runError{err}
	}
	return nil
}

// onEach does something on each signal, one at a time, until it is ended.
func onEach(signals <-chan os.Signal, do func()) (end func()) {
	ended := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-signals:
				do()
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		running.Wait()
	}
}
