package agent

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

// network makes attempts; see dial.Network. Only the loop's goroutine calls it.
type network interface {
	Start(check probes.Check, done func(dial.Result)) try
	Ready() <-chan struct{}
	WakeAt(time.Time)
	Work()
}

// try is an attempt as the network knows it; see dial.Attempt.
type try interface {
	Stop()
	Lookup() time.Duration
	OutOfTime() dial.Result
}

// wire is the network of the pod.
type wire struct{ *dial.Network }

func (w wire) Start(check probes.Check, done func(dial.Result)) try {
	return w.Network.Start(check, done)
}

// loop owns all state of an agent; only its goroutine touches it.
type loop struct {
	network  network
	report   *reporter
	plan     probes.Plan
	tracks   []*track
	schedule schedule
	waiting  []appointment // for a slot, the first first

	flights []*flight // under way, the first first
	landed  []*flight // ended, and not yet judged
	slots   int       // flights at once
	stalls  stalls
}

// flight is one attempt that is under way.
type flight struct {
	track    *track
	number   int
	confirms bool
	missed   int // attempts before it that were not made
	began    time.Time
	try      try
	told     bool // that it ran out of time
	ended    bool
	result   dial.Result
}

func newLoop(out io.Writer, slots int, n network) *loop {
	return &loop{network: n, report: newReporter(out, time.Now()), slots: slots}
}

// run works until ctx ends and prints what is left.
func (l *loop) run(ctx context.Context, plans <-chan reading) error {
	defer l.giveUp()
	next := time.Now()
	l.network.WakeAt(next)
	for {
		var plan *reading
		select {
		case <-ctx.Done():
			return l.stop()
		case r := <-plans:
			plan = &r
		case <-l.network.Ready():
		}
		now := time.Now()
		l.stalls.note(next, now) // before results are judged that it may have spoiled
		if plan != nil {
			l.follow(*plan, now)
		}
		var err error
		if next, err = l.work(now); err != nil {
			return err
		}
		l.network.WakeAt(next)
	}
}

// work takes the results that are there, ends what has run out of time, starts the
// attempts and prints the line whose time has come, and returns when there is
// something to do again.
func (l *loop) work(now time.Time) (time.Time, error) {
	l.hear(now)
	l.runOut(now) // after that: what has arrived counts, however late this process woke
	for a, due := l.schedule.take(now); due; a, due = l.schedule.take(now) {
		l.waiting = append(l.waiting, a)
	}
	l.hangUp(len(l.flights) + len(l.waiting) - l.slots)
	kept := 0
	for kept < len(l.waiting) && len(l.flights) < l.slots {
		l.keep(l.waiting[kept], now)
		kept++
	}
	l.waiting = append(l.waiting[:0], l.waiting[kept:]...)
	if kept > 0 {
		l.hear(now) // a target on this node has answered by now
	}
	if !l.report.next().After(now) {
		if _, err := l.report.write(now, l.tracks); err != nil {
			return time.Time{}, err
		}
	}
	return l.next(now), nil
}

// next is when there is something to do again, if nothing is heard before.
func (l *loop) next(now time.Time) time.Time {
	next := l.report.next()
	if at, ok := l.schedule.next(); ok && at.Before(next) {
		next = at
	}
	for _, f := range l.flights {
		if at := f.over(now, l.plan.Timeout); at.Before(next) {
			next = at
		}
	}
	if pulse := now.Add(l.plan.Timeout / pulses); len(l.flights) > 0 && pulse.Before(next) {
		next = pulse
	}
	return next
}

// groups is how many groups an interval is divided into at least, and groupWidth
// how far they are apart at most.
const (
	groups     = 10
	groupWidth = 25 * time.Millisecond
)

// follow takes on a plan. What the one before has under way is given up: its
// results say nothing about the new one.
func (l *loop) follow(r reading, now time.Time) {
	if r.err != nil {
		l.report.failed, l.report.needs = failure(r.err), urgent
		return
	}
	if l.report.failed != "" {
		l.report.failed, l.report.needs = "", urgent
	}
	digest := r.plan.Digest()
	if digest == l.report.digest {
		return
	}
	l.giveUp()
	l.stalls = stalls{keep: 2 * patienceLimit * r.plan.Timeout}
	l.plan, l.schedule, l.waiting, l.tracks = r.plan, schedule{}, nil, make([]*track, len(r.plan.Checks))
	l.report.agent, l.report.digest, l.report.to, l.report.needs = r.plan.Agent, digest, now, urgent
	l.report.quietEvery = quietAt(r.plan.Interval)
	for i, c := range r.plan.Checks {
		l.tracks[i] = &track{check: c, spoiled: c.Validate(), from: now}
		l.schedule.add(appointment{at: now.Add(offset(r.plan, i)), track: l.tracks[i]})
	}
}

// keep keeps an appointment and makes the next one. What was missed while the
// check waited for a slot is counted as unsent: it shows as lost coverage.
func (l *loop) keep(a appointment, now time.Time) {
	f := &flight{track: a.track, confirms: a.confirms, began: now}
	next := appointment{track: a.track, confirms: a.confirms}
	if a.confirms {
		next.at = now.Add(l.plan.Confirm.Every)
		a.track.burst.started++
	} else {
		next.at, f.missed = after(a.at, now, l.plan.Interval)
	}
	if !a.confirms || a.track.burst.started < a.track.burst.total {
		l.schedule.add(next)
	}
	f.number = a.track.order.begin(now)
	if spoiled := a.track.spoiled; spoiled != nil {
		l.judge(f, dial.Result{Detail: detail(spoiled)}, now) // never tried, and told like what could not be
		return
	}
	l.flights = append(l.flights, f)
	f.try = l.network.Start(a.track.check, func(r dial.Result) {
		f.ended, f.result = true, r
		l.landed = append(l.landed, f)
	})
}

// hear takes the results of attempts, which frees their slots.
func (l *loop) hear(now time.Time) {
	l.network.Work()
	landed := l.landed
	l.landed = l.landed[:0]
	for _, f := range landed {
		f.noteSlowness(now)
		if !f.told {
			l.judge(f, f.result, now)
		}
	}
	if len(landed) > 0 {
		l.drop(func(f *flight) bool { return f.ended })
	}
}

// judge notes how an attempt ended. One that ran out of time while this process
// itself got none proves nothing.
func (l *loop) judge(f *flight, r dial.Result, ended time.Time) {
	if waited := r.Outcome == probes.TimedOut || r.Outcome == probes.DNSFailure; waited {
		if lost := l.stalls.within(f.began, ended); lost >= l.plan.Timeout/2 {
			r = dial.Result{Detail: fmt.Sprintf("the agent itself got no processor for %v of this attempt", lost.Round(time.Millisecond))}
		}
	}
	if f.track.ended(f, r, ended, l.plan.Confirm) {
		l.schedule.add(appointment{at: ended, track: f.track, confirms: true})
	}
	l.report.needs = max(l.report.needs, f.track.urgency)
}

// giveUp stops everything that is under way.
func (l *loop) giveUp() {
	l.drop(func(*flight) bool { return true })
}

// stop gives up what is under way and prints what is known, without regard to
// the pace: it is the last word.
func (l *loop) stop() error {
	l.giveUp()
	for more := true; more; {
		var err error
		if more, err = l.report.last(time.Now(), l.tracks); err != nil {
			return err
		}
	}
	return nil
}
