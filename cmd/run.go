package cmd

import (
	"context"
	"os"
	"os/signal"
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

	// Signals count from here on: one that comes when the first port is open already must not end the process by itself.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	stop, stopNow := make(chan struct{}), make(chan struct{})
	starting, giveUp := context.WithCancel(cmd.Context())
	defer giveUp()
	ended, end := context.WithCancel(cmd.Context())
	defer end()
	go func() {
		for _, then := range []chan struct{}{stop, stopNow} {
			select {
			case got := <-signals:
				log.Info("signal", "signal", got.String())
				close(then)
				giveUp()
			case <-ended.Done():
				return
			}
		}
	}()

	proxy, err := assemble(starting, s, p.stages, log)
	if err != nil {
		select {
		case <-stop: // it may well be the reason
			return nil
		default:
			return &runError{err}
		}
	}
	if err := proxy.run(cmd.Context(), stop, stopNow); err != nil {
		return &runError{err}
	}
	return nil
}
