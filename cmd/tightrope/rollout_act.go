package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/steer"
)

// actOptions are the flags of what a person wants of a run.
type actOptions struct {
	target
	wait    bool
	timeout time.Duration
}

// acts makes a command that changes the intent of a run.
func (o *actOptions) acts(use, short, long string, timeout time.Duration, do func(*cobra.Command, *steer.Steerer, *v1alpha1.PolicyRolloutRun) error) *cobra.Command {
	c := &cobra.Command{
		Use: use + " NAME", Short: short, Long: long, Args: one,
		RunE: func(c *cobra.Command, args []string) error {
			s, f, err := o.run(c.Context(), args[0])
			if err != nil {
				return steerError(c.Context(), err)
			}
			return steerError(c.Context(), do(c, s, f.Run))
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&o.wait, "wait", true, "wait until the controller has done it")
	c.Flags().DurationVar(&o.timeout, "timeout", timeout, "how long to wait")
	return c
}

// intend changes the intent and waits until done says so, or the run has ended.
func (o *actOptions) intend(ctx context.Context, s *steer.Steerer, run *v1alpha1.PolicyRolloutRun, intent v1alpha1.Intent, done func(*v1alpha1.PolicyRolloutRun) bool) (*v1alpha1.PolicyRolloutRun, error) {
	if err := s.Intend(ctx, run, intent); err != nil || !o.wait {
		return run, err
	}
	ctx, stop := within(ctx, o.timeout)
	defer stop()
	return s.Follow(ctx, run, func(run *v1alpha1.PolicyRolloutRun) bool { return done(run) || steer.Ended(run) })
}

func newRolloutPauseCommand() *cobra.Command {
	o := &actOptions{}
	return o.acts("pause", "Hold a run where it is",
		"Pause keeps a run in its step: nothing is tightened and no stage follows. A path that is cut is given back\n"+
			"all the same. The time counts neither as proof nor against a deadline.", 30*time.Second,
		func(c *cobra.Command, s *steer.Steerer, run *v1alpha1.PolicyRolloutRun) error {
			run, err := o.intend(c.Context(), s, run, v1alpha1.IntentPause, steer.Paused)
			switch {
			case err != nil:
				return err
			case o.wait && !steer.Paused(run):
				return &exitError{exitUsage, fmt.Errorf("run %s was not paused any more: it is %s: %s", run.Name, run.Status.Phase, run.Status.Message)}
			}
			say(c.OutOrStdout(), "run %s paused%s", run.Name, stageOf(&run.Status))
			return nil
		})
}

func newRolloutResumeCommand() *cobra.Command {
	o := &actOptions{}
	return o.acts("resume", "Let a paused run go on", "Resume lets a run that was paused go on where it was.", 30*time.Second,
		func(c *cobra.Command, s *steer.Steerer, run *v1alpha1.PolicyRolloutRun) error {
			run, err := o.intend(c.Context(), s, run, v1alpha1.IntentRun, func(run *v1alpha1.PolicyRolloutRun) bool { return !steer.Paused(run) })
			if err != nil {
				return err
			}
			say(c.OutOrStdout(), "run %s resumed%s", run.Name, stageOf(&run.Status))
			return nil
		})
}

func newRolloutAbortCommand() *cobra.Command {
	o := &actOptions{}
	return o.acts("abort", "Take a run back",
		"Abort takes back what a run has changed, for good, and waits until the baseline was seen to work.\n\n"+
			"Exit codes: 0 nothing of the run is in force; 2 the rollback failed, or was not verified within --timeout;\n"+
			"4 the run is over, or had committed before it could be taken back.", 3*time.Minute,
		func(c *cobra.Command, s *steer.Steerer, run *v1alpha1.PolicyRolloutRun) error {
			leavesRunning(c.Context(), fmt.Sprintf("run %s/%s goes on being taken back; whether it is was not seen: tightrope rollout status %s -n %s", run.Namespace, run.Name, run.Name, run.Namespace))
			run, err := o.intend(c.Context(), s, run, v1alpha1.IntentAbort, steer.Ended)
			switch {
			case errors.Is(err, steer.ErrRefused), errors.Is(err, steer.ErrForbidden):
				return err
			case err != nil:
				return &exitError{exitRollback, fmt.Errorf("the rollback of run %s was not verified: %w; it goes on: look at it with %s", run.Name, err, o.command("status", run))}
			case !o.wait:
				say(c.OutOrStdout(), "run %s is being aborted", run.Name)
				return nil
			}
			return taken(c, run)
		})
}

// taken says what became of a run that was to be aborted.
func taken(c *cobra.Command, run *v1alpha1.PolicyRolloutRun) error {
	st := run.Status
	switch st.Phase {
	case v1alpha1.PhaseRollbackFailed:
		return &exitError{exitRollback, fmt.Errorf("run %s: %s", run.Name, st.Message)}
	case v1alpha1.PhaseCommitted:
		if run.CalledOff() {
			return &exitError{exitUsage, fmt.Errorf("run %s had committed its wave before it could be taken back: the wave stays in force, and those after it do not follow", run.Name)}
		}
		return &exitError{exitUsage, errTooLate}
	case v1alpha1.PhaseRolledBack:
		say(c.OutOrStdout(), "run %s aborted: the baseline is back and was seen to work%s", run.Name, staying(run))
	default: // it ended by itself before anything was in force
		say(c.OutOrStdout(), "run %s ended (%s): nothing of it is in force", run.Name, st.Phase)
	}
	return nil
}

// staying says which waves an abort leaves in force.
func staying(run *v1alpha1.PolicyRolloutRun) string {
	if run.Spec.Wave < 2 {
		return ""
	}
	return fmt.Sprintf("; the %d waves before it are committed and stay in force", run.Spec.Wave-1)
}

func newRolloutRetryCommand() *cobra.Command {
	o, wait := following{}, false
	c := &cobra.Command{
		Use:   "retry NAME",
		Short: "Try a rollout once more that was not committed",
		Long: "Retry makes a new run of the same rollout, unchanged. It is refused while a run goes on, and where the\n" +
			"last one is committed. It prints the name of the new run; with --wait it follows it as apply does, with the\nsame exit codes.",
		Args: one,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if err := o.check(); err != nil {
				return err
			}
			s, f, err := o.run(ctx, args[0])
			if err != nil {
				return steerError(ctx, err)
			}
			limited, stop := within(ctx, begunWithin)
			run, err := s.Retry(limited, f)
			stop()
			if err != nil {
				return steerError(ctx, err)
			}
			say(c.OutOrStdout(), "run %s tries it again (attempt %d)", run.Name, run.Spec.Attempt)
			if !wait {
				return nil
			}
			return steerError(ctx, o.follow(ctx, s, run, newScreen(c.OutOrStdout())))
		},
	}
	o.flags(c)
	c.Flags().BoolVar(&wait, "wait", false, "follow the new run to its end")
	return c
}
