package preview

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// A path that is denied already is not cut by a rollout, and one that changes
// nothing cuts nothing.
func TestTheConclusionTellsACutFromWhatNeverWorked(t *testing.T) {
	cut := func(now verdict.Decision) Path {
		return Path{Name: "a→b", Finding: Cut, Now: now, Then: verdict.Deny, Rule: "ai/p ingress: no rule"}
	}
	selected := func(inForce bool) rollout.Summary {
		return rollout.Summary{Selected: []rollout.Selection{{InForce: inForce}}}
	}
	for _, tt := range []struct {
		name string
		p    Preview
		says string
	}{
		{"works now", Preview{Paths: []Path{cut(verdict.Allow)}, Summary: selected(false)}, "1 path would be cut"},
		{"does not", Preview{Paths: []Path{cut(verdict.Deny)}, Summary: selected(false)}, "neither what is there nor the rollout allows it"},
		{"in force", Preview{Paths: []Path{cut(verdict.Deny)}, Summary: selected(true)}, "every policy of the rollout is in force already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			out := &page{w: &b}
			if tt.p.conclude(out); !strings.Contains(b.String(), tt.says) {
				t.Errorf("it says %q", b.String())
			}
		})
	}
}
