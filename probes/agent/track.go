package agent

import (
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

// urgency says how soon something wants to be reported.
type urgency int

const (
	idle     urgency = iota // nothing happened: a heartbeat will do
	quiet                   // what happened agrees with what is known
	routine                 // something is failing, or had no place in the line before
	progress                // the class changed, or a third of a burst is over: enough for some to decide by
	urgent                  // a burst is over, or a plan was taken on
)

// track is all that the agent knows of one check.
type track struct {
	check   probes.Check
	spoiled error // why it cannot be tried; nil: it can
	order   order
	class   class // of the newest attempt that has ended
	slow    slowness
	burst   burst
	spent   time.Time              // every burst moves it on by burstEvery; it may not pass the present
	counts  map[probes.Outcome]int // since the last report
	from    time.Time              // when that was
	urgency urgency
}

// burst is the confirmations that follow a change of class. The zero burst is none.
type burst struct{ total, started, ended int }

func (b burst) running() bool { return b.ended < b.total }

// A check may have so many bursts in a row, and one more every so often: a path
// that flaps would otherwise be hammered for ever.
const (
	burstsInARow = 3
	burstEvery   = 2 * time.Second
)

// ended notes how an attempt ended. It reports whether a burst of confirmations
// must begin.
func (t *track) ended(f *flight, r dial.Result, at time.Time, c probes.Confirmation) bool {
	t.order.end(f.number, at, r)
	if t.counts == nil {
		t.counts = map[probes.Outcome]int{}
	}
	t.counts[r.Outcome]++
	if f.missed > 0 {
		t.counts[probes.Unsent] += f.missed
	}
	news, contradicts := t.changed()
	t.urgency = max(t.urgency, t.worth(news, at))
	if f.confirms {
		t.burst.ended++
		t.urgency = max(t.urgency, t.burst.milestone())
	}
	return contradicts && t.confirm(at, c)
}

// changed notes the class of the newest attempt. It is news if it is another than
// before; if it also contradicts what was known, it wants confirmation. A first
// success does not: there is nothing it contradicts. A failure after an attempt that
// proved nothing does: its streak begins anew.
func (t *track) changed() (news, contradicts bool) {
	newest, _, _ := t.order.streak()
	now, before := classOf(newest.result.Outcome), t.class
	t.class = now
	return now != before, now != before && (now == blocked || now == connected && before == blocked)
}

// freshFailure is how long failures are told without delay: whoever needs more of
// them than a burst has, to be sure, waits for the next.
const freshFailure = 15 * time.Second

// worth is how urgent an attempt makes a report.
func (t *track) worth(news bool, at time.Time) urgency {
	_, _, since := t.order.streak()
	switch {
	case news:
		return progress
	case t.class == blocked && at.Sub(since) < freshFailure:
		return routine
	}
	return quiet
}

// confirm plans a burst, or more of the one that is under way, and reports
// whether its next attempt must be scheduled.
func (t *track) confirm(at time.Time, c probes.Confirmation) bool {
	if t.spent = latest(t.spent, at.Add(-burstsInARow*burstEvery)); c.Count == 0 || t.spent.After(at.Add(-burstEvery)) {
		return false
	}
	t.spent = t.spent.Add(burstEvery)
	if !t.burst.running() {
		t.burst = burst{total: c.Count}
		return true
	}
	scheduled := t.burst.started < t.burst.total
	t.burst.total = t.burst.started + c.Count
	return !scheduled
}

// milestone is how urgent the attempt of a burst that has just ended makes a report.
func (b burst) milestone() urgency {
	third := (b.total + 2) / 3
	switch {
	case b.ended == b.total:
		return urgent
	case b.ended%third == 0:
		return progress
	}
	return routine
}

// count is what to report of the check. Only a check of which attempts have ended
// since the last report has one.
func (t *track) count(stamp func(time.Time) time.Time) probes.Count {
	newest, length, since := t.order.streak()
	return probes.Count{
		ID: t.check.ID, Outcomes: t.counts, Last: newest.result.Outcome, Streak: length,
		Since: stamp(since), Newest: stamp(newest.end),
		Status: newest.result.Status, Detail: newest.result.Detail,
	}
}

// reported begins a new window.
func (t *track) reported(at time.Time) {
	clear(t.counts)
	t.from, t.urgency = at, idle
}
