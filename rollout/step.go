package rollout

import (
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Cause is why a run left the forward road.
type Cause string

// The causes. Empty means that it did not leave it.
const (
	CauseCut         Cause = "Cut"         // a path that must work was cut
	CauseLeak        Cause = "Leak"        // a path that must not work does, although the live policies deny it
	CauseSilent      Cause = "Silent"      // probes fell silent, or a gate found no proof, past the deadline
	CauseAborted     Cause = "Aborted"     // a person asked for it
	CauseForeign     Cause = "Foreign"     // somebody else changed an object or a pod that the plan relies on
	CauseRefused     Cause = "Refused"     // preflight refused
	CauseNotEnforced Cause = "NotEnforced" // this cluster does not enforce NetworkPolicy
)

// State is where a run is. Step indexes the plan's steps; it keeps its value
// while the run is held or rolled back, so that a reader knows where it was.
// The zero State is Pending.
type State struct {
	Phase v1alpha1.Phase
	Step  int
	Cause Cause
}

// Preflight is what the checks before the first change have said so far.
// The zero value has said nothing.
type Preflight uint8

// The answers of preflight.
const (
	PreflightRunning Preflight = iota
	PreflightPassed
	PreflightRefused
	PreflightNotEnforced
)

// Evidence is what the probes of one step add up to. The weakest path speaks
// for all, so that one path nobody probed cannot hide behind busy ones. The
// zero Evidence opens no gate.
type Evidence struct {
	Preflight Preflight
	Cut       []string      // expected paths that fail: the policy is too tight
	Leaks     []string      // forbidden paths that connect although the live policies deny them
	Foreign   string        // what somebody else changed, in words; empty: nothing
	Required  int           // cells that need proof in this step
	Proved    int           // cells with enough conclusive samples since the scope took effect
	Settled   bool          // the scope's writes are acknowledged and have taken effect
	HeldFor   time.Duration // since the last cut or leak, or since the scope took effect
	Silence   time.Duration // since the longest-silent agent was heard
	InStep    time.Duration // since the step was entered
	Restored  bool          // rolling back: every object is back, and probes have seen it
	Finalised bool          // committing: the final objects are in force, temporary ones select nothing
}

// Limits bound how long a run waits for proof.
type Limits struct {
	Preflight    time.Duration // for the checks before the first change, image pulls of probe pods included
	Inconclusive time.Duration // past a step's soak; then a live change is rolled back
	Rollback     time.Duration // for a rollback to be verified; then it has failed
}

// Step moves at most one phase. A cut rolls back. A leak only holds, because
// removing the policy would widen it. Silence never passes: it holds, and past
// the deadline a live change is taken back, because a change nobody can see is
// not safe. Step is a function of its arguments and nothing else.
func Step(steps []StepPlan, l Limits, at State, e Evidence, intent v1alpha1.Intent) State {
	switch at.Phase {
	case "", v1alpha1.PhasePending:
		return State{Phase: v1alpha1.PhasePreflight}
	case v1alpha1.PhasePreflight:
		return afterPreflight(steps, l, at, e, intent)
	case v1alpha1.PhaseRollingBack:
		return afterRollback(l, at, e)
	case v1alpha1.PhaseObserve, v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseHeld, v1alpha1.PhaseCommitting:
		if at.Step < 0 || at.Step >= len(steps) {
			return at.to(v1alpha1.PhaseRollingBack, CauseForeign) // a recorded step the plan does not have
		}
		if bad, ok := backward(steps[at.Step], l, at, e, intent); ok {
			return bad
		}
		return forward(steps, at, e)
	}
	return at // terminal phases are for good: a healed path does not resume a run
}

func afterPreflight(steps []StepPlan, l Limits, at State, e Evidence, intent v1alpha1.Intent) State {
	switch {
	case intent == v1alpha1.IntentAbort:
		return at.to(v1alpha1.PhaseRollingBack, CauseAborted)
	case e.Preflight == PreflightRefused:
		return at.to(v1alpha1.PhaseRefused, CauseRefused)
	case e.Preflight == PreflightNotEnforced:
		return at.to(v1alpha1.PhaseInconclusive, CauseNotEnforced)
	case e.Preflight == PreflightPassed && len(steps) > 0:
		return State{Phase: steps[0].Phase}
	case e.InStep > l.Preflight:
		return at.to(v1alpha1.PhaseInconclusive, CauseSilent)
	}
	return at
}

func afterRollback(l Limits, at State, e Evidence) State {
	switch {
	case e.Restored:
		return at.to(v1alpha1.PhaseRolledBack, at.Cause)
	case e.InStep > l.Rollback:
		return at.to(v1alpha1.PhaseRollbackFailed, at.Cause)
	}
	return at
}

// backward says whether the evidence of a step sends the run back or holds it.
func backward(step StepPlan, l Limits, at State, e Evidence, intent v1alpha1.Intent) (State, bool) {
	live := step.Scope.Live()
	overdue := e.InStep > step.Gate.Soak+l.Inconclusive || e.Silence > l.Inconclusive
	switch {
	case intent == v1alpha1.IntentAbort:
		return at.to(v1alpha1.PhaseRollingBack, CauseAborted), true
	case e.Foreign != "":
		return at.to(v1alpha1.PhaseRollingBack, CauseForeign), true
	case live && len(e.Cut) > 0:
		return at.to(v1alpha1.PhaseRollingBack, CauseCut), true
	case at.Phase == v1alpha1.PhaseHeld:
		if e.Silence > l.Inconclusive {
			return at.to(v1alpha1.PhaseRollingBack, CauseSilent), true
		}
		return at, true
	case live && len(e.Leaks) > 0:
		return at.to(v1alpha1.PhaseHeld, CauseLeak), true
	case overdue && live:
		return at.to(v1alpha1.PhaseRollingBack, CauseSilent), true
	case overdue:
		return at.to(v1alpha1.PhaseInconclusive, CauseSilent), true
	}
	return at, false
}

func forward(steps []StepPlan, at State, e Evidence) State {
	if at.Phase == v1alpha1.PhaseCommitting {
		if e.Finalised && e.provedAll() {
			return at.to(v1alpha1.PhaseCommitted, "")
		}
		return at
	}
	if !steps[at.Step].Gate.open(e) {
		return at
	}
	if at.Step+1 == len(steps) {
		return at.to(v1alpha1.PhaseCommitting, "")
	}
	return State{Phase: steps[at.Step+1].Phase, Step: at.Step + 1}
}

// open reports whether the evidence is proof enough. Nothing required is
// nothing proved: a step without a single cell never opens.
func (g Gate) open(e Evidence) bool {
	need := int(g.MinCoveragePercent)
	if need == 0 {
		need = 100
	}
	return e.Settled && e.Required > 0 && e.Proved*100 >= e.Required*need &&
		e.HeldFor >= g.Soak && len(e.Cut) == 0 && len(e.Leaks) == 0
}

func (e Evidence) provedAll() bool {
	return e.Settled && e.Required > 0 && e.Proved >= e.Required && len(e.Cut) == 0 && len(e.Leaks) == 0
}

func (s State) to(p v1alpha1.Phase, c Cause) State { return State{Phase: p, Step: s.Step, Cause: c} }

// Result is the word that people and exit codes know a finished run by. A run
// that was rolled back because nothing could be seen proved nothing.
func (s State) Result() string {
	switch s.Phase {
	case v1alpha1.PhaseRolledBack:
		if s.Cause == CauseSilent {
			return "Inconclusive"
		}
		return "RolledBack"
	case v1alpha1.PhaseCommitted, v1alpha1.PhaseRollbackFailed, v1alpha1.PhaseHeld,
		v1alpha1.PhaseRefused, v1alpha1.PhaseInconclusive:
		return string(s.Phase)
	}
	return ""
}
