package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tricot-proxy/tricot/cmd/settings"
)

// copyCerts is the command that takes the store to another place.
func (p *program) copyCerts() *cobra.Command {
	var from, to string
	var t transfer
	var asJSON bool
	command := &cobra.Command{
		Use:   "copy --to dir|consul",
		Short: "Copy the store to another place: certificates, account, failures",
		Long: "Copy certificates, ACME account, local authority and failures from one store to another, such as from the directory\n" +
			"certs.dir to Consul, so that who changes certs.store orders nothing anew. The keys of certs.encryption_key open what\n" +
			"is sealed on either side, and the first of them seals what is written.\n\n" +
			"What is newer there stays, as do an account and an authority that are there already; what is copied stays here too.\n" +
			"It may be called again, and beside running instances.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.verified(cmd)
			if err != nil {
				return err
			}
			if from == "" {
				from = s.Certs.Store
			}
			for flag, kind := range map[string]string{"--from": from, "--to": to} {
				if kind != "dir" && kind != "consul" {
					return fmt.Errorf("flag %s: %q: dir or consul is expected", flag, kind)
				}
			}
			if from == to {
				return fmt.Errorf("flag --to: %s is what is copied: tricot certs reseal writes its records anew", to)
			}
			return p.transfer(cmd, s, &t, from, to, asJSON)
		},
	}
	command.Flags().StringVar(&to, "to", "", "Where to: dir or consul.")
	command.Flags().StringVar(&from, "from", "", "Where from: dir or consul. (default: certs.store)")
	command.Flags().BoolVar(&t.unseal, "unseal", false, "Write the records unsealed, whatever keys there are.")
	command.Flags().BoolVar(&t.overwrite, "overwrite", false, "Replace also what is newer there, and an account or authority.")
	_ = command.MarkFlagRequired("to") // it is there
	p.finish(command, &asJSON)
	return command
}

// resealCerts is the command that changes the key of the store.
func (p *program) resealCerts() *cobra.Command {
	var t transfer
	var asJSON bool
	command := &cobra.Command{
		Use:   "reseal",
		Short: "Seal everything in the store with the first encryption key",
		Long: "Seal every record of the store with the first key of certs.encryption_key, those that were unsealed too; or, with\n" +
			"--unseal, write all of them unsealed. Every running instance has to have the new key by then.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.verified(cmd)
			if err != nil {
				return err
			}
			if keys, _ := encryptionKeys(s); keys == nil && !t.unseal {
				return errors.New("there is no key to seal with: set certs.encryption_key or certs.encryption_key_file")
			}
			return p.transfer(cmd, s, &t, s.Certs.Store, s.Certs.Store, asJSON)
		},
	}
	command.Flags().BoolVar(&t.unseal, "unseal", false, "Write the records unsealed.")
	p.finish(command, &asJSON)
	return command
}

// transfer carries a transfer out between two kinds of store, which may be the same.
func (p *program) transfer(cmd *cobra.Command, s *settings.Settings, t *transfer, from, to string, asJSON bool) error {
	log := p.logOfCommand(s)
	ctx, cancel := context.WithTimeout(cmd.Context(), transferPatience)
	defer cancel()
	var err error
	if from == "dir" {
		if _, err = os.Stat(s.Certs.Dir); err != nil { // to open it would make it
			return &runError{fmt.Errorf("certs.dir: %w", err)}
		}
	}
	if t.from, err = openPlace(s, from, log); err != nil {
		return &runError{err}
	}
	if t.to = t.from; to != from {
		if t.to, err = openPlace(s, to, log); err != nil {
			return &runError{err}
		}
	}
	all, err := t.run(ctx)
	if err != nil {
		return &runError{err}
	}
	if len(all) == 0 {
		return &runError{fmt.Errorf("there is nothing in the store %s %s", t.from.kind, t.from.at)}
	}
	if err := t.print(cmd.OutOrStdout(), all, asJSON); err != nil {
		return &runError{err}
	}
	if bad := count(all, failed); bad > 0 {
		return &runError{fmt.Errorf("%d of %d records could not be written", bad, len(all))}
	}
	return nil
}

// openPlace opens the store of one kind, whichever the settings have in use.
func openPlace(s *settings.Settings, kind string, log *slog.Logger) (*place, error) {
	of := *s
	of.Certs.Store = kind
	keys, err := encryptionKeys(s)
	if err != nil {
		return nil, err
	}
	client, err := connectConsul(&of, log)
	if err != nil {
		return nil, err
	}
	bare, err := openPlainStore(&of, client, log)
	if err != nil {
		return nil, err
	}
	at := s.Certs.Dir
	if kind == "consul" {
		at = s.Consul.KVPrefix
	}
	return newPlace(kind, at, bare, keys)
}

func (t *transfer) print(to io.Writer, all []moved, asJSON bool) error {
	if asJSON {
		return printJSON(to, struct {
			From    string  `json:"from"`
			To      string  `json:"to"`
			Records []moved `json:"records"`
		}{t.from.kind, t.to.kind, all})
	}
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RECORD\tOUTCOME\tREASON")
	for _, is := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\n", is.Record, is.Outcome, orDash(is.Reason))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	var counts []string
	for _, outcome := range outcomes {
		if n := count(all, outcome); n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	way := t.to.kind + " " + t.to.at
	if t.from != t.to {
		way = t.from.kind + " " + t.from.at + " to " + way
	}
	_, err := fmt.Fprintf(to, "%s: %s\n", way, strings.Join(counts, ", "))
	return err
}

func count(all []moved, outcome string) (n int) {
	for _, is := range all {
		if is.Outcome == outcome {
			n++
		}
	}
	return n
}
