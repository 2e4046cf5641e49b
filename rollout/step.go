package rollout

import (
	"cmp"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Cause is why a run left the forward road, or stands still on it.
type Cause string

// The causes. Empty means that it goes on.
const (
	CauseCut             Cause = "Cut"                // a path that must work was cut
	CauseLeak            Cause = "Leak"               // a path that must not work does, although everything is enforced
	CauseUnexplained     Cause = "Unexplained"        // soon after a write of ours paths failed that no policy denies, together with paths that nothing of ours selects
	CauseSilent          Cause = "Silent"             // probes fell silent, or a gate found no proof, past the deadline
	CauseAborted         Cause = "Aborted"            // a person asked for it
	CauseForeign         Cause = "Foreign"            // somebody else changed an object or a pod that the plan relies on
	CauseBaselineChanged Cause = "BaselineChanged"    // taking the candidates away would cut a path that works, because somebody else changed the baseline
	CauseRefused         Cause = "Refused"            // preflight refused
	CauseNotEnforced     Cause = "NotEnforced"        // this cluster does not enforce NetworkPolicy
	CauseInPlace         Cause = "InPlace"            // every policy of the rollout is in force already: nothing was done
	CausePaused          Cause = "Paused"             // it did not leave it: a person holds the run where it is
	CauseWaiting         Cause = "WaitingForApproval" // nor here: the stage is proved, and a gate of it waits for people
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
	PreflightInPlace
)

// Evidence is what the probes of one step add up to. The weakest path speaks
// for all, so that one path nobody probed cannot hide behind busy ones. The
// zero Evidence opens no gate.
type Evidence struct {
	Preflight   Preflight
	Cut         []string      // expected paths that fail: the policy is too tight
	Leaks       []string      // forbidden paths that connect although everything is enforced
	Unqualified []string      // before the change: expected paths that do not work and that nobody accepted as such
	Unexplained []string      // expected paths that fail since a write of ours, for a cause that no policy explains and that unselected paths share
	Failing     []string      // expected paths whose newest attempts fail, and it is not decided yet whose trouble that is
	Foreign     string        // what somebody else changed, in words; empty: nothing
	Required    int           // cells that need proof in this step
	Proved      int           // cells with enough conclusive samples since the scope took effect, the newest of them fresh
	Settled     bool          // the scope's writes are acknowledged and have taken effect
	HeldFor     time.Duration // how long, in all, the step's proof was complete since the last cut or leak
	Unproved    time.Duration // since the step's proof was complete last, or the step was entered; 0 while it is complete or a leak holds the run
	Silence     time.Duration // since the longest-silent agent was heard
	Paused      time.Duration // how much of Silence the run was paused for; none of the other durations counts such time
	InStep      time.Duration // since the step was entered, by a clock that nobody sets
	Restoring   time.Duration // rolling back: since the first restoring write was tried; 0: none was
	Unclearable string        // rolling back: why taking the candidates away would cut a path that works now; empty: it would not
	Restored    bool          // rolling back: every object is back, and probes have seen it
	Finalised   bool          // committing: the final objects are in force, temporary ones select nothing
	Approvals                 // what people let the run do in this visit of its step
}

// Approvals are what people let a run do in the step that it is in. They shorten a
// wait, and never stand in for a proof. The zero value lets it do nothing.
type Approvals struct {
	Open     map[string]bool // gates of the step that are open; one that is missing is closed
	Promoted bool            // leave out the rest of the soak
	Resumed  bool            // leave Held without waiting for the soak, once the leak is gone
}

// Limits bound how long a run waits for proof.
type Limits struct {
	Preflight    time.Duration // for the checks before the first change, image pulls of probe pods included
	Inconclusive time.Duration // without proof; then a live change is rolled back
	Rollback     time.Duration // for a rollback to be verified, from its first write on; then it has failed
	Silence      time.Duration // an agent that was not heard for longer closes every gate; 0 means 5s
}

// defaultSilence is several heartbeats of an agent, which come once a second.
const defaultSilence = 5 * time.Second

// Step moves at most one phase. A cut rolls back. A leak only holds, because
// removing the policy would widen it; once it was gone for the soak of its step,
// the run goes on. Silence never passes: it holds, and past the deadline a live
// change is taken back, because a change nobody can see is not safe. A pause keeps
// a run from going forward and from nothing else; its time is no silence. Step is
// a function of its arguments and nothing else.
func Step(steps []StepPlan, l Limits, at State, e Evidence, intent v1alpha1.Intent) State {
	switch at.Phase {
	case "", v1alpha1.PhasePending:
		if intent == v1alpha1.IntentPause {
			return State{Phase: v1alpha1.PhasePending, Cause: CausePaused}
		}
		return State{Phase: v1alpha1.PhasePreflight}
	case v1alpha1.PhasePreflight:
		return afterPreflight(steps, l, at, e, intent)
	case v1alpha1.PhaseRollingBack:
		return afterRollback(l, at, e)
	case v1alpha1.PhaseObserve, v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseHeld, v1alpha1.PhaseCommitting:
		if at.Cause == CauseBaselineChanged {
			return widened(at, e)
		}
		if at.Step < 0 || at.Step >= len(steps) {
			return at.to(v1alpha1.PhaseRollingBack, CauseForeign) // a recorded step the plan does not have
		}
		if bad, ok := backward(steps[at.Step], l, at, e, intent); ok {
			return bad
		}
		if intent == v1alpha1.IntentPause {
			return at.paused()
		}
		return forward(steps, l, at.resumed(), e)
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
	case intent == v1alpha1.IntentPause:
		return at.paused()
	case e.Preflight == PreflightInPlace:
		return at.to(v1alpha1.PhaseCommitted, CauseInPlace)
	case e.Preflight == PreflightPassed && len(steps) > 0:
		return State{Phase: steps[0].Phase}
	case e.InStep > l.Preflight:
		return at.to(v1alpha1.PhaseInconclusive, CauseSilent)
	}
	return at.resumed()
}

// afterRollback waits for a rollback to be seen. The deadline counts from its
// first write: a controller that was down has not tried yet.
func afterRollback(l Limits, at State, e Evidence) State {
	switch {
	case e.Restored:
		return at.to(v1alpha1.PhaseRolledBack, at.Cause)
	case e.Unclearable != "":
		return at.to(v1alpha1.PhaseHeld, CauseBaselineChanged)
	case e.Restoring > l.Rollback:
		return at.to(v1alpha1.PhaseRollbackFailed, at.Cause)
	}
	return at
}

// widened moves a run that was widened and could not be cleared: once nothing
// stands in the way any more, the rollback goes on.
func widened(at State, e Evidence) State {
	if e.Unclearable == "" {
		return at.to(v1alpha1.PhaseRollingBack, CauseBaselineChanged)
	}
	return at
}

// backward says whether the evidence of a step sends the run back or holds it.
func backward(step StepPlan, l Limits, at State, e Evidence, intent v1alpha1.Intent) (State, bool) {
	live := step.Scope.Live()
	overdue := e.Unproved > l.Inconclusive || e.Silence-e.Paused > l.Inconclusive
	switch {
	case intent == v1alpha1.IntentAbort:
		return at.to(v1alpha1.PhaseRollingBack, CauseAborted), true
	case e.Foreign != "" && !live:
		return State{Phase: v1alpha1.PhasePreflight}, true // nothing is applied: plan again, on what is there now
	case e.Foreign != "":
		return at.to(v1alpha1.PhaseRollingBack, CauseForeign), true
	case live && len(e.Cut) > 0:
		return at.to(v1alpha1.PhaseRollingBack, CauseCut), true
	case live && len(e.Unexplained) > 0:
		return at.to(v1alpha1.PhaseRollingBack, CauseUnexplained), true
	case overdue && live:
		return at.to(v1alpha1.PhaseRollingBack, CauseSilent), true
	case overdue:
		return at.to(v1alpha1.PhaseInconclusive, CauseSilent), true
	case live && len(e.Leaks) > 0:
		return at.to(v1alpha1.PhaseHeld, CauseLeak), true
	}
	return at, false
}

func forward(steps []StepPlan, l Limits, at State, e Evidence) State {
	step := steps[at.Step]
	gate := step.Gate
	switch at.Phase {
	case v1alpha1.PhaseCommitting:
		gate.Soak = 0
		if e.Finalised && gate.open(l, e) {
			return at.to(v1alpha1.PhaseCommitted, "")
		}
		return at
	case v1alpha1.PhaseHeld:
		if e.Resumed {
			gate.Soak = 0
		}
		if gate.open(l, e) { // the leak was gone for the whole soak, or a person looked: the step goes on where it was held
			return State{Phase: step.Phase, Step: at.Step}
		}
		return at
	}
	if e.Promoted {
		gate.Soak = 0
	}
	shut := len(step.Shut(e.Approvals)) > 0
	switch {
	case shut && (at.Cause == CauseWaiting || gate.open(l, e)):
		return at.to(at.Phase, CauseWaiting) // and stays so while single cells are proved anew: that is no news for whom it waits for
	case !gate.open(l, e):
		return at.to(at.Phase, "")
	case at.Step+1 == len(steps):
		return at.to(v1alpha1.PhaseCommitting, "")
	}
	return State{Phase: steps[at.Step+1].Phase, Step: at.Step + 1}
}

// Shut lists the gates of the step that are not open.
func (s StepPlan) Shut(a Approvals) []v1alpha1.Gate {
	var shut []v1alpha1.Gate
	for _, g := range s.Gates {
		if !a.Open[g.Name] {
			shut = append(shut, g)
		}
	}
	return shut
}

// open reports whether the evidence is proof enough. Nothing required is
// nothing proved: a step without a single cell never opens. Nor does one of
// which an agent is silent: its last word is from before.
func (g Gate) open(l Limits, e Evidence) bool {
	silence := cmp.Or(l.Silence, defaultSilence)
	return g.Complete(e) && e.HeldFor >= g.Soak && e.Silence <= silence && len(e.Cut) == 0 && len(e.Leaks) == 0
}

// Complete reports whether enough of the step's cells are proved. A path that
// does not work before the change is missing, whatever the percentage, and so is
// one that may be about to be called cut.
func (g Gate) Complete(e Evidence) bool {
	need := int(g.MinCoveragePercent)
	if need == 0 {
		need = 100
	}
	return e.Settled && e.Required > 0 && e.Proved*100 >= e.Required*need && len(e.Unqualified) == 0 && len(e.Failing) == 0
}

// paused is the state with the pause as its cause, unless it stands still for a
// reason of its own.
func (s State) paused() State {
	if s.Cause == "" {
		s.Cause = CausePaused
	}
	return s
}

// resumed is the state without a pause.
func (s State) resumed() State {
	if s.Cause == CausePaused {
		s.Cause = ""
	}
	return s
}

func (s State) to(p v1alpha1.Phase, c Cause) State { return State{Phase: p, Step: s.Step, Cause: c} }

// Result is the word that people and exit codes know a finished run by. A run
// that was rolled back because nothing could be seen, or because what was seen
// has no explanation, proved nothing; one that found its work done tested nothing.
func (s State) Result() string {
	switch s.Phase {
	case v1alpha1.PhaseRolledBack:
		if s.Cause == CauseSilent || s.Cause == CauseUnexplained {
			return "Inconclusive"
		}
		return "RolledBack"
	case v1alpha1.PhaseCommitted:
		if s.Cause == CauseInPlace {
			return string(CauseInPlace)
		}
		return string(s.Phase)
	case v1alpha1.PhaseRollbackFailed, v1alpha1.PhaseHeld, v1alpha1.PhaseRefused, v1alpha1.PhaseInconclusive:
		return string(s.Phase)
	}
	return ""
}
