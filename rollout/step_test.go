package rollout

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

var (
	gate   = Gate{Soak: 3 * time.Second, MinCoveragePercent: 100}
	limits = Limits{Preflight: time.Minute, Inconclusive: time.Minute, Rollback: time.Minute}
	plan   = []StepPlan{
		{Name: "observe", Phase: v1alpha1.PhaseObserve, Scope: Nobody, Gate: gate},
		{Name: "shadow", Phase: v1alpha1.PhaseCanary, Scope: ProbePods, Gate: gate},
		{Name: "expand", Phase: v1alpha1.PhaseCanary, Scope: Bridged, Gate: gate},
		{Name: "few", Phase: v1alpha1.PhaseCanary, Scope: Few, Gate: gate},
		{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: Everyone, Gate: gate},
	}
	proof = Evidence{
		Preflight: PreflightPassed, Required: 24, Proved: 24, Settled: true,
		HeldFor: 5 * time.Second, Silence: time.Second, InStep: 6 * time.Second,
	}
)

func but(edit func(*Evidence)) Evidence { e := proof; edit(&e); return e }

func TestStep(t *testing.T) {
	cut := but(func(e *Evidence) { e.Cut = []string{"chat→gateway"} })
	leak := but(func(e *Evidence) { e.Leaks = []string{"notebook→model"} })
	silent := but(func(e *Evidence) { e.Silence = 2 * time.Minute })
	in := func(p v1alpha1.Phase, step int) State { return State{Phase: p, Step: step} }
	because := func(p v1alpha1.Phase, step int, c Cause) State { return State{p, step, c} }
	for _, tt := range []struct {
		name   string
		from   State
		seen   Evidence
		intent v1alpha1.Intent
		want   State
	}{
		{"a new run is checked first", State{}, proof, "", in("Preflight", 0)},
		{"a passed preflight opens observe", in("Preflight", 0), proof, "", in("Observe", 0)},
		{"preflight without an answer waits", in("Preflight", 0), Evidence{}, "", in("Preflight", 0)},
		{"preflight may take longer than silence may", in("Preflight", 0), Evidence{InStep: 59 * time.Second, Silence: 59 * time.Second}, "", in("Preflight", 0)},
		{"a preflight that finds no answer proves nothing", in("Preflight", 0), Evidence{InStep: 2 * time.Minute}, "", because("Inconclusive", 0, CauseSilent)},
		{"a refusal changes nothing", in("Preflight", 0), Evidence{Preflight: PreflightRefused}, "", because("Refused", 0, CauseRefused)},
		{"a cluster that does not enforce proves nothing", in("Preflight", 0), Evidence{Preflight: PreflightNotEnforced}, "", because("Inconclusive", 0, CauseNotEnforced)},
		{"proof opens the canary", in("Observe", 0), proof, "", in("Canary", 1)},
		{"a path that does not work before the change closes observe, whatever the percentage", in("Observe", 0), but(func(e *Evidence) { e.Unqualified = []string{"chat→gateway"} }), "", in("Observe", 0)},
		{"one cell short holds", in("Observe", 0), but(func(e *Evidence) { e.Proved-- }), "", in("Observe", 0)},
		{"nothing required is nothing proved", in("Observe", 0), but(func(e *Evidence) { e.Required, e.Proved = 0, 0 }), "", in("Observe", 0)},
		{"samples before the scope settled do not count", in("Canary", 1), but(func(e *Evidence) { e.Settled = false }), "", in("Canary", 1)},
		{"the soak is waited for", in("Canary", 1), but(func(e *Evidence) { e.HeldFor = time.Second }), "", in("Canary", 1)},
		{"a broken path before any policy is nobody's fault", in("Observe", 0), cut, "", in("Observe", 0)},
		{"a cut ends the shadow", in("Canary", 1), cut, "", because("RollingBack", 1, CauseCut)},
		{"a cut ends the commit", in("Committing", 4), cut, "", because("RollingBack", 4, CauseCut)},
		{"a leak holds, never rolls back", in("Enforce", 4), leak, "", because("Held", 4, CauseLeak)},
		{"a leak that was gone for the soak goes on", because("Held", 4, CauseLeak), proof, "", in("Enforce", 4)},
		{"a leak that is gone is watched first", because("Held", 4, CauseLeak), but(func(e *Evidence) { e.HeldFor = time.Second }), "", because("Held", 4, CauseLeak)},
		{"a leak that is gone and not proved gone stays held", because("Held", 4, CauseLeak), but(func(e *Evidence) { e.Proved-- }), "", because("Held", 4, CauseLeak)},
		{"a leak stays held as long as it is there", because("Held", 4, CauseLeak), leak, "", because("Held", 4, CauseLeak)},
		{"a held run that nobody can see is taken back", because("Held", 4, CauseLeak), silent, "", because("RollingBack", 4, CauseSilent)},
		{"silence shorter than the deadline opens no gate", in("Canary", 3), but(func(e *Evidence) { e.Silence = 59 * time.Second }), "", in("Canary", 3)},
		{"nor commits", in("Committing", 4), but(func(e *Evidence) { e.Finalised, e.Silence = true, 59*time.Second }), "", in("Committing", 4)},
		{"a long step is no step without proof", in("Canary", 3), but(func(e *Evidence) { e.HeldFor, e.InStep = time.Second, 24*time.Hour }), "", in("Canary", 3)},
		{"failures that unselected paths share are taken back and prove nothing", in("Enforce", 4), but(func(e *Evidence) { e.Unexplained = []string{"chat→gateway"} }), "", because("RollingBack", 4, CauseUnexplained)},
		{"a baseline that changes before anything is applied is planned for again", in("Observe", 0), but(func(e *Evidence) { e.Foreign = "policy x appeared" }), "", in("Preflight", 0)},
		{"policies that are all in force leave nothing to do", in("Preflight", 0), Evidence{Preflight: PreflightInPlace}, "", because("Committed", 0, CauseInPlace)},
		{"a rollback that would cut a working path stays widened", because("RollingBack", 4, CauseForeign), but(func(e *Evidence) { e.Unclearable = "policy x was deleted" }), "", because("Held", 4, CauseBaselineChanged)},
		{"and stays so, whatever is asked", because("Held", 4, CauseBaselineChanged), but(func(e *Evidence) { e.Unclearable = "policy x was deleted" }), v1alpha1.IntentAbort, because("Held", 4, CauseBaselineChanged)},
		{"until nothing stands in the way", because("Held", 4, CauseBaselineChanged), proof, "", because("RollingBack", 4, CauseBaselineChanged)},
		{"a controller that was down has not tried to roll back yet", because("RollingBack", 3, CauseCut), but(func(e *Evidence) { e.InStep = 61 * time.Second }), "", because("RollingBack", 3, CauseCut)},
		{"a cut while held rolls back", because("Held", 3, CauseLeak), cut, "", because("RollingBack", 3, CauseCut)},
		{"silence with a live change is taken back", in("Canary", 3), silent, "", because("RollingBack", 3, CauseSilent)},
		{"silence before any change proves nothing", in("Observe", 0), silent, "", because("Inconclusive", 0, CauseSilent)},
		{"a gate that never opens is taken back", in("Canary", 3), but(func(e *Evidence) { e.Proved, e.Unproved = 3, 2*time.Minute }), "", because("RollingBack", 3, CauseSilent)},
		{"an abort outranks proof", in("Enforce", 4), proof, v1alpha1.IntentAbort, because("RollingBack", 4, CauseAborted)},
		{"a foreign change ends the run", in("Canary", 3), but(func(e *Evidence) { e.Foreign = "policy x appeared" }), "", because("RollingBack", 3, CauseForeign)},
		{"the last gate commits", in("Enforce", 4), proof, "", in("Committing", 4)},
		{"a commit waits for its final objects", in("Committing", 4), proof, "", in("Committing", 4)},
		{"final objects that hold are committed", in("Committing", 4), but(func(e *Evidence) { e.Finalised = true }), "", in("Committed", 4)},
		{"a rollback waits to be seen", because("RollingBack", 3, CauseCut), proof, "", because("RollingBack", 3, CauseCut)},
		{"a seen rollback is done", because("RollingBack", 3, CauseCut), but(func(e *Evidence) { e.Restored = true }), "", because("RolledBack", 3, CauseCut)},
		{"a rollback nobody could see has failed", because("RollingBack", 3, CauseCut), but(func(e *Evidence) { e.Restoring = 2 * time.Minute }), "", because("RollbackFailed", 3, CauseCut)},
		{"a healed path does not resume", because("RolledBack", 3, CauseCut), proof, "", because("RolledBack", 3, CauseCut)},
		{"a recorded step that the plan does not have is taken back", in("Canary", 9), proof, "", because("RollingBack", 9, CauseForeign)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Step(plan, limits, tt.from, tt.seen, tt.intent); got != tt.want {
				t.Errorf("Step(%+v) = %+v, want %+v", tt.from, got, tt.want)
			}
		})
	}
}

