package probes

import (
	"errors"
	"testing"
	"time"
)

// A gap takes away what proves a path, for every check, and nothing of what
// accuses one.
func TestAGapProvesNothingAndHidesNothing(t *testing.T) {
	fine, shut := tried(Reached, 100, map[Outcome]int{Reached: 1}), tried(TimedOut, 9, map[Outcome]int{TimedOut: 2, Reset: 1})
	shut.ID = "shut"
	l := NewLedger("d1")
	add(t, l, 1)
	l.MarkAll(arrival(1))
	for n := 2; n <= 5; n++ {
		add(t, l, n, fine, shut)
	}
	if c, s := l.State("c"), l.State("shut"); c.ConnectedSinceMark != 4 || s.BlockedSinceMark != 12 || s.StoppedSinceMark != 8 || s.StreakSinceMark != 9 || s.LostSinceMark != 0 {
		t.Fatalf("before the gap: %+v\n%+v", c, s)
	}
	add(t, l, 8, fine) // does not speak of the other check
	c, s := l.State("c"), l.State("shut")
	if c.ConnectedSinceMark != 1 || c.LostSinceMark != 2 || c.Connected != 5 || c.StreakSinceMark != 5 {
		t.Errorf("after the gap: %+v", c)
	}
	if s.BlockedSinceMark != 0 || s.StoppedSinceMark != 0 || s.LostSinceMark != 2 || s.Last != TimedOut || s.Streak != 9 || s.StreakSinceMark != 9 {
		t.Errorf("after the gap, not spoken of: %+v", s)
	}
	l.MarkAll(arrival(8))
	if s := l.State("c"); s.LostSinceMark != 0 || l.Gaps() != 2 {
		t.Errorf("a gap from before the mark: %+v, %d gaps", s, l.Gaps())
	}
}

// The whole of a streak that began after the mark counts against the scope, though
// the lines that told of its beginning are lost.
func TestACutThatBeganInAGapIsToldInFull(t *testing.T) {
	l := NewLedger("d1")
	add(t, l, 1)
	add(t, l, 2, tried(Reached, 100, map[Outcome]int{Reached: 1}))
	l.MarkAll(arrival(2))
	cut := tried(TimedOut, 13, map[Outcome]int{TimedOut: 1})
	cut.Since, cut.Newest = agentStart.Add(3*tick), agentStart.Add(9*tick)
	add(t, l, 9, cut)
	if s := l.State("c"); s.Streak != 13 || s.StreakSinceMark != 13 || s.BlockedSinceMark != 1 {
		t.Errorf("%+v", s)
	}
	l.MarkAll(arrival(5)) // within the streak: only what was heard since counts
	add(t, l, 10, cut)
	if s := l.State("c"); s.StreakSinceMark != 1 {
		t.Errorf("a streak that the mark fell into counts in full: %+v", s)
	}
}

// A restarted agent is known by its boot, whatever its clock says, and a log that
// is read again from an earlier one is not counted twice.
func TestARestartIsAGap(t *testing.T) {
	reach := tried(Reached, 3, map[Outcome]int{Reached: 1})
	of := func(boot string, n int, clock time.Duration) Line {
		line := window(n, reach)
		line.Boot, line.From, line.To = boot, line.From.Add(clock), line.To.Add(clock)
		return line
	}
	for name, clock := range map[string]time.Duration{"on time": time.Minute, "an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		l := NewLedger("d1")
		for n := 1; n <= 6; n++ {
			if err := l.Add(of("b1", n, 0), arrival(n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Add(of("b2", 1, clock), arrival(7)); err != nil {
			t.Fatalf("%s: the first line after a restart: %v", name, err)
		}
		if s := l.State("c"); l.Gaps() != 1 || s.ConnectedSinceMark != 1 || s.LostSinceMark != 1 || s.Attempts != 7 {
			t.Errorf("%s: %d gaps, %+v", name, l.Gaps(), s)
		}
		if err := l.Add(of("b1", 7, 0), arrival(8)); !errors.Is(err, ErrDuplicate) {
			t.Errorf("%s: a line of the process before: %v", name, err)
		}
		if err := l.Add(of("b3", 4, clock), arrival(9)); err != nil || l.Gaps() != 4 {
			t.Errorf("%s: the fourth line of a third process: %v, %d gaps", name, err, l.Gaps())
		}
	}
}

// However the agent's clock jumps, no window from before the mark counts, and
// soon after the jump the later ones do.
func TestAStepOfTheAgentsClockCountsNothingFromBeforeTheMark(t *testing.T) {
	reach := tried(Reached, 100, map[Outcome]int{Reached: 1})
	for _, step := range []time.Duration{time.Hour, -time.Hour, 200 * time.Millisecond, -time.Second} {
		for marked := 6; marked <= 14; marked++ { // the clock steps in window 10
			l := NewLedger("d1")
			for n := 1; n <= 20; n++ {
				line := window(n, reach)
				if n >= 10 {
					line.To = line.To.Add(step)
				}
				if n > 10 {
					line.From = line.From.Add(step)
				}
				if line.To.Before(line.From) {
					line.From = line.To
				}
				if err := l.Add(line, arrival(n)); err != nil {
					t.Fatalf("step %v, line %d: %v", step, n, err)
				}
				if n == marked {
					l.MarkAll(arrival(n).Add(tick / 2))
				}
				if n < marked {
					continue
				}
				after := int64(max(0, n-marked-1)) // windows that began after the mark
				s := l.State("c")
				if s.ConnectedSinceMark > after || int64(s.StreakSinceMark) > after || !s.LastReceived.Equal(arrival(n)) {
					t.Errorf("step %v, mark in window %d, line %d: %+v", step, marked+1, n, s)
				}
				if n == 20 && s.ConnectedSinceMark < after-2 {
					t.Errorf("step %v, mark in window %d: only %d of %d windows count", step, marked+1, s.ConnectedSinceMark, after)
				}
			}
		}
	}
}

// The end of a log that is read anew comes in at once. None of it may count for a
// mark that is younger than its windows.
func TestOldLinesThatComeInLateCountForNoMark(t *testing.T) {
	l := NewLedger("d1")
	reach := tried(Reached, 100, map[Outcome]int{Reached: 1})
	l.MarkAll(arrival(9))
	for n := 1; n <= 10; n++ { // all at the end of window 10
		if err := l.Add(window(n, reach), arrival(10).Add(time.Duration(n)*time.Microsecond)); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.State("c"); s.ConnectedSinceMark != 0 || s.StreakSinceMark != 0 {
		t.Errorf("old lines count: %+v", s)
	}
	for n := 11; n <= 13; n++ {
		add(t, l, n, reach)
	}
	if s := l.State("c"); s.ConnectedSinceMark != 3 {
		t.Errorf("live lines do not count: %+v", s)
	}
}
