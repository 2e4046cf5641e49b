package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// The cost of an agent is that of waking up: thirty checks wake it ten times an
// interval, and not thirty times. Agents of one plan do not start theirs together.
func TestChecksStartInGroups(t *testing.T) {
	moments := func(agent string) map[time.Duration]int {
		n := &fake{answer: steady(probes.Reached)}
		p := plan(30)
		p.Agent = agent
		lines := rehearse(t, n, 64, 2*time.Second, p)
		at := map[time.Duration]int{}
		for _, began := range n.began {
			if len(began) != 8 {
				t.Errorf("%d attempts of a check in 2 s", len(began))
			}
			at[began[0].Sub(lines[0].To).Truncate(time.Microsecond)]++
		}
		return at
	}
	one, other := moments("apps/one"), moments("apps/other")
	if len(one) != groups {
		t.Errorf("30 checks start at %d moments of the interval: %v", len(one), one)
	}
	for at, checks := range one {
		if checks != 3 {
			t.Errorf("%d checks start together", checks)
		}
		if other[at] > 0 {
			t.Errorf("two agents start checks %v after their plan", at)
		}
	}
	p := plan(300)
	p.Interval = 10 * time.Second
	seen := map[time.Duration]bool{}
	for i := range p.Checks {
		seen[offset(p, i)] = true
	}
	if len(seen) != 300 {
		t.Errorf("300 checks in 10 s start at %d moments", len(seen))
	}
}

// A second of nothing new is one line that speaks of every check once.
func TestWhatIsSteadyIsToldOnceASecond(t *testing.T) {
	n := &fake{answer: steady(probes.Reached)}
	lines := rehearse(t, n, 64, 30*time.Second, plan(20))
	total(t, lines)
	told := map[string][]time.Time{}
	late := 0
	for _, line := range lines {
		if len(line.Counts) > 0 && line.To.Sub(lines[0].To) > 5*time.Second {
			late++
		}
		for _, c := range line.Counts {
			told[c.ID] = append(told[c.ID], line.To)
		}
	}
	if late > 28 {
		t.Errorf("%d lines in 25 steady seconds", late)
	}
	for id, at := range told {
		for i := 1; i < len(at); i++ {
			if silent := at[i].Sub(at[i-1]); silent > 1100*time.Millisecond {
				t.Errorf("%s is not spoken of for %v", id, silent)
			}
		}
	}
	if len(told) != 20 {
		t.Errorf("%d checks were told of", len(told))
	}
}

// A change is told within milliseconds, while the steady checks beside it keep
// their pace; a failure that goes on is told at least after every second attempt for
// long enough to be sure of it.
func TestAChangeIsToldAtOnce(t *testing.T) {
	var cutAt time.Time
	n := &fake{}
	n.answer = func(id string, now time.Time) (probes.Outcome, time.Duration) {
		if id != "p0" || len(n.began[id]) < 20 {
			return probes.Reached, time.Millisecond
		}
		if cutAt.IsZero() {
			cutAt = now
		}
		return probes.Refused, time.Millisecond
	}
	p := plan(10)
	p.Confirm.Count = 0
	lines := rehearse(t, n, 64, 40*time.Second, p)
	var first, last time.Time
	var gap time.Duration // the longest silence about it in its first 10 s
	counts, young, old := 0, 0, 0
	for _, line := range lines {
		since := line.To.Sub(cutAt)
		if c := count(line, "p0"); c.Last == probes.Refused {
			if first.IsZero() {
				first = line.To
			}
			if since < 10*time.Second {
				young++
				if !last.IsZero() {
					gap = max(gap, line.To.Sub(last))
				}
				last = line.To
			} else if since > 20*time.Second && since < 30*time.Second {
				old++
			}
		}
		if since > 0 && since < 10*time.Second && count(line, "p5").Streak > 0 {
			counts++
		}
	}
	if late := first.Sub(cutAt); first.IsZero() || late > 30*time.Millisecond {
		t.Errorf("the failure was told after %v", late)
	}
	// A line and an attempt that are due at one moment come in either order.
	if young < 20 || old > 12 || gap > 2*p.Interval {
		t.Errorf("a failure is told %d times in its first 10 s, with silences of up to %v, and %d times in 10 s later on", young, gap, old)
	}
	if counts > 22 {
		t.Errorf("a steady check was told %d times in 10 s because another fails", counts)
	}
}

// A check that cannot be tried is never put on the wire, is reported by its ID with
// the reason, and leaves the others alone.
func TestACheckThatCannotBeTriedIsReported(t *testing.T) {
	n := &fake{answer: steady(probes.Reached)}
	p := plan(3)
	p.Checks[1].Type, p.Checks[1].Path = "HTTP", "/\r\nX-Smuggled: y"
	lines := rehearse(t, n, 64, 5*time.Second, p)
	l := total(t, lines)
	if len(n.began["p1"]) > 0 {
		t.Error("it was tried")
	}
	if s := l.State("p1"); s.Unsent != 20 || s.Attempts != 20 || s.Last != probes.Unsent || !strings.Contains(s.Detail, "printable ASCII") {
		t.Errorf("it is reported as %+v", s)
	}
	for _, id := range []string{"p0", "p2"} {
		if s := l.State(id); s.Connected != 20 {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if l.PlanError() != "" {
		t.Errorf("the plan is refused: %s", l.PlanError())
	}
}

// An answer that is there when the agent wakes is an answer, however late it wakes.
func TestAnAnswerThatWaitedForTheAgentCounts(t *testing.T) {
	n := &lateNetwork{}
	l := newLoop(newOutput(t), 5, n)
	now := time.Now()
	p := plan(1)
	p.Confirm.Count = 0
	l.follow(reading{plan: p}, now)
	if _, err := l.work(now.Add(l.plan.Interval / groups)); err != nil {
		t.Fatal(err)
	}
	n.answers = true // while the agent sleeps
	if _, err := l.work(now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if newest, length, _ := l.tracks[0].order.streak(); newest.result.Outcome != probes.Reached || length != 2 { // it, and one that began an hour later
		t.Errorf("%d × %q", length, newest.result.Outcome)
	}
}

// Two processes of one agent are told apart, and their lines from those of others.
func TestEveryProcessHasABootOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 8 {
		seen[rehearse(t, &fake{answer: steady(probes.Reached)}, 64, time.Second, plan(1))[0].Boot] = true
	}
	if len(seen) != 8 || seen[""] {
		t.Errorf("boots of 8 processes: %v", seen)
	}
}
