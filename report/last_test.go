package report

import (
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// rolledBackTo is a run whose rollback ends with a look.
func rolledBackTo(t *testing.T, last func(*Book) *evidence.Look) *aRunsEvidence {
	t.Helper()
	x := begun(t)
	x.turn(t, looking(rollout.Nobody, "watch"), approved(x))
	x.store(t)
	x.add(t, evidence.Entry{Look: looking(rollout.Everyone, "commit")})
	leaks := looking(rollout.Everyone, "commit")
	leaks.Whole, leaks.Checks = false, leaks.Checks[1:2]
	leaks.Checks[0].Last, leaks.Checks[0].Blame = probes.Reached, &evidence.Blame{Leak: "the candidate allows it", Target: "ai/gateway-0", Outcome: "Reached"}
	x.add(t, evidence.Entry{Look: leaks})
	x.add(t, evidence.Entry{Counts: &evidence.Counts{Rows: []evidence.Count{
		{Row: 0, Agent: "apps/front", Attempts: 40, Failures: 2, First: time.UnixMilli(1777863721000).UTC(), Last: time.UnixMilli(1777863729123).UTC()},
		{Row: 2, Agent: "apps/front", Attempts: 41, First: time.UnixMilli(1777863721001).UTC(), Last: time.UnixMilli(1777863729124).UTC()}}}})
	x.store(t)
	cut := looking(rollout.Everyone, "commit")
	cut.Checks[0] = evidence.Check{Agent: "apps/front", Last: probes.TimedOut, Streak: 9, StreakSinceMark: 9, Connected: 9, Blocked: 9, Stopped: 9,
		Flags: evidence.Fresh | evidence.Explained | evidence.Known | evidence.Denied,
		Blame: &evidence.Blame{Cause: "Policy", Rule: "no rule allows 4000/TCP", Target: "ai/gateway-0", Outcome: "TimedOut"}}
	x.turn(t, cut, func(*evidence.Turn) {})
	ms := 3.25
	x.add(t, evidence.Entry{Stamp: &evidence.Stamp{Row: -1, Restore: &ms}})
	x.add(t, evidence.Entry{Stamp: &evidence.Stamp{Row: 0, Recover: &ms}})
	x.turn(t, last(&x.book), func(turn *evidence.Turn) { turn.Evidence.Restored = true })
	x.store(t)
	return x
}

// What a rollback leaves is told as it was seen: a path that fails is cut, unless that says
// nothing of policies, and one that nobody saw work is not proved any more.
func TestTheEndOfARollbackIsToldAsItWasSeen(t *testing.T) {
	fails := func(flags evidence.Flags) func(*Book, *evidence.Check) {
		return func(_ *Book, c *evidence.Check) {
			c.Last, c.Connected, c.Blocked, c.Flags = probes.TimedOut, 0, 9, evidence.Fresh|flags
		}
	}
	for name, tt := range map[string]struct {
		see  func(*Book, *evidence.Check)
		want Finding
		note string
	}{
		"it works":                         {func(*Book, *evidence.Check) {}, Holds, ""},
		"it fails":                         {fails(0), CutFinding, "it failed when last tried"},
		"its target has moved":             {fails(evidence.Moved), Inconclusive, "address has changed"},
		"its target is down":               {fails(evidence.Down), Inconclusive, "not ready"},
		"its target is down, by a policy":  {fails(evidence.Down | evidence.Explained), CutFinding, "it failed when last tried"},
		"what nothing selects fails alike": {fails(evidence.Shared), Inconclusive, "fail with it"},
		"it fails, and not often enough":   {func(b *Book, c *evidence.Check) { fails(0)(b, c); c.Streak = 1 }, Inconclusive, "not seen to work"},
		"its probe pod is silent":          {func(_ *Book, c *evidence.Check) { c.Flags = 0 }, Inconclusive, "not seen to work"},
		"nobody tries it":                  {func(_ *Book, c *evidence.Check) { *c = evidence.Check{Row: c.Row, Gone: "its Service is gone"} }, Inconclusive, "its Service is gone"},
		"it fails as it did before the change": {func(b *Book, c *evidence.Check) {
			b.Qualified[c.Row], b.Report.Paths[c.Row].Finding = false, Inconclusive
			fails(0)(b, c)
		}, Inconclusive, ""},
	} {
		x := rolledBackTo(t, func(b *Book) *evidence.Look {
			l := looking(rollout.Nobody, "")
			tt.see(b, &l.Checks[2])
			return l
		})
		if got := x.book.Report.Paths[2]; got.Finding != tt.want || !strings.Contains(got.Note, tt.note) {
			t.Errorf("%s: %s (%s), want %s (%s)", name, got.Finding, got.Note, tt.want, tt.note)
		}
	}
	x := rolledBackTo(t, func(*Book) *evidence.Look { return nil })
	if got := x.book.Report.Paths[2]; got.Finding != Inconclusive || !strings.Contains(got.Note, "nobody looked at it") {
		t.Errorf("nobody looked: %s (%s)", got.Finding, got.Note)
	}
	x = rolledBackTo(t, func(*Book) *evidence.Look { return looking(rollout.Nobody, "") })
	x.add(t, evidence.Entry{Gap: &evidence.Gap{Next: x.book.State}}) // the controller was stopped before it had written down what it saw
	if got := x.book.Report.Paths[2]; got.Finding != Inconclusive || !strings.Contains(got.Note, "nothing tells") {
		t.Errorf("nothing is known of the end: %s (%s)", got.Finding, got.Note)
	}
}
