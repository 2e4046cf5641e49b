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
	ask  func()      // asks for a pass at once; it does not block
	news atomic.Bool // since the newest pass began

	due     time.Time // when a pass is due without news; zero: at once
	version string    // of the run as this process saw or wrote it last
	follows []string  // namespaces whose changes are news; sorted
}

// begin is called before anything is read for a pass: what comes from then on is news.
func (w *waking) begin() {
	w.news.Store(false)
	w.due = time.Time{}
}

// restFor lets a run rest after a pass. One that is looked at often does not rest: each
// look at it is a pass.
func (w *waking) restFor(rest time.Duration) {
	if rest > calmTick {
		w.due = time.Now().Add(rest)
	}
}

// wake is called by whoever has news. It does not block.
func (w *waking) wake() {
	if !w.news.Swap(true) && w.ask != nil {
		w.ask()
	}
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
	switch {
	case at != next, s.record.job != nil, placeOf(next).kind != stage, s.plan == nil, !s.plan.hasStep(next), s.settledAt.IsZero():
		return tick
	case !s.pods.AllCurrent(), e.Silence > quietWithin, len(e.Cut)+len(e.Leaks)+len(e.Unexplained) > 0, e.Foreign != "":
		return calmTick
	}
	gate := s.plan.Steps[next.Step].Gate
	left := gate.Soak - e.HeldFor
	if !gate.Complete(e) || left <= 0 {
		return calmTick // for somebody's word, or for proof
	}
	return min(left, longestRest)
}
