// Package cmd is the command line: it reads the settings, puts the parts together and runs them. It is the only package
// that knows all others.
//
// A program of five lines that calls [Main] with a [Stage] of its own is Tricot with that stage; examples/custom-stage
// is one.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/tricot-proxy/tricot/cmd/settings"
)

// A Stage is a stage of one's own, to be part of the pipeline beside the built-in ones.
type Stage struct {
	// Name is what settings and logs call it: lower case, words joined by "_".
	Name string
	// After is the stage that it comes right after, empty for the first place; where pipeline.order is set, that decides.
	After string
	// About is one line on the stage, for listings; may be empty.
	About string
	// Needs names the stages that have to be somewhere before it, Provides those in whose place it can stand.
	Needs, Provides []string
	// Config points to the struct of its settings with their defaults in it; nil where it has none. Each field is the
	// setting middleware.NAME.FIELD, by flag, variable and YAML as every other. It is filled in before New is called.
	Config any
	// New builds it. An error is one of the settings: it is told with the others, and nothing is started. New is called
	// for each check of the settings and once more for a run, and so should open nothing that has to be closed.
	New func() (func(http.Handler) http.Handler, error)
}

// The exit codes.
const (
	exitFailed   = 1 // could not run: a port is taken, a store cannot be opened
	exitSettings = 2 // the settings or the arguments make no sense
)

// Main runs the command that the process was called with, and ends the process.
func Main(stages ...Stage) {
	os.Exit(execute(context.Background(), stages, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// execute runs one command and gives its exit code.
func execute(ctx context.Context, stages []Stage, args, environ []string, stdout, stderr io.Writer) int {
	schema, err := settings.New(sections(stages)...)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	program := &program{schema: schema, stages: stages, environ: environ, stderr: stderr}
	root := program.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err = root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, err)
	var failed *runError
	if errors.As(err, &failed) {
		return exitFailed
	}
	if wrong := (settings.Problems)(nil); !errors.As(err, &wrong) { // it is the command line that makes no sense
		fmt.Fprintln(stderr, "tricot --help lists the commands and flags.")
	}
	return exitSettings
}

// runError is what went wrong although the settings make sense.
type runError struct{ error }

func (e *runError) Unwrap() error { return e.error }

// program is one call of Tricot, with what it was called with.
type program struct {
	schema  *settings.Schema
	stages  []Stage
	environ []string
	stderr  io.Writer
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "tricot",
		Short: "Reverse proxy that exposes the services of a Consul cluster over HTTPS",
		Long: "Tricot reads routing rules from the tags of services, keeps a certificate for each name that they want,\n" +
			"and sends each request to the best backend.",
		Version:       version(),
		Args:          cobra.NoArgs,
		RunE:          p.run,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	run := &cobra.Command{Use: "run", Short: "Run the proxy (as tricot alone does)", Args: cobra.NoArgs, RunE: p.run}
	version := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version())
			return err
		},
	}
	for _, command := range []*cobra.Command{root, run} {
		p.schema.Flags(command.Flags())
		command.Flags().SortFlags = false
	}
	root.AddCommand(run, p.check(), p.routes(), p.explain(), p.certs(), version)
	return root
}

// sections are the settings of the stages of one's own.
func sections(stages []Stage) []settings.Section {
	sections := make([]settings.Section, len(stages))
	for i, stage := range stages {
		sections[i] = settings.Section{Stage: stage.Name, After: stage.After, About: stage.About, Into: stage.Config}
	}
	return sections
}
