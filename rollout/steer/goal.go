package steer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Goal is what a script waits for. The zero Goal is reached by nothing.
type Goal struct {
	stage string // reached or passed
	phase v1alpha1.Phase
	ended bool
	waits bool // for an approval
}

// ParseGoal reads stage=NAME, approval, committed or complete.
func ParseGoal(text string) (Goal, error) {
	stage, isStage := strings.CutPrefix(text, "stage=")
	switch {
	case isStage && stage != "":
		return Goal{stage: stage}, nil
	case text == "approval":
		return Goal{waits: true}, nil
	case text == "committed":
		return Goal{phase: v1alpha1.PhaseCommitted}, nil
	case text == "complete":
		return Goal{ended: true}, nil
	}
	return Goal{}, fmt.Errorf("--for=%s: write stage=NAME, approval, committed or complete", strict.Show(text))
}

// places are the steps of every run that no stage names.
var places = []string{"preflight", "expand", "commit", "rollback"}

// Check refuses a stage that the rollout does not have: nothing would ever reach it.
func (g Goal) Check(ro *v1alpha1.PolicyRollout) error {
	if g.stage == "" || ro == nil {
		return nil
	}
	names := slices.Clone(places)
	for _, stage := range ro.Spec.Stages {
		names = append(names, stage.Name)
	}
	if !slices.Contains(names, g.stage) {
		return fmt.Errorf("%w: rollout %s/%s has no stage %q%s: it has %s", ErrRefused, ro.Namespace, ro.Name, strict.Show(g.stage), strict.DidYouMean(g.stage, names), strict.OneOf(names))
	}
	return nil
}

// Reached reports whether a run is where it is waited for, or was.
func (g Goal) Reached(run *v1alpha1.PolicyRolloutRun) bool {
	switch st := run.Status; {
	case g.ended:
		return Ended(run)
	case g.waits:
		return Waits(run)
	case g.phase != "":
		return st.Phase == g.phase && !run.GoesOn() && !run.CalledOff()
	case g.stage != "":
		return st.Stage == g.stage || slices.ContainsFunc(st.History, func(h v1alpha1.PhaseChange) bool { return h.Stage == g.stage })
	}
	return false
}

// EndsWith reports whether the end of the run is what is waited for, whatever it is.
func (g Goal) EndsWith() bool { return g.ended }
