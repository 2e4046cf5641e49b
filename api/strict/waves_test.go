package strict

import (
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

func TestWavesAreChecked(t *testing.T) {
	for _, tt := range []struct {
		waves v1alpha1.Waves
		want  string // empty: they are fine
	}{
		{v1alpha1.Waves{}, ""},
		{v1alpha1.Waves{By: "None"}, ""},
		{v1alpha1.Waves{By: "Namespace", First: []string{"data", "ai"}}, ""},
		{v1alpha1.Waves{By: "Workload"}, "Workload is not served: want None or Namespace"},
		{v1alpha1.Waves{By: "Pod"}, "want None or Namespace"},
		{v1alpha1.Waves{First: []string{"data"}}, "goes with by: Namespace"},
		{v1alpha1.Waves{By: "Namespace", First: []string{"Data"}}, "is not the name of a namespace"},
		{v1alpha1.Waves{By: "Namespace", First: []string{"data", "data"}}, "is listed twice"},
	} {
		f := CheckWaves("spec.waves", tt.waves)
		if tt.want == "" && len(f) > 0 || tt.want != "" && (len(f) != 1 || !strings.Contains(f[0].What, tt.want)) {
			t.Errorf("%+v: got %+v, want %q", tt.waves, f, tt.want)
		}
	}
}

// A scope that nothing serves is refused, and not passed over.
func TestOnlyTheServedRollbackScopeIsTaken(t *testing.T) {
	for scope, want := range map[v1alpha1.RollbackScope]string{"": "", "Wave": "", "All": "All is not served", "Everything": "want Wave"} {
		f := CheckRollout("spec", v1alpha1.PolicyRolloutSpec{RollbackScope: scope, Suites: []v1alpha1.SuiteRef{{Name: "s"}},
			Stages: []v1alpha1.Stage{{Name: "all", Mode: v1alpha1.ModeEnforce}}})
		if want == "" && len(f) > 0 || want != "" && (len(f) != 1 || f[0].Path != "spec.rollbackScope" || !strings.Contains(f[0].What, want)) {
			t.Errorf("%s: %+v, want %q", scope, f, want)
		}
	}
}
