package agent

import (
	"slices"
	"time"
)

// pulses is how often in the timeout of an attempt the loop wakes at least while
// one is under way, so that a stall shows.
const pulses = 8

// stallFrom is how late the loop may wake without it being called a stall.
const stallFrom = 10 * time.Millisecond

// stalls remembers when this process wanted to run and could not: on a crowded
// node, or while it was paused. An attempt times out by this process's own clock,
// so its own sleep would otherwise pass for a network that does not answer. The
// zero stalls forgets at once.
type stalls struct {
	keep time.Duration // how long a stall is remembered
	seen []stall       // in order, not overlapping
}

type stall struct{ from, to time.Time }

// note says that the loop meant to wake at one moment and did at another.
func (s *stalls) note(meant, woke time.Time) {
	if woke.Sub(meant) < stallFrom {
		return
	}
	s.seen = append(slices.DeleteFunc(s.seen, func(old stall) bool { return woke.Sub(old.to) > s.keep }), stall{meant, woke})
}

// within is how much of a time was spent in stalls.
func (s *stalls) within(from, to time.Time) time.Duration {
	var lost time.Duration
	for _, st := range s.seen {
		begin, end := latest(st.from, from), st.to
		if to.Before(end) {
			end = to
		}
		lost += max(0, end.Sub(begin))
	}
	return lost
}
