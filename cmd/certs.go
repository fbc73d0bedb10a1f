package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/certs/store"
	"github.com/tricot-proxy/tricot/certs/store/sealed"
	"github.com/tricot-proxy/tricot/cmd/settings"
)

// How long the commands wait for the store and the CA.
const (
	listPatience     = 15 * time.Second
	renewPatience    = 15 * time.Minute
	transferPatience = 15 * time.Minute
)

// certs are the commands on the certificates in the store. Instances that run meanwhile are not disturbed.
func (p *program) certs() *cobra.Command {
	group := &cobra.Command{
		Use:   "certs",
		Short: "List the certificates in the store, renew one, copy the store or change its key",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var asJSON bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the certificates in the store",
		Long:  "List the certificates in the store: who signed them, from when to when they are valid, when they are renewed, and\nwhy the last try failed.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withStore(cmd, listPatience, func(ctx context.Context, _ *settings.Settings, in store.Store, _ *slog.Logger) error {
				return listCertificates(ctx, cmd.OutOrStdout(), in, asJSON)
			})
		},
	}
	renew := &cobra.Command{
		Use:   "renew NAME",
		Short: "Order a new certificate for a name now",
		Long:  "Order a new certificate for a name now, whatever the store has. Running instances answer the CA's challenge, and serve\nthe certificate within a second.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withStore(cmd, renewPatience, func(ctx context.Context, s *settings.Settings, in store.Store, log *slog.Logger) error {
				return renewCertificate(ctx, cmd.OutOrStdout(), s, in, log, args[0], asJSON)
			})
		},
	}
	for _, command := range []*cobra.Command{list, renew} {
		p.finish(command, &asJSON)
	}
	group.AddCommand(list, renew, p.copyCerts(), p.resealCerts())
	return group
}

// finish gives a command the flags that all of these have.
func (p *program) finish(command *cobra.Command, asJSON *bool) {
	command.Flags().BoolVar(asJSON, "json", false, "Print JSON.")
	p.schema.Flags(command.Flags())
	command.Flags().SortFlags = false
}

// logOfCommand is for what nobody has asked for: that goes to stdout.
func (p *program) logOfCommand(s *settings.Settings) *slog.Logger {
	return newLogger(p.stderr, s.Log.Format, max(s.Log.Level, slog.LevelWarn))
}

// withStore opens the store that the settings name, for as long as do takes and no longer than patience.
func (p *program) withStore(cmd *cobra.Command, patience time.Duration,
	do func(context.Context, *settings.Settings, store.Store, *slog.Logger) error) error {
	s, err := p.verified(cmd)
	if err != nil {
		return err
	}
	log := p.logOfCommand(s)
	client, err := connectConsul(s, log)
	if err != nil {
		return &runError{err}
	}
	in, err := openStore(s, client, log)
	if err != nil {
		return &runError{err}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	if err := reach(ctx, in); err != nil {
		return &runError{err}
	}
	if err := do(ctx, s, in, log); err != nil {
		return &runError{err}
	}
	return nil
}

func listCertificates(ctx context.Context, to io.Writer, in store.Store, asJSON bool) error {
	all, err := certs.List(ctx, in, time.Now())
	if err != nil {
		return err
	}
	locked := withoutKey(ctx, in, all)
	if err := printList(to, all, asJSON); err != nil || locked == 0 {
		return err
	}
	return fmt.Errorf("%d of %d certificates cannot be read: the encryption key is not given", locked, len(all))
}

// withoutKey says of certificates that cannot be read where it is for want of their key, and gives the number of those.
func withoutKey(ctx context.Context, in store.Store, all []certs.Status) (locked int) {
	for i := range all {
		if all[i].Problem == "" {
			continue
		}
		var why *sealed.Error
		_, err := in.Load(ctx, "certs/"+strings.ReplaceAll(all[i].Name, ":", "~"))
		if !errors.As(err, &why) {
			continue
		}
		all[i].Problem = why.Error()
		if errors.Is(why, sealed.ErrSealed) {
			locked++
		}
	}
	return locked
}

func printList(to io.Writer, all []certs.Status, asJSON bool) error {
	if asJSON {
		return printJSON(to, all)
	}
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tISSUER\tFROM\tTO\tRENEWAL DUE\tLAST ERROR")
	for _, is := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", is.Name, orDash(is.Issuer), date(is.From), date(is.To), date(is.Due), trouble(is))
	}
	return table.Flush()
}

// trouble is all that is wrong with a name, on one line.
func trouble(is certs.Status) string {
	switch {
	case is.Attempts > 0:
		return fmt.Sprintf("%s (%d failed, next try %s)", is.LastError, is.Attempts, date(is.NextTry))
	case is.Problem != "":
		return is.Problem
	}
	return "-"
}

func renewCertificate(ctx context.Context, to io.Writer, s *settings.Settings, in store.Store, log *slog.Logger, name string, asJSON bool) error {
	by, err := openIssuer(s, in, log)
	if err != nil {
		return err
	}
	keeper, err := openKeeper(s, in, by, log)
	if err != nil {
		return err
	}
	if err := keeper.Renew(ctx, name); err != nil {
		return err
	}
	if asJSON {
		return printJSON(to, map[string]string{"renewed": name})
	}
	_, err = fmt.Fprintln(to, "renewed:", name)
	return err
}

func printJSON(to io.Writer, value any) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
