package agent

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

var noon = time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)

func at(n int) time.Time { return noon.Add(time.Duration(n) * time.Millisecond) }

func TestAStreakFollowsStartsNotEnds(t *testing.T) {
	var o order
	fail, fine := dial.Result{Outcome: probes.TimedOut}, dial.Result{Outcome: probes.Reached}
	is := func(when string, outcome probes.Outcome, length int, since time.Time) {
		t.Helper()
		newest, n, from := o.streak()
		if newest.result.Outcome != outcome || n != length || !from.Equal(since) {
			t.Errorf("%s: %q × %d since %v, want %q × %d since %v", when, newest.result.Outcome, n, from, outcome, length, since)
		}
	}
	is("before the first attempt", probes.Unsent, 0, time.Time{})
	for n := range 5 {
		o.begin(at(n))
	}
	is("while all are in flight", probes.Unsent, 0, time.Time{})
	o.end(0, at(9), fine)
	o.end(3, at(10), fine)
	is("one in between is in flight", probes.Reached, 2, at(0))
	o.end(1, at(200), fail)
	is("an older one failed later", probes.Reached, 1, at(3))
	o.end(4, at(201), dial.Result{Outcome: probes.Refused})
	is("the newest failed", probes.Refused, 1, at(4))
	o.end(2, at(202), fine)
	is("the last in flight changes nothing", probes.Refused, 1, at(4))
	o.begin(at(300))
	o.end(5, at(301), fail)
	is("two kinds of failure agree", probes.TimedOut, 2, at(4))
}

// Against the definition: of the attempts that have ended, in order of start,
// the longest tail of one class.
func TestAStreakIsItsDefinition(t *testing.T) {
	outcomes := []probes.Outcome{probes.Reached, probes.TLSFailure, probes.TimedOut, probes.Refused, probes.Unsent}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var o order
		var all []attempt
		var flying []int
		for step := range 60 {
			if len(flying) == 0 || rnd.IntN(2) == 0 {
				flying = append(flying, o.begin(at(step)))
				all = append(all, attempt{start: at(step)})
			} else {
				i := rnd.IntN(len(flying))
				n := flying[i]
				flying = append(flying[:i], flying[i+1:]...)
				all[n].end, all[n].result.Outcome = at(step), outcomes[rnd.IntN(len(outcomes))]
				o.end(n, all[n].end, all[n].result)
			}
			var want, oldest attempt
			length := 0
			for i := len(all) - 1; i >= 0; i-- {
				a := all[i]
				if a.end.IsZero() {
					continue
				}
				if length == 0 {
					want = a
				}
				if classOf(a.result.Outcome) != classOf(want.result.Outcome) {
					break
				}
				length, oldest = length+1, a
			}
			if got, n, since := o.streak(); got != want || n != length || !since.Equal(oldest.start) {
				t.Fatalf("streak %+v × %d since %v, want %+v × %d since %v of %+v", got, n, since, want, length, oldest.start, all)
			}
		}
	}
}

func TestAScheduleGivesTheEarliestFirst(t *testing.T) {
	var s schedule
	if _, ok := s.next(); ok {
		t.Error("an empty schedule has an appointment")
	}
	for _, n := range []int{5, 1, 4, 2, 3} {
		s.add(appointment{at: at(n)})
	}
	if _, due := s.take(at(0)); due {
		t.Error("an appointment is due before its time")
	}
	for n := 1; n <= 5; n++ {
		if a, due := s.take(at(9)); !due || !a.at.Equal(at(n)) {
			t.Errorf("appointment %d: %v, %v", n, a.at, due)
		}
	}
}

func TestAnAgentThatWasAsleepKeepsItsPlace(t *testing.T) {
	const interval = 250 * time.Millisecond
	for late, want := range map[int]int{0: 1, 249: 1, 250: 2, 999: 4, 60_000: 241} {
		if got, missed := after(at(0), at(late), interval); !got.Equal(at(250*want)) || missed != want-1 {
			t.Errorf("%d ms late: the next is at %v, %d missed, want the interval %d", late, got.Sub(noon), missed, want)
		}
	}
}

// However urgent things are, no more than four lines a second come out on
// average; and after a second of routine a burst that ends need not wait.
func TestPace(t *testing.T) {
	for _, u := range []urgency{routine, progress, urgent} {
		p, now, lines := newPace(noon), noon, 0
		for ; now.Sub(noon) < time.Minute; lines++ {
			now = latest(now, p.next(u, now))
			p.take(now)
		}
		if lines > 60*linesPerSecond+lineBurst || lines < 60*linesPerSecond-lineBurst {
			t.Errorf("urgency %d: %d lines in a minute", u, lines)
		}
		if u == routine {
			if next := p.next(urgent, now); next.After(now) {
				t.Errorf("routine leaves nothing for a burst that ends: it waits %v", next.Sub(now))
			}
		}
	}
	p := newPace(noon)
	if next := p.next(idle, noon); next.Sub(noon) != heartbeatEvery {
		t.Errorf("a heartbeat after %v", next.Sub(noon))
	}
}
