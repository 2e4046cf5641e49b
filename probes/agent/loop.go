package agent

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

// namedSlots is how many slots an attempt takes whose target is a name: looking
// it up holds two more sockets and some goroutines.
const namedSlots = 3

// loop owns all state of an agent; only its goroutine touches it.
type loop struct {
	try      func(context.Context, probes.Check) dial.Result
	report   *reporter
	plan     probes.Plan
	tracks   []*track
	schedule schedule
	waiting  []appointment // for a slot, the first first

	questions []*question // under way, the first first
	attempts  sync.WaitGroup
	inFlight  int // slots taken
	slots     int
	stalls    stalls
	results   chan result // has room for every slot, so no attempt ever waits to be heard
	giveUp    context.CancelFunc
	current   context.Context // of the attempts of the plan in force
}

// result is how one attempt ended.
type result struct {
	of       context.Context // of its plan, to tell those of an older one
	track    *track
	number   int
	confirms bool
	missed   int // attempts before it that were not made
	began    time.Time
	ended    time.Time
	result   dial.Result
	question *question // nil: it is none
}

func newLoop(out io.Writer, slots int, try func(context.Context, probes.Check) dial.Result) *loop {
	return &loop{
		try: try, report: newReporter(out, time.Now()),
		slots: slots, results: make(chan result, slots), giveUp: func() {},
	}
}

// run works until ctx ends, waits for its attempts, and prints what is left.
func (l *loop) run(ctx context.Context, plans <-chan reading) error {
	next := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var plan *reading
		var heard *result
		select {
		case <-ctx.Done():
			return l.stop()
		case r := <-plans:
			plan = &r
		case r := <-l.results:
			heard = &r
		case <-timer.C:
		}
		l.stalls.note(next, time.Now()) // before results are judged that it may have spoiled
		if plan != nil {
			l.follow(ctx, *plan)
		}
		for heard != nil {
			l.hear(*heard)
			select {
			case r := <-l.results:
				heard = &r
			default:
				heard = nil
			}
		}
		var err error
		if next, err = l.work(time.Now()); err != nil {
			l.giveUp()
			l.attempts.Wait()
			return err
		}
		timer.Reset(time.Until(next))
	}
}

// work starts the attempts and prints the line whose time has come, and returns
// when there is something to do again.
func (l *loop) work(now time.Time) (time.Time, error) {
	for a, due := l.schedule.take(now); due; a, due = l.schedule.take(now) {
		l.waiting = append(l.waiting, a)
	}
	kept := 0
	for kept < len(l.waiting) && l.free(l.waiting[kept].track.check) {
		l.keep(l.waiting[kept], now)
		kept++
	}
	l.waiting = append(l.waiting[:0], l.waiting[kept:]...)
	runsOut, asked := l.runOut(now)
	l.hangUp(len(l.waiting))
	if !l.report.next().After(now) {
		if _, err := l.report.write(now, l.tracks); err != nil {
			return time.Time{}, err
		}
	}
	next := l.report.next()
	if asked && runsOut.Before(next) {
		next = runsOut
	}
	if at, ok := l.schedule.next(); ok && at.Before(next) {
		next = at
	}
	if pulse := now.Add(l.plan.Timeout / pulses); l.inFlight > 0 && pulse.Before(next) {
		next = pulse
	}
	return next, nil
}

// follow takes on a plan. What the one before has under way is given up, and its
// results are dropped: they say nothing about the new one.
func (l *loop) follow(ctx context.Context, r reading) {
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
	l.current, l.giveUp = context.WithCancel(ctx)
	now := time.Now()
	l.stalls = stalls{keep: 2 * patienceLimit * r.plan.Timeout}
	l.plan, l.schedule, l.waiting, l.questions, l.tracks = r.plan, schedule{}, nil, nil, make([]*track, len(r.plan.Checks))
	l.report.agent, l.report.digest, l.report.to, l.report.needs = r.plan.Agent, digest, now, urgent
	for i, c := range r.plan.Checks {
		l.tracks[i] = &track{check: c, from: now}
		// Spread over the interval, so that the load is even.
		offset := time.Duration(int64(i) * int64(r.plan.Interval) / int64(len(r.plan.Checks)))
		l.schedule.add(appointment{at: now.Add(offset), track: l.tracks[i]})
	}
}

// keep keeps an appointment and makes the next one. What was missed while the
// check waited for a slot is counted as unsent: it shows as lost coverage.
func (l *loop) keep(a appointment, now time.Time) {
	r := result{of: l.current, track: a.track, confirms: a.confirms}
	next := appointment{track: a.track, confirms: a.confirms}
	if a.confirms {
		next.at = now.Add(l.plan.Confirm.Every)
		a.track.burst.started++
	} else {
		next.at, r.missed = after(a.at, now, l.plan.Interval)
	}
	if !a.confirms || a.track.burst.started < a.track.burst.total {
		l.schedule.add(next)
	}
	r.number = a.track.order.begin(now)
	l.attempt(r, now)
}

// free reports whether there is a slot for an attempt.
func (l *loop) free(c probes.Check) bool {
	return l.inFlight == 0 || l.inFlight+slotsOf(c) <= l.slots
}

func slotsOf(c probes.Check) int {
	if c.Named() {
		return namedSlots
	}
	return 1
}

// attempt makes one attempt in a goroutine of its own.
func (l *loop) attempt(r result, now time.Time) {
	l.inFlight += slotsOf(r.track.check)
	timeout, check := l.plan.Timeout, r.track.check
	if isQuestion(check) {
		timeout *= patienceLimit
	}
	ctx, cancel := context.WithTimeout(r.of, timeout)
	if isQuestion(check) {
		ctx, r.question = l.ask(ctx, r, now, cancel)
	}
	l.attempts.Go(func() {
		defer cancel()
		r.began = time.Now()
		r.result = l.try(ctx, check)
		r.ended = time.Now()
		l.results <- r
	})
}

// hear takes the result of an attempt, which frees its slot.
func (l *loop) hear(r result) {
	l.inFlight -= slotsOf(r.track.check)
	if r.of.Err() != nil {
		return // given up: the plan has changed, or the agent stops
	}
	if r.question != nil && l.answered(r.question, r) {
		return
	}
	l.judge(r)
}

// judge notes how an attempt ended. One that ran out of time while this process
// itself got none proves nothing.
func (l *loop) judge(r result) {
	if waited := r.result.Outcome == probes.TimedOut || r.result.Outcome == probes.DNSFailure; waited {
		if lost := l.stalls.within(r.began, r.ended); lost >= l.plan.Timeout/2 {
			r.result = dial.Result{Detail: fmt.Sprintf("the agent itself got no processor for %v of this attempt", lost.Round(time.Millisecond))}
		}
	}
	if r.track.ended(r, l.plan.Confirm) {
		l.schedule.add(appointment{at: r.ended, track: r.track, confirms: true})
	}
	l.report.needs = max(l.report.needs, r.track.urgency)
}

// stop gives up what is under way and prints what is known, without regard to
// the pace: it is the last word.
func (l *loop) stop() error {
	l.giveUp()
	l.attempts.Wait()
	for more := true; more; {
		var err error
		if more, err = l.report.write(time.Now(), l.tracks); err != nil {
			return err
		}
	}
	return nil
}