// A pause keeps a run from going forward and from nothing else.
func TestStepOfAPausedRun(t *testing.T) {
	cut := but(func(e *Evidence) { e.Cut = []string{"chat→gateway"} })
	leak := but(func(e *Evidence) { e.Leaks = []string{"notebook→model"} })
	in := func(p v1alpha1.Phase, step int) State { return State{Phase: p, Step: step} }
	because := func(p v1alpha1.Phase, step int, c Cause) State { return State{p, step, c} }
	for _, tt := range []struct {
		name   string
		from   State
		seen   Evidence
		intent v1alpha1.Intent
		want   State
	}{
		{"a pause holds a new run", State{}, proof, v1alpha1.IntentPause, because("Pending", 0, CausePaused)},
		{"and one whose preflight passed", in("Preflight", 0), proof, v1alpha1.IntentPause, because("Preflight", 0, CausePaused)},
		{"and one that has nothing to do", in("Preflight", 0), Evidence{Preflight: PreflightInPlace}, v1alpha1.IntentPause, because("Preflight", 0, CausePaused)},
		{"a refusal is no step forward", because("Preflight", 0, CausePaused), Evidence{Preflight: PreflightRefused}, v1alpha1.IntentPause, because("Refused", 0, CauseRefused)},
		{"a pause closes a gate that is open", in("Canary", 1), proof, v1alpha1.IntentPause, because("Canary", 1, CausePaused)},
		{"and commits nothing", in("Committing", 4), but(func(e *Evidence) { e.Finalised = true }), v1alpha1.IntentPause, because("Committing", 4, CausePaused)},
		{"a run that is held stays so, whatever heals", because("Held", 4, CauseLeak), proof, v1alpha1.IntentPause, because("Held", 4, CauseLeak)},
		{"a cut ends a pause", because("Canary", 3, CausePaused), cut, v1alpha1.IntentPause, because("RollingBack", 3, CauseCut)},
		{"and so does an abort", because("Canary", 3, CausePaused), proof, v1alpha1.IntentAbort, because("RollingBack", 3, CauseAborted)},
		{"and a foreign change", because("Canary", 3, CausePaused), but(func(e *Evidence) { e.Foreign = "policy x appeared" }), v1alpha1.IntentPause, because("RollingBack", 3, CauseForeign)},
		{"a leak holds a paused run for more than the pause", because("Enforce", 4, CausePaused), leak, v1alpha1.IntentPause, because("Held", 4, CauseLeak)},
		{"a rollback does not pause", because("RollingBack", 3, CauseCut), but(func(e *Evidence) { e.Restored = true }), v1alpha1.IntentPause, because("RolledBack", 3, CauseCut)},
		{"a resumed run stays where it was until its gate opens", because("Canary", 3, CausePaused), but(func(e *Evidence) { e.Proved-- }), v1alpha1.IntentRun, in("Canary", 3)},
		{"and goes on then", because("Canary", 3, CausePaused), proof, v1alpha1.IntentRun, in("Enforce", 4)},
		{"a resumed preflight goes on", because("Preflight", 0, CausePaused), Evidence{}, v1alpha1.IntentRun, in("Preflight", 0)},
		{"silence during a pause is not held against a run", in("Canary", 3), but(func(e *Evidence) { e.Silence, e.Paused = 2*time.Minute, 90*time.Second }), "", in("Canary", 3)},
		{"silence before and after it is", in("Canary", 3), but(func(e *Evidence) { e.Silence, e.Paused = 3*time.Minute, 90*time.Second }), "", because("RollingBack", 3, CauseSilent)},
		{"and opens no gate all the same", in("Canary", 3), but(func(e *Evidence) { e.Silence, e.Paused = 10*time.Second, 9*time.Second }), "", in("Canary", 3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Step(plan, limits, tt.from, tt.seen, tt.intent); got != tt.want {
				t.Errorf("Step(%+v) = %+v, want %+v", tt.from, got, tt.want)
			}
		})
	}
}

