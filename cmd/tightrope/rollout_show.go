package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/steer"
)

func newRolloutListCommand() *cobra.Command {
	t, all, watch, output := target{}, false, false, ""
	c := &cobra.Command{
		Use:   "list",
		Short: "List the rollouts of a namespace, or of all",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !slices.Contains(formats, output) {
				return fmt.Errorf("--output=%q: json, yaml or wide", output)
			}
			if watch && (output == "json" || output == "yaml") {
				return errors.New("-w shows rows: leave -o out, or say wide")
			}
			namespace, err := t.place()
			if err != nil {
				return err
			}
			if all {
				namespace = ""
			}
			s, err := t.connect(c.Context())
			if err != nil {
				return err
			}
			list, err := s.List(c.Context(), namespace)
			switch {
			case err != nil:
				return steerError(c.Context(), err)
			case output == "json" || output == "yaml":
				list.APIVersion, list.Kind = v1alpha1.GroupVersion.String(), "PolicyRolloutList"
				for i := range list.Items {
					list.Items[i].APIVersion, list.Items[i].Kind = v1alpha1.GroupVersion.String(), "PolicyRollout"
				}
				return writeObject(c.OutOrStdout(), output, list)
			case len(list.Items) == 0 && !watch:
				fmt.Fprintln(c.ErrOrStderr(), "no rollouts found")
				return nil
			}
			columns := steer.Columns{Namespace: all, Wide: output == "wide"}
			if err := steer.WriteTable(c.OutOrStdout(), list.Items, columns); err != nil || !watch {
				return err
			}
			return steerError(c.Context(), watchRows(c, s, list, namespace, columns))
		},
	}
	t.flags(c)
	c.Flags().BoolVarP(&all, "all-namespaces", "A", false, "list those of all namespaces")
	c.Flags().StringVarP(&output, "output", "o", "", "json, yaml or wide")
	c.Flags().BoolVarP(&watch, "watch", "w", false, "show every change after that, until Ctrl-C")
	return c
}

// watchRows shows a row for every change.
func watchRows(c *cobra.Command, s *steer.Steerer, list *v1alpha1.PolicyRolloutList, namespace string, columns steer.Columns) error {
	leavesRunning(c.Context(), "the rollouts go on")
	columns.Headless = true
	return s.WatchList(c.Context(), list, namespace, func(ro *v1alpha1.PolicyRollout) {
		_ = steer.WriteTable(c.OutOrStdout(), []v1alpha1.PolicyRollout{*ro}, columns) // to an output that is gone nothing can be said
	})
}

type statusOptions struct {
	target
	goal    string
	timeout time.Duration
	output  string
	watch   bool
}

func newRolloutStatusCommand() *cobra.Command {
	o := &statusOptions{}
	c := &cobra.Command{
		Use:   "status NAME",
		Short: "Show where a rollout is and why, or wait until it is somewhere",
		Long: "Status shows a rollout and its run. With --for it waits, for scripts: for a stage to be reached, for a\n" +
			"gate to wait for approval, for the commit, or for the end.\n\n" +
			"Exit codes: 0 shown, or reached; with --for, where the run ended elsewhere, or with --for=complete: 0\n" +
			"committed, 1 cut or leak, 2 rollback failed, 3 inconclusive, 4 refused; 3 after --timeout.",
		Example: "  tightrope rollout status gateway-lockdown -n ai\n" +
			"  tightrope rollout status gateway-lockdown -n ai --for=stage=few --timeout=10m",
		Args: one,
		RunE: func(c *cobra.Command, args []string) error {
			return steerError(c.Context(), o.run(c, args[0]))
		},
	}
	o.flags(c)
	f := c.Flags()
	f.StringVar(&o.goal, "for", "", "wait for stage=NAME, approval, committed or complete")
	f.DurationVar(&o.timeout, "timeout", 0, "with --for: how long to wait; 0 means until the run ends")
	f.StringVarP(&o.output, "output", "o", "", "json or yaml: the run as it is stored")
	f.BoolVarP(&o.watch, "watch", "w", false, "show every change after that, to the end")
	return c
}

