package agent

import (
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

// class is what a streak agrees on.
type class int

const (
	unsent class = iota
	connected
	blocked
)

func classOf(o probes.Outcome) class {
	switch {
	case o.Connected():
		return connected
	case o.Blocked():
		return blocked
	}
	return unsent
}

// attempt is one try of a check, in flight or ended.
type attempt struct {
	start, end time.Time // end is zero while it is in flight
	result     dial.Result
}

// order keeps the attempts of one check in the order of their start, whatever
// the order of their end: an attempt that ran out of time may end after ten
// later ones. The zero order has seen none.
type order struct {
	first  int       // number of recent[0]
	recent []attempt // from the oldest in flight on
	newest attempt   // of those before recent, all ended
	length int       // of the streak that newest ends; 0: there was none
	since  time.Time // its start
}

// begin notes a new attempt and returns its number.
func (o *order) begin(start time.Time) int {
	o.recent = append(o.recent, attempt{start: start})
	return o.first + len(o.recent) - 1
}

// end notes how the attempt with that number ended.
func (o *order) end(number int, at time.Time, r dial.Result) {
	a := &o.recent[number-o.first]
	a.end, a.result = at, r
	done := 0
	for done < len(o.recent) && !o.recent[done].end.IsZero() {
		o.settle(o.recent[done])
		done++
	}
	o.first += done
	o.recent = append(o.recent[:0], o.recent[done:]...)
}

// settle adds an attempt that none in flight precedes.
func (o *order) settle(a attempt) {
	if o.length == 0 || classOf(a.result.Outcome) != classOf(o.newest.result.Outcome) {
		o.length, o.since = 0, a.start
	}
	o.length++
	o.newest = a
}

// streak is the newest attempt that has ended, how many in a row agree with it,
// and when the first of these began. A length of 0: none has ended.
func (o *order) streak() (newest attempt, length int, since time.Time) {
	for i := len(o.recent) - 1; i >= 0; i-- {
		a := o.recent[i]
		switch {
		case a.end.IsZero():
		case length == 0:
			newest, length, since = a, 1, a.start
		case classOf(a.result.Outcome) == classOf(newest.result.Outcome):
			length, since = length+1, a.start
		default:
			return newest, length, since
		}
	}
	switch {
	case length == 0:
		return o.newest, o.length, o.since
	case o.length > 0 && classOf(o.newest.result.Outcome) == classOf(newest.result.Outcome):
		return newest, length + o.length, o.since
	}
	return newest, length, since
}
