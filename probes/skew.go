package probes

import "time"

// skewLines is how many lines one bucket of a skew speaks for.
const skewLines = 256

// catchingUp is how much quicker than any before a line may come in without
// showing that the ones before were late.
const catchingUp = 10 * time.Millisecond

// skew estimates how far the caller's clock is ahead of an agent's: the least
// difference between when a line came in and when its window ended. It forgets
// after two buckets, because clocks drift by seconds in a day. The zero skew has
// seen no line.
type skew struct {
	agent, caller     time.Time // the first line: its end and when it came in
	lines             int       // in the current bucket
	current, previous time.Duration
	twice             bool // previous is set
	known             bool // the newest line fits the ones before
	setBack           bool // the agent's clock was set back before the first of these lines
}

// observe notes that a window which ended at to, on the agent's clock, came in at
// received. Differences are taken on each clock by itself, so that the caller's
// monotonic clock, where its times have one, outweighs its wall clock.
func (s *skew) observe(to, received time.Time) {
	first := s.caller.IsZero()
	if first {
		s.agent, s.caller = to, received
	}
	difference := received.Sub(s.caller) - to.Sub(s.agent)
	s.known = !first && difference >= s.least()-catchingUp
	if s.lines == skewLines {
		s.previous, s.twice, s.lines = s.current, true, 0
	}
	if s.lines == 0 || difference < s.current {
		s.current = difference
	}
	s.lines++
}

func (s *skew) least() time.Duration {
	if s.twice {
		return min(s.current, s.previous)
	}
	return s.current
}

// when is a moment of the agent's clock on the caller's; the zero time and false
// while the difference is not known.
func (s *skew) when(t time.Time) (time.Time, bool) {
	if !s.known {
		return time.Time{}, false
	}
	return s.caller.Add(t.Sub(s.agent) + s.least()), true
}
