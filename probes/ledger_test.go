package probes

import (
	"errors"
	"testing"
	"time"
)

// The caller's clock is ten minutes ahead of the agent's in all of these tests.
var (
	agentStart  = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	callerStart = agentStart.Add(10 * time.Minute)
)

const tick = 250 * time.Millisecond

// window is line n of an agent that reports every tick.
func window(n int, counts ...Count) Line {
	return Line{
		Agent: "apps/probe", Seq: uint64(n), Digest: "d1", Counts: counts,
		From: agentStart.Add(time.Duration(n-1) * tick), To: agentStart.Add(time.Duration(n) * tick),
	}
}

// arrival is when that line comes in: 3 ms after the end of its window.
func arrival(n int) time.Time {
	return callerStart.Add(time.Duration(n)*tick + 3*time.Millisecond)
}

func tried(last Outcome, streak int, counts map[Outcome]int) Count {
	return Count{ID: "c", Outcomes: counts, Last: last, Streak: streak, Since: agentStart, Newest: agentStart.Add(time.Second)}
}

func add(t *testing.T, l *Ledger, n int, counts ...Count) {
	t.Helper()
	if err := l.Add(window(n, counts...), arrival(n)); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerAddsUp(t *testing.T) {
	l := NewLedger("d1")
	add(t, l, 1, tried(Reached, 2, map[Outcome]int{Reached: 2}))
	add(t, l, 2, tried(TimedOut, 3, map[Outcome]int{Reached: 1, TimedOut: 2, Refused: 1, Unsent: 4}))
	s := l.State("c")
	if s.Attempts != 10 || s.Connected != 3 || s.Blocked != 3 || s.Unsent != 4 {
		t.Errorf("totals are %+v", s)
	}
	if s.Last != TimedOut || s.Streak != 3 || s.StreakSinceMark != 3 || !s.LastReceived.Equal(arrival(2)) || !s.FirstSeen.Equal(agentStart) {
		t.Errorf("newest is %+v", s)
	}
	if l.State("never") != (CheckState{}) {
		t.Error("a check that was never reported has a state")
	}
}

func TestLedgerRefusesWhatItMustNotCount(t *testing.T) {
	l := NewLedger("d1")
	line := window(5, tried(Reached, 1, map[Outcome]int{Reached: 1}))
	if err := l.Add(line, arrival(5)); err != nil {
		t.Fatal(err)
	}
	before := l.State("c")
	if err := l.Add(line, arrival(6)); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a line that was read twice: %v", err)
	}
	if err := l.Add(window(4, line.Counts...), arrival(6)); !errors.Is(err, ErrDuplicate) {
		t.Errorf("an older line: %v", err)
	}
	other := window(6, line.Counts...)
	other.Digest = "d2"
	if err := l.Add(other, arrival(6)); !errors.Is(err, ErrOtherPlan) {
		t.Errorf("a line of another plan: %v", err)
	}
	if l.State("c") != before || l.Gaps() != 0 {
		t.Errorf("a refused line changed the ledger: %+v, %d gaps", l.State("c"), l.Gaps())
	}
}

func TestLedgerCountsGapsAndKnowsARestart(t *testing.T) {
	l := NewLedger("d1")
	add(t, l, 7) // a log followed from its end is no gap
	add(t, l, 8)
	add(t, l, 11)
	if l.Gaps() != 2 {
		t.Errorf("%d gaps, want 2", l.Gaps())
	}
	again := window(20, tried(Reached, 1, map[Outcome]int{Reached: 1}))
	again.Seq = 1
	if err := l.Add(again, arrival(20)); err != nil {
		t.Errorf("the first line after a restart: %v", err)
	}
	if l.Gaps() != 3 || l.State("c").Connected != 1 {
		t.Errorf("after the restart %d gaps, %+v", l.Gaps(), l.State("c"))
	}
}

// Whatever the difference of the clocks, a window that began before the mark
// does not count for the scope that took effect at the mark.
func TestMarkCountsOnlyWindowsThatBeganAfterIt(t *testing.T) {
	l := NewLedger("d1")
	reach := tried(Reached, 100, map[Outcome]int{Reached: 1})
	for n := 1; n <= 4; n++ {
		add(t, l, n, reach)
	}
	l.MarkAll(arrival(4).Add(tick / 2)) // in the middle of window 5
	if s := l.State("c"); s.ConnectedSinceMark != 0 || s.StreakSinceMark != 0 || s.Streak != 100 || s.Connected != 4 {
		t.Errorf("at the mark: %+v", s)
	}
	add(t, l, 5, reach)
	if s := l.State("c"); s.ConnectedSinceMark != 0 || s.StreakSinceMark != 0 {
		t.Errorf("a window that the mark fell into counts: %+v", s)
	}
	// A new check starts under the mark too.
	late := reach
	late.ID = "late"
	add(t, l, 6, reach, late)
	for _, id := range []string{"c", "late"} {
		if s := l.State(id); s.ConnectedSinceMark != 1 || s.StreakSinceMark != 1 {
			t.Errorf("%s: the first window after the mark does not count: %+v", id, s)
		}
	}
	l.Mark(arrival(6), "c")
	add(t, l, 7, reach, late)
	if c, other := l.State("c"), l.State("late"); c.ConnectedSinceMark != 1 || other.ConnectedSinceMark != 2 {
		t.Errorf("a mark of one check: it has %d, the other %d", c.ConnectedSinceMark, other.ConnectedSinceMark)
	}
}

func TestMarkFollowsADriftingClock(t *testing.T) {
	l := NewLedger("d1")
	reach := tried(Reached, 1, map[Outcome]int{Reached: 1})
	drift := func(n int) time.Time { return arrival(n).Add(time.Duration(n) * time.Millisecond) } // 4 ms/s
	const lines = 4000                                                                            // 16 s of drift
	for n := 1; n <= lines; n++ {
		if n == lines {
			l.MarkAll(drift(n).Add(-3 * tick))
		}
		if err := l.Add(window(n, reach), drift(n)); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.State("c"); s.ConnectedSinceMark != 1 {
		t.Errorf("a window that began two ticks after the mark does not count: %+v", s)
	}
}

func TestSilence(t *testing.T) {
	l := NewLedger("d1")
	if !l.Silent(callerStart, time.Hour) {
		t.Error("an agent that was never heard is not silent")
	}
	add(t, l, 1)
	if l.Silent(arrival(1).Add(time.Second), time.Second) || !l.Silent(arrival(1).Add(time.Second+1), time.Second) {
		t.Error("silence is not counted from the newest line")
	}
}

func TestPlanErrorIsThatOfTheNewestLine(t *testing.T) {
	l := NewLedger("d1")
	line := window(1)
	line.Error = "host is no name"
	if err := l.Add(line, arrival(1)); err != nil || l.PlanError() != line.Error {
		t.Errorf("plan error %q, %v", l.PlanError(), err)
	}
	if add(t, l, 2); l.PlanError() != "" {
		t.Errorf("an error that is over is still %q", l.PlanError())
	}
}
