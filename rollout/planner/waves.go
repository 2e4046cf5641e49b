package planner

import (
	"slices"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// Waves are those that a plan names, of the waves that a proof found. A rollout that is
// one wave, as most are, names none unless its author asked for waves.
func Waves(found []rollout.Wave, by v1alpha1.Waves) []rollout.Wave {
	if len(found) == 1 && by.By != v1alpha1.WaveByNamespace {
		return nil
	}
	return found
}

// Narrow leaves in the plan what a wave changes. Bridge comes next.
func Narrow(p *plan.Plan, wave rollout.Wave) {
	other := func(key string) bool { return !slices.Contains(wave.Policies, key) }
	p.Candidates = slices.DeleteFunc(p.Candidates, func(c plan.Candidate) bool { return other(c.Key()) })
	p.Originals = slices.DeleteFunc(p.Originals, func(o plan.Original) bool { return other(o.Key()) })
}
