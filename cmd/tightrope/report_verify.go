package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tightrope-dev/tightrope/report"
)

// evidenceFile is what rollout report -o calls the evidence, beside report.json.
const evidenceFile = "evidence.json"

func newReportVerifyCommand() *cobra.Command {
	t, evidence, live := target{}, "", false
	c := &cobra.Command{
		Use:   "verify FILE|NAME",
		Short: "Hold a report against the evidence of its run",
		Long: "Verify judges anew what a run wrote down, and compares what comes of it with the report, field by field, and\n" +
			"with the run's status. It refuses a chunk of evidence that was removed, changed, repeated or reordered, and\n" +
			"names it. A name is that of a rollout or run of a cluster. A file is a report.json that rollout report -o\n" +
			"wrote; the evidence is " + evidenceFile + " beside it. With --live the run of a file is that of the cluster.\n\n" +
			"Whoever may write the chunks and the status of a run could make both up: docs/evidence.md.",
		Example: "  tightrope report verify gateway-lockdown -n ai\n  tightrope report verify reports/report.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name, isFile, err := t.meantLive(args, live)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			var b *report.Bundle
			var rep *report.Report
			if isFile {
				b, rep, err = t.bundled(c.Context(), name, evidence, live)
			} else {
				b, rep, err = t.gathered(c.Context(), name)
			}
			if err != nil {
				return err
			}
			return verified(c.OutOrStdout(), report.Verify(b, rep), rep != nil)
		},
	}
	t.flags(c)
	c.Flags().StringVar(&evidence, "evidence", "", "file with the evidence; empty: "+evidenceFile+" beside the report")
	c.Flags().BoolVar(&live, "live", false, "of a file: hold its evidence against the run in the cluster")
	return c
}

// meantLive is meant, for a file whose run is in a cluster.
func (t *target) meantLive(args []string, live bool) (string, bool, error) {
	if live {
		return args[0], true, nil
	}
	return t.meant("", args)
}

const (
	// aheadFor is how long the status of a run may be ahead of its evidence before that is told.
	aheadFor = 10 * time.Second
	// aheadEvery is how often it is looked at meanwhile.
	aheadEvery = 500 * time.Millisecond
)

// gathered is the evidence of a run of the cluster, and its report; nil: the run goes on.
// Where the status is ahead of the evidence, it waits a little for that.
func (t *target) gathered(ctx context.Context, name string) (b *report.Bundle, rep *report.Report, err error) {
	err = caughtUp(ctx, func() (*report.Bundle, error) {
		b, rep, err = t.gatheredNow(ctx, name)
		return b, err
	})
	return b, rep, err
}

// caughtUp gathers evidence until the status of its run is not ahead of it, for so long as
// that may take.
func caughtUp(ctx context.Context, gather func() (*report.Bundle, error)) error {
	for began := time.Now(); ; {
		b, err := gather()
		if err != nil || !errors.Is(report.Verify(b, nil).Err(), report.ErrAhead) || time.Since(began) >= aheadFor {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(aheadEvery):
		}
	}
}

func (t *target) gatheredNow(ctx context.Context, name string) (*report.Bundle, *report.Report, error) {
	s, f, err := t.run(ctx, name)
	if err != nil {
		return nil, nil, steerError(ctx, err)
	}
	b, err := s.Evidence(ctx, f.Run)
	if err != nil {
		return nil, nil, steerError(ctx, err)
	}
	if !f.Run.Status.Phase.Terminal() {
		return b, nil, nil
	}
	rep, err := s.Report(ctx, f.Run)
	if err != nil {
		return nil, nil, steerError(ctx, err)
	}
	return b, rep, nil
}

// bundled is what files hold.
func (t *target) bundled(ctx context.Context, file, evidence string, live bool) (*report.Bundle, *report.Report, error) {
	rep, err := reportIn(file, nil)
	if err != nil {
		return nil, nil, err
	}
	if evidence == "" {
		evidence = filepath.Join(filepath.Dir(file), evidenceFile)
	}
	raw, err := os.ReadFile(evidence)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no evidence %s: tightrope rollout report NAME -o writes it beside the report", evidence)
	} else if err != nil {
		return nil, nil, err
	}
	b, err := report.ParseBundle(raw)
	if err != nil || !live {
		return b, rep, err
	}
	t.namespace = b.Run.Namespace
	_, f, err := t.run(ctx, b.Run.Name)
	if err != nil {
		return nil, nil, steerError(ctx, err)
	}
	b.Run = f.Run
	return b, rep, nil
}

// verified says what came of it, a line for each thing that was compared.
func verified(w io.Writer, v *report.Verification, compared bool) error {
	for _, c := range v.Checks {
		if c.Err == nil {
			say(w, "✓ %s", c.What)
			continue
		}
		say(w, "✕ %s: %s", c.What, report.SanitizeParagraph(c.Err.Error()))
	}
	for _, what := range v.NotCovered {
		say(w, "? not covered: %s", report.Sanitize(what))
	}
	switch {
	case errors.Is(v.Err(), report.ErrAhead):
		return &exitError{exitInconclusive, errors.New("the status of the run is ahead of its evidence, so nothing is proved yet: try again in a moment; if it stays so, no controller is running, or somebody changed the status")}
	case v.Err() != nil:
		return &exitError{exitInconclusive, errors.New("the report is not what the evidence gives, or the evidence is not what the run wrote down: it proves nothing")}
	case !compared:
		say(w, "\nThe evidence holds together so far. The run goes on, so its report was not compared.")
	default:
		say(w, "\nVerified: the report says what the evidence gives.")
	}
	return nil
}

// writeEvidence writes the evidence of a run beside its report.
func writeEvidence(folder string, b *report.Bundle) error {
	raw, err := b.JSON()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, evidenceFile), raw, 0o644)
}
