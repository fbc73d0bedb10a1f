package cmd

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tricot-proxy/tricot/cmd/settings"
	"github.com/tricot-proxy/tricot/middleware/route"
	"github.com/tricot-proxy/tricot/providers/file"
)

// check says what is wrong with the settings, as run would, and starts nothing.
func (p *program) check(cmd *cobra.Command, _ []string) error {
	s, err := p.verified(cmd)
	for _, warning := range s.Warnings() {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), "The settings are good.")
	return err
}

// verified reads the settings and finds all that would keep Tricot from running with them. They are never nil.
func (p *program) verified(cmd *cobra.Command) (*settings.Settings, error) {
	s, err := p.schema.Load(cmd.Flags(), p.environ)
	var problems settings.Problems
	if err != nil && !errors.As(err, &problems) {
		return s, err
	}
	bad := func(key string) bool {
		return slices.ContainsFunc(problems, func(p settings.Problem) bool { return p.Key == key })
	}
	if !bad("pipeline.order") {
		if _, err := chosen(s, p.stages); err != nil {
			problems = append(problems, s.Problem("pipeline.order", err.Error()))
		}
	}
	if slices.Contains(s.Providers, "file") && s.File.Path != "" && !bad("file.path") {
		if _, err := file.Load(s.File.Path); err != nil {
			problems = append(problems, s.Problem("file.path", err.Error()))
		}
	}
	if problems == nil {
		return s, p.stagesBuild(s)
	}
	problems.Sort()
	return s, problems
}

// stagesBuild finds what only the stages themselves know to be wrong with their settings.
func (p *program) stagesBuild(s *settings.Settings) error {
	plans, err := chosen(s, p.stages)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	_, err = chain(plans, surroundings{settings: s, log: log, router: route.NewRouter(route.Options{Log: log})})
	return err
}