// Approvals shorten a wait. They stand in for no proof, and a gate is no silence.
func TestStepWithGates(t *testing.T) {
	gated := slices.Clone(plan)
	gated[3].Gates = []v1alpha1.Gate{{Name: "one", Type: v1alpha1.GateApproval}, {Name: "two", Type: v1alpha1.GateApproval}}
	open := func(names ...string) func(*Evidence) {
		return func(e *Evidence) {
			e.Open = map[string]bool{}
			for _, n := range names {
				e.Open[n] = true
			}
		}
	}
	both := func(edits ...func(*Evidence)) Evidence {
		return but(func(e *Evidence) {
			open("one", "two")(e)
			for _, edit := range edits {
				edit(e)
			}
		})
	}
	young := func(e *Evidence) { e.HeldFor = time.Second }
	unproved := func(e *Evidence) { e.Proved-- }
	promoted := func(e *Evidence) { e.Promoted = true }
	resumed := func(e *Evidence) { e.Resumed = true }
	few, waits, held := State{Phase: "Canary", Step: 3}, State{"Canary", 3, CauseWaiting}, State{"Held", 3, CauseLeak}
	all, back := State{Phase: "Enforce", Step: 4}, func(c Cause) State { return State{"RollingBack", 3, c} }
	for _, tt := range []struct {
		name   string
		from   State
		seen   Evidence
		intent v1alpha1.Intent
		want   State
	}{
		{"a proved stage waits for its gates", few, proof, "", waits},
		{"one that is not proved waits for its proof", few, but(unproved), "", few},
		{"one gate of two is not enough", few, but(open("one")), "", waits},
		{"a gate of another name is none", few, but(open("one", "three")), "", waits},
		{"all gates and the proof open the stage", waits, both(), "", all},
		{"gates that open before the proof do not open the stage", few, both(unproved), "", few},
		{"nor before the soak", few, both(young), "", few},
		{"a person has all the time", waits, but(func(e *Evidence) { e.InStep = 1000 * time.Hour }), "", waits},
		{"a cell that is proved anew is no news", waits, but(unproved), "", waits},
		{"but what opens with it missing waits for it", waits, both(unproved), "", few},
		{"silence while it waits is taken back", waits, but(func(e *Evidence) { e.Silence = 2 * time.Minute }), "", back(CauseSilent)},
		{"and so is a proof that does not come again", waits, but(func(e *Evidence) { e.Proved, e.Unproved = 3, 2*time.Minute }), "", back(CauseSilent)},
		{"a cut while it waits rolls back", waits, both(func(e *Evidence) { e.Cut = []string{"a"} }), "", back(CauseCut)},
		{"an abort while it waits rolls back", waits, both(), v1alpha1.IntentAbort, back(CauseAborted)},
		{"a leak while it waits holds", waits, both(func(e *Evidence) { e.Leaks = []string{"a"} }), "", held},
		{"a pause keeps it waiting, whatever is open", waits, both(), v1alpha1.IntentPause, waits},
		{"a promotion leaves out the soak", few, both(young, promoted), "", all},
		{"and no proof", few, both(unproved, promoted), "", few},
		{"and no gate", few, but(func(e *Evidence) { young(e); promoted(e) }), "", waits},
		{"a held run resumes once the leak is gone", held, but(func(e *Evidence) { young(e); resumed(e) }), "", few},
		{"not before it is proved gone", held, but(func(e *Evidence) { unproved(e); resumed(e) }), "", held},
		{"not while it is there", held, but(func(e *Evidence) { e.Leaks = []string{"a"}; resumed(e) }), "", held},
		{"gates do not let go of it", held, both(young), "", held},
		{"nor does a promotion", held, both(young, promoted), "", held},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Step(gated, limits, tt.from, tt.seen, tt.intent); got != tt.want {
				t.Errorf("Step(%+v) = %+v, want %+v", tt.from, got, tt.want)
			}
		})
	}
}

