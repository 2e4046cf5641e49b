package operator

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/tightrope-dev/tightrope/rollout/planner"
)

func TestARunNameIsOfOneRolloutGenerationAndAttempt(t *testing.T) {
	// The digits are fixed for good: another release must find the runs of this one.
	const want = "gateway-lockdown-afc05cb6"
	if got := RunName("gateway-lockdown", "0b6f4f8a-6a35-4b0e-9d54-6f8b7f0c2a11", 4, 1); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	seen := map[string]bool{}
	for _, uid := range []types.UID{"a", "b"} {
		for generation := range int64(20) {
			for attempt := range int64(3) {
				seen[RunName("r", uid, generation, attempt)] = true
			}
		}
	}
	if len(seen) != 2*20*3 {
		t.Errorf("%d names for %d runs", len(seen), 2*20*3)
	}
	longest := RunName(strings.Repeat("x", planner.MaxName), "u", 1<<62, 1)
	if bad := validation.IsValidLabelValue(longest); len(bad) > 0 {
		t.Errorf("%s is no label value: %v", longest, bad)
	}
}
