package pods

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// What is excused after an agent was heard is no silence of it; what was excused
// before is none of this one's.
func TestExcusedTimeIsNoSilence(t *testing.T) {
	s := NewSet(t.Context(), func() {})
	now := time.Now()
	s.Excuse(time.Hour)
	s.agents[types.NamespacedName{Name: "a"}] = &Agent{lastHeard: now, excused: s.Excused()}
	s.agents[types.NamespacedName{Name: "marker"}] = &Agent{Spec: Spec{Node: "n"}, created: now.Add(-time.Hour)}
	s.Excuse(40 * time.Second)
	if longest, counted := s.Silence(now.Add(time.Minute)); longest != time.Minute || counted != 20*time.Second {
		t.Errorf("silent for %v, %v of it not excused; want 1m0s and 20s", longest, counted)
	}
}
