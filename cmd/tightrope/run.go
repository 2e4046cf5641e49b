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
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tightrope-dev/tightrope/clusters/existing"
	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/deploy/install"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

// runOptions are the flags of run and demo.
type runOptions struct {
	cluster     string
	kubeconfig  string
	report      string
	labd        string
	dataplane   string
	nodes       int
	images      []string // NAME=PATH, of the lab
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
	o.register(cmd)
	cmd.Flags().StringVar(&o.cluster, "cluster", "lab", "where to run: lab (embedded, its own) or current (the kubeconfig's context)")
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of --cluster current; empty means $KUBECONFIG or the user's own")
	cmd.Flags().BoolVar(&o.adopt, "adopt-namespaces", false, "with --cluster current, also use namespaces that are there already: nothing in them is overwritten, but the scenario's policies judge every pod that they select there")
	return cmd
}

func newDemoCommand() *cobra.Command {
	o := runOptions{cluster: "lab"}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A rollout that is taken back and one that is committed, on a lab of its own",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, []string{"gw-forgot-dns", "zero-trust-ai-platform"})
		},
	}
	o.register(cmd)
	return cmd
}

func (o *runOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.report, "report", "reports", "directory for the reports, one folder per scenario")
	f.StringVar(&o.labd, "labd", "", "path of the labd binary; empty means next to this one, on PATH, or in the user's cache")
	f.StringVar(&o.dataplane, "dataplane", "enforce", "how the lab enforces policies: enforce, ignore as clusters without a policy engine do, or as established=cut,deny=reject,delay=200ms..2s")
	f.IntVar(&o.nodes, "nodes", 2, "nodes of the lab")
	imageFlag(cmd, &o.images)
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
	cfg, name, closeCluster, err := o.host(ctx, show)
	if err != nil {
		return err
	}
	defer func() {
		err = worse(err, labError(closeCluster()))
	}()
	if err := o.mayRun(ctx, list, cfg); err != nil {
		return err
	}
	if o.cluster == "current" {
		defer func() { o.tellLeftovers(ctx, list, cfg, name, show) }()
	}
	for _, s := range list {
		if ctx.Err() != nil {
			notRun := fmt.Errorf("scenario %s was not run: %w", s.Metadata.Name, context.Cause(ctx))
			return worse(err, &exitError{exitInterrupted, notRun})
		}
		err = worse(err, o.runOne(ctx, s, cfg, name, show))
	}
	return err
}

// host returns the cluster to run on and what closes it.
func (o *runOptions) host(ctx context.Context, show *screen) (*rest.Config, string, func() error, error) {
	if o.cluster == "current" {
		cfg, name, err := existing.Connect(ctx, o.kubeconfig)
		return cfg, name, func() error { return nil }, err
	}
	images, err := lab.ParseImages(o.images)
	if err != nil {
		return nil, "", nil, labError(err) // checkFlags said so before
	}
	l, err := lab.Up(ctx, lab.Options{
		Images: images, Name: fmt.Sprintf("run-%d", os.Getpid()), Nodes: o.nodes, Dataplane: o.dataplane, Labd: o.labd, Progress: show.labStep,
	})
	if err != nil {
		return nil, "", nil, labError(err)
	}
	down := func() error {
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer stop()
		return l.Down(ctx)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", l.Kubeconfig())
	if err != nil {
		return nil, "", nil, labError(errors.Join(fmt.Errorf("kubeconfig of the lab: %w", err), down()))
	}
	return cfg, "lab", down, nil
}

// runOne runs a scenario, writes its reports and says how it went.
func (o *runOptions) runOne(ctx context.Context, s *scenarios.Scenario, cfg *rest.Config, cluster string, show *screen) error {
	show.scenario(s)
	rep, err := scenarios.Run(ctx, s, o.scenario(cfg, cluster, show))
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

func (o *runOptions) scenario(cfg *rest.Config, cluster string, show *screen) scenarios.Options {
	return scenarios.Options{Config: cfg, Cluster: cluster, HoldTimeout: o.holdTimeout, Progress: show.progress, Deploy: o.deploy(), AdoptNamespaces: o.adopt}
}

// deploy fills in what the cluster can do beyond what every cluster can.
func (o *runOptions) deploy() deploy.Options {
	if o.cluster == "lab" {
		return deploy.Options{Version: lab.Stamp, DropsPort: lab.CounterPort}
	}
	return deploy.Options{Version: lab.Stamp}
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
