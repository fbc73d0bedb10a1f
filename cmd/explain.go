package cmd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tricot-proxy/tricot/certs"
	"github.com/tricot-proxy/tricot/cmd/admin"
	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
)

// explainPatience is how long explain and routes wait for the running instance, or for services and store.
const explainPatience = 15 * time.Second

// explain is the command that says why a request goes where it goes.
func (p *program) explain() *cobra.Command {
	var offline, asJSON bool
	command := &cobra.Command{
		Use:   "explain URL",
		Short: "Say why a request to a URL goes where it goes",
		Long: "Say why a request to a URL goes where it goes: every rule that was considered with the reason why it lost or won, the\n" +
			"backends that take turns, the headers that are set, whether the answer would be compressed, and the certificate. The running\n" +
			"instance is asked, at admin.bind_addr; with --offline the services file or Consul and the store are read instead.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := p.decision(cmd, args[0], offline)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), d)
			}
			return printDecision(cmd.OutOrStdout(), d)
		},
	}
	command.Flags().BoolVar(&offline, "offline", false, "Read the services and the store, and do not ask the running instance.")
	p.finish(command, &asJSON)
	return command
}

func (p *program) decision(cmd *cobra.Command, text string, offline bool) (*decision, error) {
	s, err := p.verified(cmd)
	if err != nil {
		return nil, err
	}
	if _, err := requestTo(text); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), explainPatience)
	defer cancel()
	if !offline {
		d := new(decision)
		if err := askInstance(ctx, s, "/api/explain?"+url.Values{"url": {text}}.Encode(), d); err != nil {
			return nil, &runError{err}
		}
		return d, nil
	}
	log := p.logOfCommand(s)
	read, err := readServices(ctx, s, log)
	if err != nil {
		return nil, &runError{err}
	}
	e := &explainer{
		settings:    s,
		explain:     read.router.Explain,
		certificate: storedCertificate(s, read.router.Table(), log),
	}
	return e.decide(ctx, text)
}

// routes is the command that lists what is routed where.
func (p *program) routes() *cobra.Command {
	var offline, asJSON bool
	command := &cobra.Command{
		Use:   "routes",
		Short: "List all routes with their backends",
		Long: "List all routes with their backends, as the running instance has them, which is asked at admin.bind_addr; with --offline as\n" +
			"the services file or Consul says.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := p.listRoutes(cmd, offline)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printRoutes(cmd.OutOrStdout(), all)
		},
	}
	command.Flags().BoolVar(&offline, "offline", false, "Read the services, and do not ask the running instance.")
	p.finish(command, &asJSON)
	return command
}

func (p *program) listRoutes(cmd *cobra.Command, offline bool) ([]admin.Route, error) {
	s, err := p.verified(cmd)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), explainPatience)
	defer cancel()
	if offline {
		read, err := readServices(ctx, s, p.logOfCommand(s))
		if err != nil {
			return nil, &runError{err}
		}
		return routesOf(read.router.Table()), nil
	}
	const part = 10_000
	all := []admin.Route{}
	for {
		var answer struct {
			Matched int           `json:"matched"`
			Routes  []admin.Route `json:"routes"`
		}
		if err := askInstance(ctx, s, fmt.Sprintf("/api/routes?offset=%d&limit=%d", len(all), part), &answer); err != nil {
			return nil, &runError{err}
		}
		all = append(all, answer.Routes...)
		if len(answer.Routes) == 0 || len(all) >= answer.Matched {
			return all, nil
		}
	}
}

// storedCertificate looks a name up in the store, which is opened for it.
func storedCertificate(s *settings.Settings, table *route.Table, log *slog.Logger) func(context.Context, string) *admin.Certificate {
	look := func(ctx context.Context, name string) (certs.Status, error) {
		client, err := connectConsul(s, log)
		if err != nil {
			return certs.Status{}, err
		}
		in, err := openStore(s, client, log)
		if err != nil {
			return certs.Status{}, err
		}
		return certs.Look(ctx, in, name, time.Now())
	}
	return func(ctx context.Context, name string) *admin.Certificate {
		status, err := look(ctx, name)
		if err != nil {
			return &admin.Certificate{Name: name, State: unknown, Problem: "the certificate store cannot be read: " + err.Error()}
		}
		if status.To.IsZero() && status.Problem == "" && status.LastError == "" && !table.Names(name) {
			return unnamed(s, name)
		}
		shown := certificateOf(status, time.Now())
		return &shown
	}
}

// printDecision writes a decision for people.
func printDecision(to io.Writer, d *decision) error {
	facts := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fact := func(name, value string) {
		if value != "" {
			fmt.Fprintf(facts, "%s\t%s\n", name, value)
		}
	}
	fact("URL", d.URL)
	fact("Host", d.Host)
	fact("Path", d.Path)
	fact("Outcome", strings.TrimSuffix(d.Outcome+": "+d.Reason, ": "))
	fact("Location", d.Location)
	fact("Matched", d.Matched)
	for i, b := range d.Backends {
		name := "Backends"
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(facts, "%s\t%s at %s\n", name, b.Service, b.URL)
	}
	fact("Headers set", strings.Join(d.Headers, "; "))
	fact("Compression", d.Compression)
	if c := d.Certificate; c != nil {
		text := c.State
		if c.Issuer != "" {
			text += ", signed by " + c.Issuer + ", until " + date(c.To) + ", renewal due " + date(c.Renewal)
		}
		if c.Problem != "" {
			text += ": " + c.Problem
		}
		fact("Certificate", text)
	}
	if err := facts.Flush(); err != nil || len(d.Rules) == 0 {
		return err
	}
	fmt.Fprintln(to)
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tPRIORITY\tSERVICE\tBACKEND\tNODE\tSITE\tOUTCOME\tWHY")
	for _, r := range d.Rules {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Host+r.Path, r.Priority, r.Backend.Service, r.Backend.URL,
			orDash(r.Backend.Node), orDash(r.Backend.Site), r.Outcome, r.Reason)
	}
	return table.Flush()
}

func printRoutes(to io.Writer, all []admin.Route) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ROUTE\tPRIORITY\tSERVICE\tBACKEND\tNODE\tSITE\tSTATE")
	for _, r := range all {
		for _, b := range r.Backends {
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", r.Host+r.Path, r.Priority, b.Service, b.URL, orDash(b.Node), orDash(b.Site), b.State)
		}
	}
	return table.Flush()
}
