package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// evidenceOf is a run that has begun, with a status in a phase.
func evidenceOf(t *testing.T, phase v1alpha1.Phase) *report.Bundle {
	t.Helper()
	chain := evidence.Chain{Run: "r-1", RunUID: "u"}
	chain.Add(evidence.Entry{At: time.Now(), Begin: &evidence.Begin{Run: "r-1", Rollout: "a/r"}})
	f, err := chain.Next("plan")
	if err != nil {
		t.Fatal(err)
	}
	run := &v1alpha1.PolicyRolloutRun{}
	run.Name, run.UID = "r-1", "u"
	run.Status.Phase, run.Status.PlanDigest = phase, "plan"
	run.Status.Evidence = &v1alpha1.Evidence{Head: f.Head.Digest, Chunks: 1}
	return &report.Bundle{Run: run, Chunks: []report.BundledChunk{{Name: f.Name(), Packed: f.Packed}}}
}

// A run whose status is ahead of its evidence is looked at again for a while, and then told
// of as it is.
func TestARunThatIsAheadOfItsEvidenceIsWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		after int // looks until the evidence has the decision; 0: it never has
		fail  error
		took  time.Duration
	}{
		"at once": {after: 1}, "a second later": {after: 3, took: 2 * aheadEvery}, "never": {took: aheadFor}, "unreadable": {fail: errors.New("no")},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, looks := time.Now(), 0
			err := caughtUp(context.Background(), func() (*report.Bundle, error) {
				if looks++; tt.after > 0 && looks >= tt.after {
					return evidenceOf(t, v1alpha1.PhasePreflight), tt.fail
				}
				return evidenceOf(t, v1alpha1.PhaseRollingBack), tt.fail
			})
			if took := time.Since(began); !errors.Is(err, tt.fail) || took != tt.took {
				t.Errorf("%s: %v after %v, want %v after %v", name, err, took, tt.fail, tt.took)
			}
		})
	}
}
