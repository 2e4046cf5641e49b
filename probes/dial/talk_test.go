package dial

import (
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// What a suite may ask for can be tried, and nothing else.
func TestEveryTypeHasASpeaker(t *testing.T) {
	for _, known := range v1alpha1.ProbeTypes() {
		if speakers[known.Type] == nil {
			t.Errorf("%s is registered and nobody speaks it", known.Type)
		}
		for _, protocol := range known.Over {
			c := check(string(known.Type), protocol, 1)
			if err := c.Validate(); err != nil {
				t.Errorf("%s over %s: %v", known.Type, protocol, err)
			}
			if known.Proves > v1alpha1.ProvesReach != (begun(t, known.Type, protocol) != nil) {
				t.Errorf("%s over %s proves %d, and whether it says anything does not fit that", known.Type, protocol, known.Proves)
			}
		}
	}
	if all := len(v1alpha1.ProbeTypes()); len(speakers) != all {
		t.Errorf("%d types are spoken, and %d are registered", len(speakers), all)
	}
}

func begun(t *testing.T, kind v1alpha1.ProbeType, protocol string) talk {
	t.Helper()
	talk, err := speakers[kind](check(string(kind), protocol, 1))
	if err != nil {
		t.Fatalf("%s over %s: %v", kind, protocol, err)
	}
	return talk
}