// TestStepNeverWidensOnBadNews tries every phase and step with every mix of
// evidence: bad news never lets a candidate reach further, a cut in a live scope
// always rolls back, and terminal phases are for good.
func TestStepNeverWidensOnBadNews(t *testing.T) {
	phases := []v1alpha1.Phase{"", "Pending", "Preflight", "Observe", "Canary", "Enforce", "Committing", "Committed", "Held", "RollingBack", "RolledBack", "RollbackFailed", "Refused", "Inconclusive"}
	tried := 0
	gated := slices.Clone(plan)
	gated[3].Gates = []v1alpha1.Gate{{Name: "gate", Type: v1alpha1.GateApproval}}
	for _, phase := range phases {
		for step := range gated {
			for bits := range 1 << 14 {
				for _, cause := range []Cause{"", CausePaused, CauseWaiting} {
					at, e, intent := State{phase, step, cause}, evidence(bits), v1alpha1.Intent("")
					if bits&128 != 0 {
						intent = v1alpha1.IntentAbort
					} else if bits&1024 != 0 {
						intent = v1alpha1.IntentPause
					}
					next := Step(gated, limits, at, e, intent)
					checkStep(t, at, next, e, intent)
					checkGates(t, gated, at, next, e)
					tried++
				}
			}
		}
	}
	if tried < 10000 {
		t.Errorf("only %d cases tried", tried)
	}
}

