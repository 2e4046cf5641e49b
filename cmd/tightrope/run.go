package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tightrope-dev/tightrope/clusters"
	"github.com/tightrope-dev/tightrope/deploy/install"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// runOptions are the flags of run and demo.
type runOptions struct {
	hostOptions
	report      string
	holdTimeout time.Duration
	installed   bool // Tightrope was there before the first scenario
	adopt       bool // put the platform into namespaces that are there
}

func newRunCommand() *cobra.Command {
	o := runOptions{}
	cmd := &cobra.Command{
		Use:   "run SCENARIO...",
		Short: "Run scenarios and prove what happened",
		Long: "Run scenarios, by name from the library or by file, on the embedded lab or on a cluster.\n" +
			"On a cluster it creates its own namespaces and writes nothing where one of them is there already and is\n" +
			"not a scenario's. At the end it says what it leaves behind, and how to remove it.\n\n" +
			"Exit codes: 0 as expected; 1 cut or leak; 2 rollback failed; 3 inconclusive; 4 bad input, or refused.",
		Example: "  tightrope run gw-forgot-dns\n  tightrope run my.yaml --cluster current --report out/",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("no scenario was given: name a file, or one of the library (%s)", strings.Join(scenarios.Library(), ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	o.hostOptions.register(cmd)
	o.registerRun(cmd)
	cmd.Flags().BoolVar(&o.adopt, "adopt-namespaces", false, "with --cluster current, also use namespaces that are there already: nothing in them is overwritten, but the scenario's policies judge every pod that they select there")
	return cmd
}

func newDemoCommand() *cobra.Command {
	o := runOptions{hostOptions: hostOptions{cluster: "lab"}}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A rollout that is taken back and one that is committed, on a lab of its own",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, []string{"gw-forgot-dns", "zero-trust-ai-platform"})
		},
	}
	o.registerLab(cmd)
	o.registerRun(cmd)
	return cmd
}

func (o *runOptions) registerRun(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.report, "report", "reports", "directory for the reports, one folder per scenario")
	f.DurationVar(&o.holdTimeout, "hold-timeout", 2*time.Minute, "how long a held rollout is waited for before it is aborted")
}

// run checks all input, brings up the cluster, runs the scenarios one after the
// other, and returns the most serious exit code.
func (o *runOptions) run(cmd *cobra.Command, names []string) (err error) {
	if err := o.checkFlags(cmd); err != nil {
		return err
	}
	list, err := o.load(names)
	if err != nil {
		return err
	}
	ctx, show := cmd.Context(), newScreen(cmd.OutOrStdout())
	c, err := o.open(ctx, show)
	if err != nil {
		return err
	}
	defer func() { err = worse(err, shut(ctx, c)) }()
	if err := o.mayRun(ctx, list, c); err != nil {
		return err
	}
	if !c.Can().Own {
		defer func() { o.tellLeftovers(ctx, list, c, show) }()
	}
	for _, s := range list {
		if ctx.Err() != nil {
			notRun := fmt.Errorf("scenario %s was not run: %w", s.Metadata.Name, context.Cause(ctx))
			return worse(err, &exitError{exitInterrupted, notRun})
		}
		err = worse(err, o.runOne(ctx, s, c, show))
	}
	return err
}

// runOne runs a scenario, writes its reports and says how it went.
func (o *runOptions) runOne(ctx context.Context, s *scenarios.Scenario, c clusters.Cluster, show *screen) error {
	show.scenario(s)
	options, err := o.scenario(c, show)
	if err != nil {
		return err
	}
	rep, err := scenarios.Run(ctx, s, options)
	if rep == nil {
		return noReport(ctx, s.Metadata.Name, err)
	}
	written := writeReports(o.folder(s), rep)
	show.result(rep)
	if written == nil {
		show.where(o.folder(s))
	}
	return outcome(rep, errors.Is(err, scenarios.ErrInterrupted), written)
}

func (o *runOptions) scenario(c clusters.Cluster, show *screen) (scenarios.Options, error) {
	objects, standin, err := o.deploy(c)
	return scenarios.Options{Config: c.Config(), Cluster: c.Name(), HoldTimeout: o.holdTimeout, Progress: show.progress,
		Deploy: objects, Standin: standin, AdoptNamespaces: o.adopt}, err
}

// noReport says what it means that a scenario ended without a report.
func noReport(ctx context.Context, name string, err error) error {
	switch {
	case errors.Is(err, scenarios.ErrNotBack):
		return &exitError{exitRollback, fmt.Errorf("scenario %s: %w", name, err)}
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, fmt.Errorf("scenario %s: %w before anything was rolled out", name, context.Cause(ctx))}
	}
	if errors.Is(err, scenarios.ErrNotOurs) || install.Refused(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) { // the API server refused an object
		return &exitError{exitUsage, fmt.Errorf("scenario %s: %w", name, err)}
	}
	return &exitError{exitInconclusive, fmt.Errorf("scenario %s: %w", name, err)}
}

// writeReports writes every format into the folder.
func writeReports(folder string, rep *report.Report) error {
	for _, f := range report.Formats {
		name := filepath.Join(folder, f.File)
		if err := writeFile(name, rep, f.Write); err != nil {
			return fmt.Errorf("report %s: %w", name, err)
		}
	}
	return nil
}

func writeFile(name string, rep *report.Report, write func(io.Writer, *report.Report) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f, rep), f.Close())
}
