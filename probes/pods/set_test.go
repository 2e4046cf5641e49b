package pods

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/probes"
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

// A run that rests is looked at when a check turns, also if the line that says so was
// held up until the failures are seconds old.
func TestALateLineThatTellsOfATurnIsNews(t *testing.T) {
	woken, name, now := 0, types.NamespacedName{Name: "a"}, time.Now()
	s := NewSet(t.Context(), func() { woken++ })
	s.agents[name] = &Agent{ledger: probes.NewLedger("d"), failedAt: map[string]time.Time{}, connectedAt: map[string]time.Time{}, spokenAt: map[string]time.Time{}}
	hear := func(seq uint64, last probes.Outcome, since, newest time.Duration) bool {
		before := woken
		s.Hear(name, probes.Line{Digest: "d", Boot: "b", Seq: seq, From: now.Add(newest - time.Second), To: now.Add(newest),
			Counts: []probes.Count{{ID: "c", Outcomes: map[probes.Outcome]int{last: 9}, Last: last, Streak: 9, Since: now.Add(since), Newest: now.Add(newest)}}}, now.Add(newest))
		return woken > before
	}
	for i, x := range []struct {
		last          probes.Outcome
		since, newest time.Duration
		news          bool
	}{
		{probes.Reached, 0, 2 * time.Second, true}, // the agent is heard for the first time
		{probes.Reached, 0, 4 * time.Second, false},
		{probes.TimedOut, 5 * time.Second, 8 * time.Second, true},
		{probes.TimedOut, 5 * time.Second, 9 * time.Second, false},
	} {
		if got := hear(uint64(i+1), x.last, x.since, x.newest); got != x.news {
			t.Errorf("%s since %v, newest %v: news %v, want %v", x.last, x.since, x.newest, got, x.news)
		}
	}
}

// What a pod had not said when it was started or made again is missing, once for each
// time that it was heard in between. The number never falls, whatever ledger tells it.
func TestAPodThatIsStartedAgainHasSaidNotAll(t *testing.T) {
	name := types.NamespacedName{Namespace: "a", Name: "agent"}
	s := NewSet(t.Context(), func() {})
	a := &Agent{digest: "d", ledger: probes.NewLedger("d"), failedAt: map[string]time.Time{}, connectedAt: map[string]time.Time{}, spokenAt: map[string]time.Time{}}
	s.agents[name] = a
	now := time.Now()
	hear := func(boot string, seq uint64) {
		now = now.Add(time.Second)
		s.Hear(name, probes.Line{Digest: "d", Boot: boot, Seq: seq, From: now.Add(-time.Second), To: now}, now)
	}
	for _, step := range []struct {
		what string
		do   func()
		want uint64
	}{
		{"nothing was heard", func() { s.restarted(name) }, 0},
		{"it is heard", func() { hear("one", 1) }, 0},
		{"two lines are lost", func() { hear("one", 4) }, 2},
		{"its container was started again", func() { s.restarted(name) }, 3},
		{"and once more, before it said anything", func() { s.restarted(name) }, 3},
		{"it is heard again", func() { hear("two", 1) }, 3},
		{"its process was started again", func() { hear("three", 1) }, 4},
		{"its pod is made again", func() { s.void(name) }, 5},
	} {
		if step.do(); a.Gaps() != step.want {
			t.Errorf("%s: %d lines are missing, want %d", step.what, a.Gaps(), step.want)
		}
	}
}
