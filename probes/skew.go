package probes

import "time"

// skewLines is how many lines one bucket of a skew speaks for.
const skewLines = 256

// skew estimates how far the caller's clock is ahead of an agent's: the least
// difference between when a line came in and when its window ended. It forgets
// after two buckets, because clocks drift by seconds in a day.
type skew struct {
	lines             int
	current, previous time.Duration
	twice             bool // previous is set
}

func (s *skew) observe(difference time.Duration) {
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