func (o *statusOptions) run(c *cobra.Command, name string) error {
	var goal steer.Goal
	var err error
	switch {
	case !slices.Contains(formats, o.output):
		err = fmt.Errorf("--output=%q: json or yaml", o.output)
	case o.goal == "" && o.timeout != 0:
		err = errors.New("--timeout bounds --for, which is missing")
	case o.watch && (o.goal != "" || o.output != ""):
		err = errors.New("-w shows changes to the end: leave --for and -o out")
	case o.goal != "":
		goal, err = steer.ParseGoal(o.goal)
	}
	if err != nil {
		return &exitError{exitUsage, err}
	}
	ctx := c.Context()
	s, f, err := o.find(ctx, name)
	if err != nil {
		return err
	}
	if o.goal != "" {
		if goal, err = goal.Of(f.Rollout); err != nil {
			return err
		}
		return o.await(c, s, f, goal)
	}
	if err := o.show(c, f); err != nil || !o.watch || f.Run == nil {
		return err
	}
	watching := following{target: o.target}
	return watching.follow(ctx, s, f.Run, newScreen(c.OutOrStdout()))
}

func (o *statusOptions) show(c *cobra.Command, f steer.Found) error {
	switch {
	case o.output != "json" && o.output != "yaml":
		return steer.WriteStatus(c.OutOrStdout(), f)
	case f.Run != nil:
		f.Run.APIVersion, f.Run.Kind = v1alpha1.GroupVersion.String(), "PolicyRolloutRun"
		return writeObject(c.OutOrStdout(), o.output, f.Run)
	}
	f.Rollout.APIVersion, f.Rollout.Kind = v1alpha1.GroupVersion.String(), "PolicyRollout"
	return writeObject(c.OutOrStdout(), o.output, f.Rollout)
}

// await waits until the run is where it is waited for, or cannot come there any more.
func (o *statusOptions) await(c *cobra.Command, s *steer.Steerer, f steer.Found, goal steer.Goal) error {
	ctx := c.Context()
	limited, stop := within(ctx, o.timeout)
	defer stop()
	run, err := o.current(limited, s, f)
	if err == nil {
		leavesRunning(ctx, fmt.Sprintf("run %s/%s goes on in the cluster; abort it with: %s", run.Namespace, run.Name, o.command("abort", run)))
		run, err = s.Follow(limited, run, func(run *v1alpha1.PolicyRolloutRun) bool { return goal.Reached(run) || steer.Ended(run) })
	}
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, nil}
	case err != nil && run != nil:
		return &exitError{exitInconclusive, fmt.Errorf("run %s is %s%s: %w", run.Name, run.Status.Phase, stageOf(&run.Status), err)}
	case err != nil:
		return err
	}
	say(c.OutOrStdout(), "run %s: %s%s: %s", run.Name, run.Status.Phase, stageOf(&run.Status), run.Status.Message)
	if goal.Reached(run) && !goal.EndsWith() {
		return nil
	}
	if code := report.ExitCode(report.OfStatus(run)); code != exitOK {
		return &exitError{code, nil}
	}
	if !goal.Reached(run) {
		return &exitError{exitInconclusive, fmt.Errorf("run %s ended without it", run.Name)}
	}
	return nil
}

// current is the run to wait for; one that has just been applied has none yet.
func (o *statusOptions) current(ctx context.Context, s *steer.Steerer, f steer.Found) (*v1alpha1.PolicyRolloutRun, error) {
	if f.Run != nil && (f.Rollout == nil || f.Rollout.Status.ObservedGeneration == f.Rollout.Generation) {
		return f.Run, nil
	}
	ctx, stop := within(ctx, begunWithin)
	defer stop()
	return s.Begun(ctx, f.Rollout, 0)
}

// stageOf is the stage of a run, for behind its phase. A phase that no stage is declared
// for says all by itself.
func stageOf(st *v1alpha1.PolicyRolloutRunStatus) string {
	if st.Stage == "" || !st.Phase.Staged() {
		return ""
	}
	return " (" + report.Sanitize(st.Stage) + ")"
}
