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
	stage    string // reached or passed
	declared bool   // stage is one of the rollout's, and not a place of ours
	phase    v1alpha1.Phase
	ended    bool
	waits    bool // for an approval
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

// places are the steps of every run that no stage is declared for.
var places = []string{"preflight", "expand", "commit", "rollback"}

// Of is the goal for a rollout. It refuses a stage that the rollout does not have:
// nothing would ever reach it. A stage that is called as one of our own places is that
// stage, and our place is then called so in brackets.
func (g Goal) Of(ro *v1alpha1.PolicyRollout) (Goal, error) {
	if g.stage == "" || ro == nil {
		return g, nil
	}
	var names []string
	for _, stage := range ro.Spec.Stages {
		names = append(names, stage.Name)
	}
	g.declared = slices.Contains(names, g.stage)
	for _, place := range places {
		if slices.Contains(names, place) {
			place = "(" + place + ")"
		}
		names = append(names, place)
	}
	if !slices.Contains(names, g.stage) {
		return g, fmt.Errorf("%w: rollout %s/%s has no stage %q%s: it has %s", ErrRefused, ro.Namespace, ro.Name, strict.Show(g.stage), strict.DidYouMean(g.stage, names), strict.OneOf(names))
	}
	return g, nil
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
		return g.at(st.Phase, st.Stage) || slices.ContainsFunc(st.History, func(h v1alpha1.PhaseChange) bool { return g.at(h.Phase, h.Stage) })
	}
	return false
}

// at reports whether a phase with the name of its step is the stage that is waited for.
func (g Goal) at(phase v1alpha1.Phase, stage string) bool {
	return stage == g.stage && (phase.Staged() || !g.declared)
}

// EndsWith reports whether the end of the run is what is waited for, whatever it is.
func (g Goal) EndsWith() bool { return g.ended }
