package operator

import (
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// soakFor feeds a session one pass every tick and returns what the last one said.
func soakFor(s *session, at rollout.State, from time.Time, passes int, seen func(i int) (rollout.Evidence, time.Time)) (held, unproved time.Duration, end time.Time) {
	gate := rollout.Gate{Soak: time.Minute, MinCoveragePercent: 100}
	now := from
	for i := range passes {
		now = now.Add(tick)
		s.inStep(at, now)
		e, breached := seen(i)
		held, unproved = s.soak(gate, e, breached, now)
	}
	return held, unproved, now
}

func TestASoak(t *testing.T) {
	at := rollout.State{Phase: v1alpha1.PhaseCanary, Step: 1}
	proof := rollout.Evidence{Settled: true, Required: 4, Proved: 4}
	short := rollout.Evidence{Settled: true, Required: 4, Proved: 3}
	leak := rollout.Evidence{Settled: true, Required: 4, Proved: 3, Leaks: []string{"a"}}
	always := func(e rollout.Evidence) func(int) (rollout.Evidence, time.Time) {
		return func(int) (rollout.Evidence, time.Time) { return e, time.Time{} }
	}
	start := time.Now()
	within := func(t *testing.T, what string, got, low, high time.Duration) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s is %v, want %v to %v", what, got, low, high)
		}
	}
	t.Run("proof counts", func(t *testing.T) {
		s := &session{plan: &Plan{}}
		held, unproved, _ := soakFor(s, at, start, 200, always(proof))
		within(t, "held", held, 9*time.Second, 10*time.Second)
		within(t, "unproved", unproved, 0, 0)
	})
	t.Run("a hiccup every minute makes it longer and ends nothing", func(t *testing.T) {
		s := &session{plan: &Plan{}}
		held, _, _ := soakFor(s, at, start, 20*60*20, func(i int) (rollout.Evidence, time.Time) {
			if i%(60*20) < 3*20 {
				return short, time.Time{}
			}
			return proof, time.Time{}
		})
		within(t, "held", held, 18*time.Minute+50*time.Second, 19*time.Minute+10*time.Second)
	})
	t.Run("time without proof is counted from the last of it", func(t *testing.T) {
		s := &session{plan: &Plan{}}
		_, _, now := soakFor(s, at, start, 200, always(proof))
		held, unproved, _ := soakFor(s, at, now, 200, always(short))
		within(t, "held", held, 9*time.Second, 10*time.Second)
		within(t, "unproved", unproved, 9*time.Second, 11*time.Second)
	})
	t.Run("a leak starts it again and is no silence", func(t *testing.T) {
		s := &session{plan: &Plan{}}
		_, _, now := soakFor(s, at, start, 200, always(proof))
		held, unproved, now := soakFor(s, at, now, 2000, always(leak))
		within(t, "held", held, 0, 0)
		within(t, "unproved", unproved, 0, 0)
		held, _, _ = soakFor(s, at, now, 20, always(proof))
		within(t, "held after the leak", held, 900*time.Millisecond, 1100*time.Millisecond)
	})
	t.Run("one forbidden connection starts it again", func(t *testing.T) {
		s := &session{plan: &Plan{}}
		_, _, now := soakFor(s, at, start, 200, always(proof))
		once := now.Add(30 * time.Millisecond)
		held, _, _ := soakFor(s, at, now, 20, func(int) (rollout.Evidence, time.Time) { return proof, once })
		within(t, "held", held, 900*time.Millisecond, 1100*time.Millisecond)
	})
	t.Run("a controller that slept saw nothing", func(t *testing.T) {
		s := &session{plan: &Plan{}}
		_, _, now := soakFor(s, at, start, 20, always(proof))
		held, _, _ := soakFor(s, at, now.Add(time.Hour), 1, always(proof))
		within(t, "held", held, time.Second, longestLook+time.Second)
	})
	t.Run("another step begins anew", func(t *testing.T) {
		s := &session{plan: &Plan{}}
		_, _, now := soakFor(s, at, start, 200, always(proof))
		held, _, _ := soakFor(s, rollout.State{Phase: v1alpha1.PhaseEnforce, Step: 2}, now, 1, always(proof))
		within(t, "held", held, 0, tick)
	})
}

// A controller that is started anew starts the soak anew: the last one may have seen a leak
// since it wrote anything down.
func TestASoakEndsWithTheController(t *testing.T) {
	at, start := rollout.State{Phase: v1alpha1.PhaseCanary, Step: 1}, time.Now()
	proof := func(int) (rollout.Evidence, time.Time) {
		return rollout.Evidence{Settled: true, Required: 4, Proved: 4}, time.Time{}
	}
	s := &session{plan: &Plan{}}
	s.record.links, s.record.Book = &evidence.Chain{}, report.Book{}
	s.record.begin(s.plan, start)
	_, _, now := soakFor(s, at, start, 200, proof)
	s.record.closeWindow(now)
	after := &session{plan: &Plan{}}
	if err := after.record.State.read(s.record.Memory); err != nil || s.record.Memory == nil {
		t.Fatal(err, "nothing is remembered")
	}
	held, unproved, _ := soakFor(after, at, start.Add(time.Hour), 20, proof)
	if held < 900*time.Millisecond || held > 1100*time.Millisecond || unproved != 0 {
		t.Errorf("held for %v and unproved for %v a second after the start", held, unproved)
	}
}

