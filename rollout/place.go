package rollout

import (
	"slices"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// StepName is what people call the place that a state is in; empty: it is in none. What
// a run does there follows from the phase and the step, and never from this name: people
// may call a stage commit.
func StepName(steps []StepPlan, at State) string {
	switch {
	case at.Phase.Staged():
		if at.Step >= 0 && at.Step < len(steps) {
			return steps[at.Step].Name
		}
	case at.Phase == v1alpha1.PhaseCommitting:
		return PlaceName("commit", steps)
	case at.Phase == v1alpha1.PhaseRollingBack:
		return PlaceName("rollback", steps)
	case at.Phase == v1alpha1.PhasePreflight:
		return PlaceName("preflight", steps)
	}
	return ""
}

// PlaceName is the name of a place that nobody declared a stage for. It is in brackets
// where a stage is called so too: a stage's name has none, so the two stay apart.
func PlaceName(name string, steps []StepPlan) string {
	return apart(name, slices.ContainsFunc(steps, func(s StepPlan) bool { return s.Name == name }))
}

func apart(name string, taken bool) string {
	if taken {
		return "(" + name + ")"
	}
	return name
}
