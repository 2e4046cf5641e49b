package operator

import (
	"sync/atomic"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

const (
	// tick is how often a run is looked at that waits for its own writes and pods.
	tick = 50 * time.Millisecond
	// calmTick is the same while its step lacks proof.
	calmTick = 200 * time.Millisecond
	// slowTick is the same of both after long without news. A soak counts it in full.
	slowTick = longestLook / 2
	// glanceEvery is how often it is made sure that the agents of a run that rests
	// still speak: half of what may pass unseen in a soak.
	glanceEvery = longestLook / 2
	// longestRest is the longest that a run rests without news, so that nothing is
	// lost with an event that never came.
	longestRest = 10 * time.Second
	// quietWithin is how old the words of agents may be while a run rests. They speak
	// once a second.
	quietWithin = 4 * time.Second
)

// waking is what decides when a run is looked at: at once when there is news, and
// when a deadline is due. News are edges (docs/adr/0041-a-pass-is-for-news.md): an
// agent says something else than before, the run or its namespaces change. The zero
// value is looked at at once.
type waking struct {
	ask  func()                    // asks for a pass at once; it does not block
	news atomic.Bool               // since the newest pass began
	line atomic.Pointer[time.Time] // when the first line came in that is news, since the newest pass began; nil: none did

	told    time.Time // what line said when the newest pass began; zero: nil
	stirred time.Time // when the newest pass began that news led to, or the first
	due     time.Time // when a pass is due without news; zero: at once
	version string    // of the run as this process saw or wrote it last
	follows []string  // namespaces whose changes are news; sorted
}

// begin is called before anything is read for a pass: what comes from then on is news.
func (w *waking) begin() {
	if w.news.Swap(false) || w.stirred.IsZero() {
		w.stirred = time.Now()
	}
	w.due, w.told = time.Time{}, time.Time{}
	if at := w.line.Swap(nil); at != nil {
		w.told = *at
	}
}

// restFor lets a run rest after a pass. One that is looked at often does not rest: each
// look at it is a pass.
func (w *waking) restFor(rest time.Duration) {
	if rest > slowTick {
		w.due = time.Now().Add(rest)
	}
}

// wake is called by whoever has news. It does not block.
func (w *waking) wake() {
	if !w.news.Swap(true) && w.ask != nil {
		w.ask()
	}
}

// hear is wake for a line of an agent.
func (w *waking) hear() {
	now := time.Now()
	w.line.CompareAndSwap(nil, &now)
	w.wake()
}

// rests reports whether nothing of the run has to be looked at.
func (s *session) rests(run *v1alpha1.PolicyRolloutRun, now time.Time) bool {
	return run.ResourceVersion == s.version && s.resting(now)
}

// resting reports whether no news came since the newest pass, nothing is due, and all
// agents speak.
func (s *session) resting(now time.Time) bool {
	return !s.news.Load() && now.Before(s.due) && s.pods.Fresh(now, quietWithin)
}

// pace is how long a run may rest after a pass that found it at a state and left it at
// next. It is looked at often while it waits for its own writes and pods, seldom while
// it lacks proof, and else when its soak is over.
func (s *session) pace(at, next rollout.State, e rollout.Evidence) time.Duration {
	waits := s.plan == nil || placeOf(next).kind != stage || !s.plan.hasStep(next) || s.settledAt.IsZero()
	doubted := len(e.Cut)+len(e.Leaks)+len(e.Unexplained)+len(e.Failing) > 0 || e.Foreign != ""
	switch {
	case at != next, waits && doubted:
		return tick
	case waits:
		return s.unhurried(tick)
	case doubted, !s.pods.AllCurrent(), e.Silence > quietWithin:
		return calmTick
	}
	gate := s.plan.Steps[next.Step].Gate
	left := gate.Soak - e.HeldFor
	if !gate.Complete(e) || left <= 0 {
		return s.unhurried(calmTick) // for somebody's word, or for proof
	}
	return min(left, longestRest)
}

// unhurried is a rest that grows with the time that nothing was news: what comes without
// news comes an eighth of its time late, and no more than slowTick. What is waited for by
// time is looked at in time.
func (s *session) unhurried(least time.Duration) time.Duration {
	now := time.Now()
	rest := min(max(least, since(s.stirred, now)/8), slowTick)
	for _, wrote := range []time.Time{s.acked, s.bridgesAt, s.restoreAt} {
		rest = min(rest, untilActed(wrote, s.settleTime, now))
	}
	for _, wrote := range []time.Time{s.labelledAt, s.releasedAt} {
		rest = min(rest, untilActed(wrote, s.labelTime, now))
	}
	return rest
}

// untilActed is how long what was written has yet to wait for its effect; longer than
// any rest: it has waited, or nothing was written.
func untilActed(wrote time.Time, effect time.Duration, now time.Time) time.Duration {
	if left := wrote.Add(2 * effect).Sub(now); left > 0 {
		return left
	}
	return longestRest
}
