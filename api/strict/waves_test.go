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
		{v1alpha1.Waves{By: "Workload"}, "want None or Namespace"},
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
