package agent

import (
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// A connection is accepted by the target's kernel, at once. A question over UDP is
// answered by a program, and on a crowded node it answers late over a path that is
// open: the DNS server that a check is about, or the one that looks its target's
// name up. So such an attempt may take twice as long as the slowest of late, where
// that is more than the timeout, and is listened to for up to four timeouts,
// whatever was said of it by then: that is how slowness that comes suddenly is
// noticed.
const (
	patienceFactor = 2
	patienceLimit  = 4 // timeouts
	slownessLasts  = 10 * time.Second
)

func isQuestion(c probes.Check) bool { return c.Protocol == "UDP" || c.Named() }

// slowness remembers the slowest answer of the last slownessLasts, or up to half
// as much longer. The zero slowness has seen none.
type slowness struct {
	slowest, before time.Duration // of this half of the time, and of the half before
	since           time.Time     // when this half began
}

func (s *slowness) note(at time.Time, took time.Duration) {
	s.turn(at)
	s.slowest = max(s.slowest, took)
}

func (s *slowness) turn(at time.Time) {
	switch age := at.Sub(s.since); {
	case age >= 2*slownessLasts:
		*s = slowness{since: at}
	case age >= slownessLasts:
		*s = slowness{before: s.slowest, since: s.since.Add(slownessLasts)}
	}
}

// patience is how long a question may take.
func (s *slowness) patience(at time.Time, timeout time.Duration) time.Duration {
	s.turn(at)
	return min(max(timeout, patienceFactor*max(s.slowest, s.before)), patienceLimit*timeout)
}

// over is when the flight needs attention: when it runs out of time, or when nobody
// listens any more to one that has.
func (f *flight) over(now time.Time, timeout time.Duration) time.Time {
	switch {
	case f.told:
		return f.began.Add(patienceLimit * timeout)
	case isQuestion(f.track.check):
		return f.began.Add(f.track.slow.patience(now, timeout))
	}
	return f.began.Add(timeout)
}

// runOut ends the attempts that have taken too long. Questions are still listened to.
func (l *loop) runOut(now time.Time) {
	done := false
	for _, f := range l.flights {
		if f.over(now, l.plan.Timeout).After(now) {
			continue
		}
		if !f.told {
			l.judge(f, f.try.OutOfTime(), now)
		}
		c := f.track.check
		// Of a stream whose name is known, it is the target that is slow, which need
		// not be waited for.
		listens := !f.told && isQuestion(c) && !(c.Protocol == "TCP" && f.try.Lookup() > 0)
		f.told, f.ended = true, !listens
		done = done || f.ended
	}
	if done {
		l.drop(func(f *flight) bool { return f.ended })
	}
}

// hangUp stops listening for that many answers that would come too late, because
// attempts wait for the slots.
func (l *loop) hangUp(many int) {
	if many <= 0 {
		return
	}
	l.drop(func(f *flight) bool {
		if f.told && many > 0 {
			many--
			return true
		}
		return false
	})
}

// drop stops some flights and forgets them. To stop one that has landed does nothing.
func (l *loop) drop(which func(*flight) bool) {
	l.flights = slices.DeleteFunc(l.flights, func(f *flight) bool {
		if !which(f) {
			return false
		}
		f.try.Stop()
		return true
	})
}

// noteSlowness notes how slow the answer to a question was.
func (f *flight) noteSlowness(now time.Time) {
	switch {
	case !isQuestion(f.track.check):
	case f.track.check.Protocol == "TCP":
		f.track.slow.note(now, f.try.Lookup())
	case f.result.Outcome.Connected():
		f.track.slow.note(now, now.Sub(f.began))
	}
}
