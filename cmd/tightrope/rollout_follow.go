package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/steer"
)

// following is how a run is followed to its end.
type following struct {
	target
	timeout     time.Duration
	holdTimeout time.Duration // 0: a held run is followed as long as it lasts
	report      string        // directory; empty: none is written

	differs func(*v1alpha1.PolicyRolloutRun) string // why a run is not of what was applied; nil: nothing was
}

func (o *following) flags(c *cobra.Command) {
	o.target.flags(c)
	f := c.Flags()
	f.DurationVar(&o.timeout, "timeout", 0, "how long to follow; then the command ends with 3, and the run goes on; 0 means to its end")
	f.DurationVar(&o.holdTimeout, "hold-timeout", 2*time.Minute, "how long a held run is followed before the command ends with 1; it stays held")
	f.StringVar(&o.report, "report", "", "directory for the reports, one folder per rollout; empty: none is written")
}

func (o *following) check() error {
	if o.holdTimeout <= 0 {
		return fmt.Errorf("--hold-timeout=%v: use a time above 0, such as 2m", o.holdTimeout)
	}
	return nil
}

// folder is where the report of a rollout goes; it is made before anything starts.
func (o *following) folder(rollout string) (string, error) {
	if o.report == "" {
		return "", nil
	}
	folder := filepath.Join(o.report, rollout)
	if err := makeFolder(folder); err != nil {
		return "", fmt.Errorf("report directory %s cannot be used: %w; choose another with --report", folder, err)
	}
	return folder, nil
}

// errHeldLong ends the following of a run that stays held.
var errHeldLong = errors.New("held for longer than --hold-timeout")

// follow shows a run to its end and what it proved. The exit codes are those of
// `tightrope run`. A signal ends the command, and the run goes on.
func (o *following) follow(ctx context.Context, s *steer.Steerer, run *v1alpha1.PolicyRolloutRun, show *screen) error {
	folder, err := o.folder(run.Spec.RolloutRef.Name)
	if err != nil {
		return err
	}
	goesOn := fmt.Sprintf("run %s/%s goes on in the cluster; abort it with: %s", run.Namespace, run.Name, o.command("abort", run))
	leavesRunning(ctx, goesOn)
	show.line("run       %s", report.Sanitize(run.Namespace+"/"+run.Name))
	limited, stop := within(ctx, o.timeout)
	defer stop()
	limited, hold := context.WithCancelCause(limited)
	defer hold(nil)
	seen, other := o.shown(show, hold), ""
	told := run.Name
	var waves error // of waves that others follow
	last, err := s.Follow(limited, run, func(run *v1alpha1.PolicyRolloutRun) bool {
		if run.Name != told {
			told = run.Name
			goesOn = fmt.Sprintf("run %s/%s goes on in the cluster; abort it with: %s", run.Namespace, run.Name, o.command("abort", run))
			leavesRunning(ctx, goesOn)
			show.line("run       %s", report.Sanitize(run.Namespace+"/"+run.Name))
		}
		if steer.Tidied(run) && run.GoesOn() {
			waves = worse(waves, o.ended(ctx, s, run, show, ofWave(folder, run)))
		}
		if o.differs != nil {
			other = o.differs(run)
		}
		return seen(run) || other != ""
	})
	switch {
	case other != "":
		return &exitError{exitInconclusive, fmt.Errorf("run %s/%s (%s) does not try what was applied: %s; %s", last.Namespace, last.Name, last.Status.Phase, other, o.tryIt(last))}
	case err == nil:
		return worse(waves, o.ended(ctx, s, last, show, ofWave(folder, last)))
	case ctx.Err() != nil:
		return &exitError{exitInterrupted, nil} // it is told
	case errors.Is(err, errHeldLong):
		return worse(waves, o.ended(ctx, s, last, show, ofWave(folder, last)))
	}
	return &exitError{exitInconclusive, fmt.Errorf("%w; %s", err, goesOn)}
}

// ofWave is the folder for the report of one wave of several.
func ofWave(folder string, run *v1alpha1.PolicyRolloutRun) string {
	n, waves := max(run.Spec.Wave, 1), run.Status.Waves
	if folder == "" || n > int64(len(waves)) {
		return folder
	}
	return filepath.Join(folder, fmt.Sprintf("wave-%d", n))
}

// shown tells every change once, until the run has ended.
func (o *following) shown(show *screen, hold context.CancelCauseFunc) func(*v1alpha1.PolicyRolloutRun) bool {
	told := ""
	var held *time.Timer
	return func(run *v1alpha1.PolicyRolloutRun) bool {
		st := &run.Status
		if now := fmt.Sprintf("%s/%s/%s/%s/%v", run.Name, st.Phase, st.Stage, st.Cause, steer.Paused(run)); now != told && st.Phase != "" {
			told = now
			show.status(st)
		}
		if st.Phase != v1alpha1.PhaseHeld && held != nil {
			held.Stop()
			held = nil
		} else if st.Phase == v1alpha1.PhaseHeld && held == nil && o.holdTimeout > 0 {
			held = time.AfterFunc(o.holdTimeout, func() { hold(errHeldLong) })
		}
		return steer.Ended(run)
	}
}

// ended shows what a run has proved, and is the exit code of that.
func (o *following) ended(ctx context.Context, s *steer.Steerer, run *v1alpha1.PolicyRolloutRun, show *screen, folder string) error {
	rep, err := s.Report(ctx, run)
	if err != nil {
		return unreported(run, err)
	}
	rep.Cluster = o.cluster
	show.result(rep)
	if why := report.Unverified(run); why != "" {
		show.line("Not verified: %s", report.Sanitize(why))
	}
	var written error
	if folder != "" {
		if written = writeReports(folder, rep); written == nil {
			show.where(folder)
		}
	}
	switch code := report.ExitCode(rep); {
	case code == exitUsage:
		return &exitError{code, errors.Join(fmt.Errorf("rollout %s was refused: %s", rep.Rollout, report.Headline(rep)), written)}
	case code == exitOK && written != nil:
		return &exitError{exitInconclusive, written}
	case code != exitOK:
		return &exitError{code, written}
	}
	return nil
}

// unreported is the end of a run whose report cannot be read: that its rollback failed
// is known all the same, and that it committed without a proof that can be shown is no
// pass.
func unreported(run *v1alpha1.PolicyRolloutRun, err error) error {
	code := report.ExitCode(report.OfStatus(run))
	if code == exitOK {
		code = exitInconclusive
	}
	return &exitError{code, fmt.Errorf("run %s is %s: %w", run.Name, run.Status.Phase, err)}
}

func newRolloutWatchCommand() *cobra.Command {
	o := following{}
	c := &cobra.Command{
		Use:   "watch NAME",
		Short: "Follow a run to its end",
		Long: "Watch shows a run as tightrope run does, and what it proved. Ctrl-C ends the command; the run goes on.\n\n" +
			"Exit codes: 0 committed; 1 cut or leak; 2 rollback failed; 3 inconclusive, or not over within --timeout;\n4 refused, or no such rollout.",
		Args: one,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			s, f, err := o.run(c.Context(), args[0])
			if err == nil {
				err = o.follow(c.Context(), s, f.Run, newScreen(c.OutOrStdout()))
			}
			return steerError(c.Context(), err)
		},
	}
	o.flags(c)
	return c
}
