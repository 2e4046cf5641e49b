package rollout

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// The API server prunes scope.probePodsOnly of a rollout that an earlier version
// stored. What is left must not become a canary of production pods.
func TestACanaryWithoutScopeIsRefused(t *testing.T) {
	one := intstr.FromInt32(1)
	stages := []v1alpha1.Stage{
		{Name: "shadow", Mode: v1alpha1.ModeShadow},
		{Name: "few", Mode: v1alpha1.ModeCanary, Scope: v1alpha1.Scope{MaxPods: &one}},
		{Name: "all", Mode: v1alpha1.ModeEnforce},
	}
	steps, err := Steps(stages)
	if err != nil {
		t.Fatal(err)
	}
	var scopes []Scope
	for _, s := range steps {
		scopes = append(scopes, s.Scope)
	}
	if len(scopes) != 4 || scopes[0] != ProbePods || scopes[1] != Bridged || scopes[2] != Few || scopes[3] != Everyone {
		t.Errorf("scopes are %v", scopes)
	}
	stages[1].Scope.MaxPods = nil
	if _, err := Steps(stages); err == nil || !strings.Contains(err.Error(), "mode: Shadow to enforce probe pods only") {
		t.Errorf("a canary without maxPods: %v", err)
	}
}

// Nothing tells steps apart by their names, so people may use ours. Only what is shown
// differs then.
func TestStagesMayBeCalledAsOurPlacesAre(t *testing.T) {
	one := intstr.FromInt32(1)
	stages := []v1alpha1.Stage{
		{Name: "preflight", Mode: v1alpha1.ModeObserve},
		{Name: "expand", Mode: v1alpha1.ModeCanary, Scope: v1alpha1.Scope{MaxPods: &one}},
		{Name: "rollback", Mode: v1alpha1.ModeEnforce},
		{Name: "commit", Mode: v1alpha1.ModeEnforce},
	}
	steps, err := Steps(stages)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i, want := range []string{"preflight", "(expand)", "expand", "rollback", "commit"} {
		if names[steps[i].Name] = true; steps[i].Name != want {
			t.Errorf("step %d is called %q, want %q", i, steps[i].Name, want)
		}
	}
	for _, phase := range []v1alpha1.Phase{v1alpha1.PhasePreflight, v1alpha1.PhaseCommitting, v1alpha1.PhaseRollingBack} {
		name := StepName(steps, State{Phase: phase})
		if name == "" || names[name] {
			t.Errorf("in %s the place is called %q, as a stage is", phase, name)
		}
		if plain := StepName(nil, State{Phase: phase}); "("+plain+")" != name {
			t.Errorf("in %s the place is called %q, and %q where no stage is called so", phase, name, plain)
		}
	}
	if StepName(steps, State{Phase: v1alpha1.PhaseHeld, Step: 4}) != "commit" || StepName(steps, State{Phase: v1alpha1.PhaseEnforce, Step: 5}) != "" {
		t.Error("a run in a stage is not where it is")
	}
}