// Whatever people call their stages, each place of a run is told from the others.
func TestPlacesAreNoNames(t *testing.T) {
	seen := map[string]rollout.State{}
	for _, at := range []rollout.State{
		{Phase: v1alpha1.PhasePreflight}, {Phase: v1alpha1.PhaseObserve}, {Phase: v1alpha1.PhaseCanary, Step: 1},
		{Phase: v1alpha1.PhaseEnforce, Step: 2}, {Phase: v1alpha1.PhaseCommitting, Step: 2}, {Phase: v1alpha1.PhaseRollingBack, Step: 2},
	} {
		name := placeOf(at).String()
		if other, dup := seen[name]; dup || name == "" {
			t.Errorf("%+v is called %q, as is %+v", at, name, other)
		}
		seen[name] = at
	}
	held := rollout.State{Phase: v1alpha1.PhaseHeld, Step: 2, Cause: rollout.CauseLeak}
	if placeOf(held) != placeOf(rollout.State{Phase: v1alpha1.PhaseEnforce, Step: 2}) {
		t.Error("a run that a leak holds is not where it was held")
	}
	held.Cause = rollout.CauseBaselineChanged
	if placeOf(held) != placeOf(rollout.State{Phase: v1alpha1.PhaseRollingBack}) {
		t.Error("a run that was widened is not where it goes back from")
	}
}

// A decision is recorded before it is acted on, and the act may fail. Until the
// writes of the new step were made and have settled, nothing proves that step: what
// settled was the step before.
func TestWhatSettledBeforeProvesNothingOfTheNextStep(t *testing.T) {
	p := aPicture(v1alpha1.ExpectAllow)
	s := newSession(t.Context(), func() {})
	s.plan, s.settledAt, s.place = p.plan, time.Now().Add(-time.Minute), place{stage, 0}
	s.plan.Steps = []rollout.StepPlan{{Phase: v1alpha1.PhaseObserve}, {Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
	s.record.begin(s.plan, time.Now())
	defer s.close()
	s.listen(mute{}, []agentSpec{{name: p.sights[0].from}})
	if e, _, _ := s.gather(p.world, rollout.State{Phase: v1alpha1.PhaseObserve}); !e.Settled {
		t.Fatal("the step that settled is not settled")
	}
	for _, at := range []rollout.State{{Phase: v1alpha1.PhaseEnforce, Step: 1}, {Phase: v1alpha1.PhaseCommitting, Step: 1}} {
		if e, _, _ := s.gather(p.world, at); e.Settled || !s.settledAt.IsZero() {
			t.Errorf("%s counts as settled before anything of it was written", at.Phase)
		}
		s.settledAt = time.Now().Add(-time.Minute)
	}
}

// History is bounded, and a run that is held and goes on again may fill it. It was
// live all the same, so a rollback has something to take back.
func TestARunThatWasHeldWasLive(t *testing.T) {
	run := aRun(v1alpha1.PhaseRollingBack, v1alpha1.IntentRun)
	if everLive(run) {
		t.Error("a run that never applied anything is live")
	}
	for range maxHistory / 2 {
		run.Status.History = append(run.Status.History, v1alpha1.PhaseChange{Phase: v1alpha1.PhaseHeld}, v1alpha1.PhaseChange{Phase: v1alpha1.PhaseRollingBack})
	}
	if !everLive(run) {
		t.Error("a run whose history holds only how it was held is not live")
	}
}

// What a leak or a forbidden connection undid is not credited again from the time
// before it.
func TestASoakGivesNoCreditForTheTimeOfALeak(t *testing.T) {
	at := rollout.State{Phase: v1alpha1.PhaseCanary, Step: 1}
	proof := rollout.Evidence{Settled: true, Required: 4, Proved: 4}
	start := time.Now()
	for _, name := range []string{"a leak", "one forbidden connection"} {
		s := &session{plan: &Plan{}, settledAt: start}
		_, _, now := soakFor(s, at, start, 200, func(int) (rollout.Evidence, time.Time) { return proof, time.Time{} })
		held, _, _ := soakFor(s, at, now, 2, func(i int) (rollout.Evidence, time.Time) {
			e, once := proof, time.Time{}
			switch {
			case i == 0 && name == "a leak":
				e.Leaks = []string{"a"}
			case i == 0:
				once = now.Add(tick / 2)
			}
			return e, once
		})
		if held > 2*tick {
			t.Errorf("%s: held for %v one pass later", name, held)
		}
	}
}
