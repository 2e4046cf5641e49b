package operator

import (
	"testing"

	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// One policy is not "1 policies".
func TestWhatACommitHasDoneIsCounted(t *testing.T) {
	kept, gone := plan.Original{Becomes: "candidate"}, plan.Original{}
	for _, tt := range []struct {
		candidates int
		originals  []plan.Original
		want       string
	}{
		{1, nil, "1 policy is in force"},
		{2, []plan.Original{kept}, "2 policies are in force"},
		{0, []plan.Original{gone}, "1 policy is removed"},
		{0, []plan.Original{gone, gone}, "2 policies are removed"},
		{1, []plan.Original{kept, gone}, "1 policy is in force, 1 is removed"},
		{2, []plan.Original{gone, gone}, "2 policies are in force, 2 are removed"},
	} {
		p := &Plan{Plan: plan.Plan{Originals: tt.originals}}
		for range tt.candidates {
			p.Candidates = append(p.Candidates, plan.Candidate{})
		}
		if got := p.outcome(); got != tt.want {
			t.Errorf("%d candidates, %d originals: %q, want %q", tt.candidates, len(tt.originals), got, tt.want)
		}
	}
}