var openGate = map[string]bool{"gate": true}

func evidence(bits int) Evidence {
	on := func(bit int) bool { return bits&bit != 0 }
	e := Evidence{Required: 4, Preflight: PreflightPassed}
	if on(1) {
		e.Cut = []string{"a"}
	}
	if on(2) {
		e.Leaks = []string{"b"}
	}
	if on(4) {
		e.Proved = 4
	}
	e.Settled = on(8)
	if on(16) {
		e.HeldFor = time.Hour
	}
	if on(32) {
		e.Silence, e.InStep, e.Unproved, e.Restoring = time.Hour, time.Hour, time.Hour, time.Hour
	}
	e.Restored, e.Finalised = on(64), on(64)
	if on(256) {
		e.Unexplained = []string{"c"}
	}
	if on(512) {
		e.Unclearable = "policy x was deleted"
	}
	if on(2048) {
		e.Open = openGate
	}
	e.Promoted, e.Resumed = on(4096), on(8192)
	return e
}

func checkStep(t *testing.T, at, next State, e Evidence, intent v1alpha1.Intent) {
	t.Helper()
	story := storyOf{at, next, e, intent}
	forward := (next.Phase != at.Phase || next.Step != at.Step) && next.Cause == "" && at.Phase != v1alpha1.PhaseRollingBack && next.Phase != v1alpha1.PhasePreflight
	live := at.Phase != "" && at.Phase != "Pending" && at.Phase != "Preflight" && !at.Phase.Terminal() && plan[at.Step].Scope.Live()
	switch {
	case at.Phase.Terminal() && next != at:
		t.Errorf("a run that is over moved: %s", story)
	case live && at.Phase != "RollingBack" && len(e.Cut) > 0 && next.Phase != "RollingBack":
		t.Errorf("a cut was not rolled back: %s", story)
	case live && forward && len(e.Unexplained) > 0:
		t.Errorf("went forward over failures that nobody explains: %s", story)
	case live && forward && len(e.Leaks) > 0:
		t.Errorf("a leak went forward: %s", story)
	case forward && at.Phase != "" && at.Phase != "Pending" && at.Phase != "Preflight" && e.Proved < e.Required:
		t.Errorf("went forward without proof: %s", story)
	case forward && e.Silence > limits.Inconclusive && live:
		t.Errorf("silence went forward: %s", story)
	case intent == v1alpha1.IntentAbort && forward && at.Phase != "" && at.Phase != "Pending":
		t.Errorf("an abort went forward: %s", story)
	case intent == v1alpha1.IntentPause && (forward || next.Phase == "Committed" && at.Phase != "Committed"):
		t.Errorf("a pause went forward: %s", story)
	}
}

