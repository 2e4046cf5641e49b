package agent

import (
	"context"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
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

// question is an attempt that a program has to answer, from its start until
// nobody listens any more.
type question struct {
	result
	told     bool // that it ran out of time
	progress *dial.Progress
	stop     context.CancelFunc // listening
}

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

// ask notes a question that begins.
func (l *loop) ask(ctx context.Context, r result, now time.Time, stop context.CancelFunc) (context.Context, *question) {
	q := &question{result: r, stop: stop}
	q.began = now
	ctx, q.progress = dial.WithProgress(ctx)
	l.questions = append(l.questions, q)
	return ctx, q
}

// runOut ends the questions that have taken too long, and returns when the next
// one will have. They are still listened to.
func (l *loop) runOut(now time.Time) (next time.Time, any bool) {
	for _, q := range l.questions {
		if q.told {
			continue
		}
		due := q.began.Add(q.track.slow.patience(now, l.plan.Timeout))
		if due.After(now) {
			if !any || due.Before(next) {
				next, any = due, true
			}
			continue
		}
		q.told = true
		q.ended, q.result.result = now, q.progress.OutOfTime(q.track.check)
		if q.track.check.Protocol == "TCP" && q.progress.Lookup() > 0 {
			q.stop() // what is slow now is the target, which need not be waited for
		}
		l.judge(q.result)
	}
	return next, any
}

// hangUp stops listening for that many answers that would come too late, because
// attempts wait for the slots.
func (l *loop) hangUp(many int) {
	for _, q := range l.questions {
		if many > 0 && q.told {
			q.stop()
			many--
		}
	}
}

// answered notes how slow the answer was, and reports whether the question had
// run out of time before.
func (l *loop) answered(q *question, r result) bool {
	l.questions = slices.DeleteFunc(l.questions, func(other *question) bool { return other == q })
	switch {
	case q.track.check.Protocol == "TCP":
		q.track.slow.note(r.ended, q.progress.Lookup())
	case r.result.Outcome.Connected():
		q.track.slow.note(r.ended, r.ended.Sub(q.began))
	}
	return q.told
}
