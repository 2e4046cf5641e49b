package operator

import (
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// longestLook is the most time that may pass between two looks at a run and count for
// its soak: a controller that was asleep for longer saw nothing of it.
const longestLook = 2 * time.Second

// soaking is how far the current step has come with its proof. It goes by this
// process's monotonic clock, so that a step of the wall clock ends nothing. It is never
// written down: nobody read the lines between two processes, and a reset that the first
// one had no time to write down must not be forgotten.
type soaking struct {
	at       place
	held     time.Duration // how long, in all, the proof was complete since the last cut or leak
	entered  time.Time     // when this process first saw the run there
	judged   time.Time     // the newest pass
	looked   time.Time     // the newest pass or glance
	watched  time.Duration // from that pass to that glance, without what nobody looked at
	complete time.Time     // the newest look that found the proof complete, or the entry
	acting   time.Duration // of the time since then, how long writes of ours had not acted yet
	broken   time.Time     // the newest cut, leak or forbidden connection
}

// place tells the steps of a run apart, by what they are and not by the names
// that people gave them. The zero place is no step.
type place struct {
	kind placeKind
	step int // index in Plan.Steps, of a stage
}

type placeKind uint8

const (
	nowhere placeKind = iota
	preflight
	stage
	commit
	rollback
)

// String names the place in what is written down; it is unique, whatever the
// stages are called.
func (p place) String() string {
	if p.kind == stage {
		return fmt.Sprintf("stage/%d", p.step)
	}
	return [...]string{"", "preflight", "", "commit", "rollback"}[p.kind]
}

// back reports whether the run goes back there.
func (p place) back() bool { return p.kind == rollback }

// placeOf a state; held runs are where they were held.
func placeOf(at rollout.State) place {
	switch at.Phase {
	case v1alpha1.PhasePreflight:
		return place{kind: preflight}
	case v1alpha1.PhaseObserve, v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce:
		return place{stage, at.Step}
	case v1alpha1.PhaseHeld:
		if at.Cause == rollout.CauseBaselineChanged {
			return place{kind: rollback}
		}
		return place{stage, at.Step}
	case v1alpha1.PhaseCommitting:
		return place{kind: commit}
	case v1alpha1.PhaseRollingBack:
		return place{kind: rollback}
	}
	return place{}
}

// inStep is how long the run has been where it is, as far as this process saw.
func (s *session) inStep(at rollout.State, now time.Time) time.Duration {
	if here := placeOf(at); s.soaking.at != here {
		s.soaking = soaking{at: here, entered: now, judged: now, looked: now, complete: now}
	}
	return now.Sub(s.soaking.entered)
}

// soak is how long the proof of the step was complete, in all, since the last cut
// or leak, and how long ago it was complete last; breached is when a forbidden path
// was last seen to get through, if only once. What interrupts the proof for a
// moment (a backend that is replaced, a node that joins) makes the soak longer by that
// moment; it does not start it again, nor does it end the run. So does a pause. A
// controller that starts anew starts the soak anew. The time that writes of ours are known
// to take to act does not count: nothing can be proved meanwhile.
func (s *session) soak(g rollout.Gate, e rollout.Evidence, breached time.Time, now time.Time) (held, unproved time.Duration) {
	st := &s.soaking
	breach := breached.After(st.judged)
	passed := now.Sub(st.looked)
	if s.settledAt.IsZero() {
		st.acting += passed
	}
	if st.held == 0 {
		passed = max(passed, since(later(later(s.settledAt, s.resumedAt), st.broken), now)) // the samples that complete the proof are of that time
	}
	passed = st.watched + min(passed, longestLook)
	st.judged, st.looked, st.watched = now, now, 0
	switch {
	case len(e.Cut) > 0 || len(e.Leaks) > 0:
		st.held = 0
		st.prove(now)
		st.broken = now // a leak is an answer: the run is held, not blind
	case breach:
		st.held, st.broken = 0, breached
	case s.paused && g.Complete(e):
		st.prove(now)
	case g.Complete(e):
		if st.held == 0 {
			slog.Info("proved", "run", s.plan.Run, "at", st.at, "afterStep", now.Sub(st.entered), "cells", e.Required)
		}
		st.held += passed
		st.prove(now)
	}
	return st.held, max(0, now.Sub(st.complete)-min(st.acting, s.effectTime()))
}

// lose makes the soak start anew where lines of an agent are missing, because a log was
// rotated, a line was lost, or the agent was started again: nobody knows what it saw.
func (s *session) lose(now time.Time) {
	if s.gaps == nil {
		s.gaps = map[types.NamespacedName]uint64{}
	}
	for a := range s.pods.Agents() {
		if lines := a.Gaps() - s.gaps[a.Spec.Name]; lines > 0 {
			s.gaps[a.Spec.Name] += lines
			s.missed(a.Spec.Name, lines, now)
		}
	}
}

// missed notes that so many lines of an agent are missing.
func (s *session) missed(agent types.NamespacedName, lines uint64, now time.Time) {
	s.soaking.held, s.soaking.broken, s.soaking.watched = 0, now, 0
	s.record.missing(agent, lines)
	slog.Warn("lines of a probe pod are missing: its coverage is lost, and the soak starts anew", "run", s.plan.Run, "agent", agent, "lines", lines)
}

// glance notes that nothing has changed since the newest pass, which found the proof
// complete. A pause adds nothing.
func (s *session) glance(now time.Time) {
	st := &s.soaking
	if !s.paused {
		st.watched += min(now.Sub(st.looked), longestLook)
	}
	st.looked = now
	st.prove(now)
}

func (s *soaking) prove(now time.Time) { s.complete, s.acting = now, 0 }