type storyOf struct {
	at, next State
	e        Evidence
	intent   v1alpha1.Intent
}

func (s storyOf) String() string {
	return fmt.Sprintf("%+v with %+v, intent %q → %+v", s.at, s.e, s.intent, s.next)
}

// checkGates holds a step to what approvals may do.
func checkGates(t *testing.T, steps []StepPlan, at, next State, e Evidence) {
	t.Helper()
	story := storyOf{at: at, next: next, e: e}
	staged := at.Phase == "Observe" || at.Phase == "Canary" || at.Phase == "Enforce"
	left := staged && (next.Step > at.Step || next.Phase == "Committing")
	switch {
	case left && len(steps[at.Step].Shut(e.Approvals)) > 0:
		t.Errorf("left a stage whose gate is closed: %s", story)
	case left && e.HeldFor < steps[at.Step].Gate.Soak && !e.Promoted:
		t.Errorf("left a stage before its soak was over, and nobody promoted it: %s", story)
	case at.Phase == "Held" && next.Phase == steps[at.Step].Phase && e.HeldFor < steps[at.Step].Gate.Soak && !e.Resumed:
		t.Errorf("let go of a held run before the soak was over, and nobody resumed it: %s", story)
	}
	e.Approvals = Approvals{}
	if alone := Step(steps, limits, at, e, ""); alone.Phase == "RollingBack" && at.Phase != "Held" && next.Phase != "RollingBack" && !next.Phase.Terminal() {
		t.Errorf("an approval kept a run from going back: %s", story)
	}
}

func TestResultOfASilentRollbackIsInconclusive(t *testing.T) {
	if got := (State{Phase: "RolledBack", Cause: CauseSilent}).Result(); got != "Inconclusive" {
		t.Errorf("Result = %q: a run in which nothing could be seen proved nothing", got)
	}
	if got := (State{Phase: "RolledBack", Cause: CauseCut}).Result(); got != "RolledBack" {
		t.Errorf("Result = %q, want RolledBack", got)
	}
}

// A lower coverage accepts what is not proved. It does not accept a cut that is in
// the making.
func TestALowerCoverageAcceptsNoFailures(t *testing.T) {
	e := Evidence{Settled: true, Required: 10, Proved: 9}
	if gate := (Gate{MinCoveragePercent: 90}); !gate.Complete(e) {
		t.Error("nine of ten is not 90 %")
	} else if e.Failing = []string{"chat→gateway"}; gate.Complete(e) {
		t.Error("a path that fails is accepted as one that is not proved")
	}
}
