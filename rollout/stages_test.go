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
