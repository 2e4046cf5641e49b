package rollout

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Scope says which pods the candidate set judges alone while a step lasts.
// The zero Scope is Nobody.
type Scope uint8

// The scopes, from harmless to final.
const (
	Nobody    Scope = iota // nothing is applied
	ProbePods              // bridges and candidates select our own pods only
	Bridged                // production pods are selected by bridges and candidates: nothing should change
	Few                    // some production pods are labelled enforced
	Everyone               // the bridges select nothing
)

// String names the scope for people.
func (s Scope) String() string {
	switch s {
	case ProbePods:
		return "probe pods only"
	case Bridged:
		return "everyone bridged, probe pods enforced"
	case Few:
		return "a few production pods enforced"
	case Everyone:
		return "everyone enforced"
	}
	return "nobody"
}

// Live reports whether something is applied to the cluster in this scope.
func (s Scope) Live() bool { return s != Nobody }

// Gate is the proof a step demands before a rollout may leave it.
type Gate struct {
	Soak               time.Duration `json:"soak"`               // how long nothing may have been cut or leaking
	MinCoveragePercent int32         `json:"minCoveragePercent"` // of the step's cells; 0 means 100
}

// StepPlan is one step of a plan.
type StepPlan struct {
	Name    string             `json:"name"`
	Phase   v1alpha1.Phase     `json:"phase"` // Observe, Canary or Enforce
	Scope   Scope              `json:"scope"`
	MaxPods intstr.IntOrString `json:"maxPods"` // per workload, when Scope is Few
	Gate    Gate               `json:"gate"`
	Gates   []v1alpha1.Gate    `json:"gates,omitempty"` // that have to be open, beside the proof
}

// expandStep is the name of the step that takes the bridges from our own pods
// to production; no stage is declared for it because it should change nothing.
const expandStep = "expand"

// expandSoak is how long the expanded bridges are watched before the first
// production pod is enforced.
const expandSoak = time.Second

// Steps turns declared stages into the steps of a plan: an expand step goes in
// before the first stage that enforces production pods. Stages must go from
// Observe over Canary to Enforce and end there, because a rollout that never
// enforces everyone can never commit.
func Steps(stages []v1alpha1.Stage) ([]StepPlan, error) {
	var steps []StepPlan
	expanded := false
	last := Nobody
	expand := apart(expandStep, slices.ContainsFunc(stages, func(st v1alpha1.Stage) bool { return st.Name == expandStep }))
	for _, st := range stages {
		if st.Mode == v1alpha1.ModeCanary && st.Scope.MaxPods == nil { // such as an older rollout's scope.probePodsOnly, which the API server has pruned
			return nil, fmt.Errorf("stage %q has mode Canary and no scope.maxPods: write how many pods of each workload it enforces, such as maxPods: 10%%, or mode: Shadow to enforce probe pods only", st.Name)
		}
		step := stepOf(st)
		if step.Scope < last {
			return nil, fmt.Errorf("stage %q (%s) comes after a stage that reaches further (%s): order stages Observe, Shadow, Canary, Enforce", st.Name, step.Scope, last)
		}
		if step.Scope > Bridged && !expanded {
			expanded = true
			steps = append(steps, StepPlan{Name: expand, Phase: v1alpha1.PhaseCanary, Scope: Bridged, Gate: Gate{Soak: expandSoak, MinCoveragePercent: 100}})
		}
		last = step.Scope
		steps = append(steps, step)
	}
	if last != Everyone {
		return nil, fmt.Errorf("no stage has mode Enforce: add one at the end, or nothing can ever be committed")
	}
	return steps, nil
}

// baselineSoak is how long a wave after the first watches the baseline at most.
const baselineSoak = 10 * time.Second

// LaterWave are the steps of a wave after the first. Stages that observe have done
// their work: of them the first is left, cut short and without gates of its own, in
// which paths show once more that they work. All others go as they are: what a wave
// enforces was never tried before.
func LaterWave(steps []StepPlan) []StepPlan {
	var later []StepPlan
	observed := false
	for _, step := range steps {
		if step.Scope == Nobody {
			if observed {
				continue
			}
			observed = true
			step = StepPlan{Name: step.Name, Phase: step.Phase, Scope: step.Scope, MaxPods: step.MaxPods,
				Gate: Gate{Soak: min(step.Gate.Soak, baselineSoak), MinCoveragePercent: step.Gate.MinCoveragePercent}}
		}
		later = append(later, step)
	}
	return later
}

func stepOf(st v1alpha1.Stage) StepPlan {
	step := StepPlan{
		Name:  st.Name,
		Gates: st.Gates,
		Gate:  Gate{Soak: st.MinDuration.Duration, MinCoveragePercent: st.MinCoveragePercent},
	}
	if st.Scope.MaxPods != nil {
		step.MaxPods = *st.Scope.MaxPods
	}
	switch st.Mode {
	case v1alpha1.ModeShadow:
		step.Phase, step.Scope = v1alpha1.PhaseCanary, ProbePods
	case v1alpha1.ModeCanary:
		step.Phase, step.Scope = v1alpha1.PhaseCanary, Few
	case v1alpha1.ModeEnforce:
		step.Phase, step.Scope = v1alpha1.PhaseEnforce, Everyone
	default:
		step.Phase, step.Scope = v1alpha1.PhaseObserve, Nobody
	}
	return step
}
