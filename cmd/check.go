package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/providers/file"
)

// check is the command that says what is wrong with the settings, as run would, and starts nothing.
func (p *program) check() *cobra.Command {
	var services bool
	command := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the settings, without starting",
		Long: "Say what is wrong with the settings, without starting. With --services, also read the services of all providers once, and\n" +
			"name each malformed tag; exit code 1 where there is any, or where a provider cannot be read.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.checkSettings(cmd, services) },
	}
	command.Flags().BoolVar(&services, "services", false, "Read the services too, from Consul as well, and name each malformed tag.")
	p.schema.Flags(command.Flags())
	command.Flags().SortFlags = false
	return command
}

func (p *program) checkSettings(cmd *cobra.Command, services bool) error {
	s, err := p.verified(cmd)
	for _, warning := range s.Warnings() {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
	}
	if err != nil {
		return err
	}
	if !services {
		for _, malformed := range malformedTags(s) {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s\n", s.File.Path, malformed)
		}
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), "The settings are good."); err != nil || !services {
		return err
	}
	return p.checkServices(cmd, s)
}

// checkServices names each malformed tag of the services that the providers tell of.
func (p *program) checkServices(cmd *cobra.Command, s *settings.Settings) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), explainPatience)
	defer cancel()
	read, err := readServices(ctx, s, p.logOfCommand(s))
	if err != nil {
		return &runError{err}
	}
	names := map[string]bool{}
	for _, instance := range read.instances {
		names[instance.Service] = true
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Read from %s: %s, %s, %s.\n", strings.Join(s.Providers, " and "),
		counted(len(names), "service"), counted(len(read.instances), "instance"), counted(len(read.router.Table().Rules()), "rule"))
	malformed := read.router.Problems()
	for _, problem := range malformed {
		fmt.Fprintln(cmd.ErrOrStderr(), problem)
	}
	if n := len(malformed); n > 0 {
		return &runError{errors.New(counted(n, "malformed tag"))}
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "All tags are good.")
	return err
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// verified reads the settings and finds all that would keep Tricot from running with them. They are never nil.
func (p *program) verified(cmd *cobra.Command) (*settings.Settings, error) {
	s, err := p.schema.Load(cmd.Flags(), p.environ)
	var problems settings.Problems
	if err != nil && !errors.As(err, &problems) {
		return s, err
	}
	found := problems // by the settings themselves
	bad := func(key string) bool {
		return slices.ContainsFunc(found, func(p settings.Problem) bool {
			return p.Key == key || strings.HasPrefix(p.Key, key+".")
		})
	}
	plans, err := chosen(s, p.stages)
	if err != nil && !bad("pipeline.order") {
		problems = append(problems, s.Problem("pipeline.order", err.Error()))
	}
	for _, key := range []string{"certs.encryption_key", "certs.encryption_key_file"} {
		if _, err := encryptionKeys(s); err != nil && s.Source(key) != "default" && !bad(key) {
			problems = append(problems, s.Problem(key, err.Error()))
		}
	}
	for _, plan := range plans {
		if key := "middleware." + plan.Name; !bad(key) {
			problems = append(problems, unbuilt(s, plan, key)...)
		}
	}
	problems.Sort()
	if readsServices(s) && !bad("file.path") {
		if _, err := file.Load(s.File.Path); err != nil {
			problems = append(problems, inServices(s, err)...)
		}
	}
	if problems == nil {
		return s, nil
	}
	return s, problems
}

// unbuilt gives what only the stage itself knows to be wrong with its settings.
func unbuilt(s *settings.Settings, stage plan, key string) settings.Problems {
	log := slog.New(slog.DiscardHandler)
	_, err := stage.build(surroundings{settings: s, log: log, router: route.NewRouter(route.Options{Log: log})})
	if err == nil {
		return nil
	}
	var sources []string // it may be about any of them
	for _, entry := range s.All() {
		if strings.HasPrefix(entry.Key, key+".") && entry.Source != "default" && !slices.Contains(sources, entry.Source) {
			sources = append(sources, entry.Source)
		}
	}
	if sources == nil {
		sources = []string{"default"}
	}
	return settings.Problems{{Key: key, Source: strings.Join(sources, ", "), Reason: err.Error()}}
}

func readsServices(s *settings.Settings) bool {
	return slices.Contains(s.Providers, file.Name) && s.File.Path != ""
}

// inServices gives a problem for each thing that is wrong in the services file.
func inServices(s *settings.Settings, err error) (problems settings.Problems) {
	all := []error{err}
	if joined, is := err.(interface{ Unwrap() []error }); is {
		all = joined.Unwrap()
	}
	for _, err := range all {
		problem := s.Problem("file.path", err.Error())
		if line := (*file.Error)(nil); errors.As(err, &line) {
			problem = settings.Problem{Source: line.Where(), Reason: line.Reason}
		}
		problems = append(problems, problem)
	}
	return problems
}

// malformedTags gives those of the services file. They keep nothing from running: the other tags are in force.
func malformedTags(s *settings.Settings) []route.Problem {
	if !readsServices(s) {
		return nil
	}
	snapshot, err := file.Load(s.File.Path)
	if err != nil { // it has changed since it was found to be good
		return nil
	}
	_, malformed := route.Compile(snapshot.Instances, route.Location{}, nil)
	return malformed
}
