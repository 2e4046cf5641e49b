package report

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// A path that a look leaves out asks for no proof, and a probe pod that it leaves out
// cannot say that it was cut off: a run whose other paths hold would be committed.
func TestACommitOnPartOfThePathsIsFound(t *testing.T) {
	leave := func(out func(evidence.Check) bool) func(*evidence.Look) {
		return func(l *evidence.Look) { l.Checks = slices.DeleteFunc(l.Checks, out) }
	}
	for name, tt := range map[string]struct {
		edit func(*evidence.Look)
		says string
	}{
		"all there": {func(*evidence.Look) {}, ""},
		"nobody tries one": {func(l *evidence.Look) {
			l.Checks = append(l.Checks[:5], evidence.Check{Row: 2, Gone: "its Service is gone"})
		}, ""},
		"a path left out":   {leave(func(c evidence.Check) bool { return c.Row == 2 }), `leaves out path "q" by PodIP`},
		"a pod left out":    {leave(func(c evidence.Check) bool { return c.Agent == "apps/rear" }), `leaves out what probe pod apps/rear saw of path "p"`},
		"named as partial":  {func(l *evidence.Look) { l.Whole = false }, "not at all of them"},
		"of another scope":  {func(l *evidence.Look) { l.Scope = rollout.Bridged }, "judges scope everyone bridged"},
		"a look of nothing": {func(l *evidence.Look) { l.Checks = nil }, `leaves out path "p"`},
	} {
		x := begun(t)
		x.turn(t, looking(rollout.Nobody, "watch"), approved(x))
		for range 2 { // to Committing, and to Committed
			look := looking(rollout.Everyone, "commit")
			tt.edit(look)
			x.unchecked = true
			x.turn(t, look, func(turn *evidence.Turn) { turn.Evidence.HeldFor, turn.Evidence.Finalised = 2*time.Hour, true })
		}
		x.store(t)
		err := Verify(&x.Bundle, nil).Err()
		switch {
		case tt.says == "" && (err != nil || x.Run.Status.Phase != v1alpha1.PhaseCommitted && name == "all there"):
			t.Errorf("%s: %s, %v", name, x.Run.Status.Phase, err)
		case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %s, %v; want it to say %q", name, x.Run.Status.Phase, err, tt.says)
		}
	}
}

// A gap that leads forward leaves the step without proof that it leads out of, however
// well the last decision is founded. One that a run of itself comes back from proves as
// much as before.
func TestACommitAfterAStepThatNothingShowsIsFound(t *testing.T) {
	for name, tt := range map[string]struct {
		gap  rollout.State
		fine bool
	}{
		"past a step":      {rollout.State{Phase: v1alpha1.PhaseCommitting, Step: 1}, false},
		"held where it is": {rollout.State{Phase: v1alpha1.PhaseHeld, Step: 1, Cause: rollout.CauseLeak}, true},
	} {
		x := begun(t)
		x.turn(t, looking(rollout.Nobody, "watch"), approved(x))
		x.add(t, evidence.Entry{Gap: &evidence.Gap{Next: tt.gap}})
		for x.book.State.Phase != v1alpha1.PhaseCommitted {
			x.turn(t, looking(rollout.Everyone, "commit"), func(turn *evidence.Turn) { turn.Evidence.HeldFor, turn.Evidence.Finalised = 2*time.Hour, true })
		}
		x.store(t)
		if err := Verify(&x.Bundle, nil).Err(); (err == nil) != tt.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A controller that is stopped before it wrote down what a decision rests on leaves a gap.
// Going back needs no proof. A commit without one is not believed.
func TestACommitThatRestsOnNothingIsFound(t *testing.T) {
	for phase, fine := range map[v1alpha1.Phase]bool{v1alpha1.PhaseCommitted: false, v1alpha1.PhaseRolledBack: true} {
		x := aRolledBackRun(t)
		x.add(t, evidence.Entry{Gap: &evidence.Gap{Next: rollout.State{Phase: phase}}})
		x.store(t)
		raw, err := x.JSON()
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseBundle(raw)
		if err != nil {
			t.Fatal(err)
		}
		v := Verify(b, nil)
		found := v.Err() != nil && strings.Contains(v.Err().Error(), "what the decision to go forward of")
		if found == fine {
			t.Errorf("a gap into %s: %v", phase, v.Err())
		}
	}
}

// The status of a run under way may be ahead of its chunks for a moment: that is no edit.
// Once the run is finished with, it is.
func TestAStatusAheadOfItsEvidenceIsNoEdit(t *testing.T) {
	for _, tidied := range []bool{false, true} {
		x := aRolledBackRun(t)
		if err := Verify(&x.Bundle, nil).Err(); err != nil {
			t.Fatal(err)
		}
		x.Run.Status.Phase, x.Run.Status.Result = v1alpha1.PhaseRollbackFailed, "RollbackFailed"
		if tidied {
			meta.SetStatusCondition(&x.Run.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue})
		}
		if err := Verify(&x.Bundle, nil).Err(); err == nil || errors.Is(err, ErrAhead) == tidied {
			t.Errorf("tidied %v: %v; want a refusal, and only then an edit", tidied, err)
		}
	}
}
