package operator

import (
	"context"
	"errors"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// answerless is a run at a state, over an API server that stores the next decision to go
// to a phase, and whose answer to that is lost.
func answerless(t *testing.T, at rollout.State, intent v1alpha1.Intent, lost v1alpha1.Phase) (*RunReconciler, *session, *v1alpha1.PolicyRolloutRun) {
	run := aRun(at.Phase, intent)
	run.Status.Cause = string(at.Cause)
	once := true
	r, s := runningOver(t, interceptor.Funcs{SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
		err := c.SubResource(sub).Update(ctx, o, opts...)
		if o, ok := o.(*v1alpha1.PolicyRolloutRun); ok && once && o.Status.Phase == lost {
			once = false
			return errors.New("the answer was lost")
		}
		return err
	}}, run)
	s.plan.Steps = []rollout.StepPlan{{Name: "few", Phase: v1alpha1.PhaseCanary, Scope: rollout.Few}}
	s.record.Book = report.Book{}
	b := s.plan.begins()
	b.Steps = s.plan.Steps
	s.record.log(evidence.Entry{Begin: b}, time.Now())
	s.record.Book.State = at
	return r, s, run
}

// A decision that was stored although its answer was lost is part of the evidence: without
// it the next one follows from nothing, and a report of a rollback does not say what was cut.
func TestADecisionWhoseAnswerWasLostIsWrittenDown(t *testing.T) {
	at := rollout.State{Phase: v1alpha1.PhaseCanary}
	r, s, run := answerless(t, at, v1alpha1.IntentAbort, v1alpha1.PhaseRollingBack)
	key := client.ObjectKeyFromObject(run)
	before := s.record.links.Pending()
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err == nil {
		t.Fatal("no answer was lost")
	}
	if s.record.Book.State != at || s.record.links.Pending() != before {
		t.Fatalf("the evidence is at %+v already", s.record.Book.State)
	}
	if err := r.Live.Get(t.Context(), key, run); err != nil {
		t.Fatal(err)
	}
	r.catchUp(t.Context(), run, s)
	if back := stateOf(run); back.Phase != v1alpha1.PhaseRollingBack || s.record.Book.State != back || s.owed != nil || s.sent != nil || len(s.record.Gaps) > 0 {
		t.Errorf("the run is at %+v, its evidence at %+v, owed %v, with gaps at %v", back, s.record.Book.State, s.owed, s.record.Gaps)
	}
	if r.catchUp(t.Context(), run, s); len(s.record.Gaps) > 0 {
		t.Errorf("gaps at %v, though everything is known", s.record.Gaps)
	}
}

// Each pass looks, and a decision of which this process knows nothing is a gap at once.
func TestAPassNotesWhatTheEvidenceDoesNotKnow(t *testing.T) {
	r, s, run := answerless(t, rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseAborted}, v1alpha1.IntentAbort, "")
	s.record.Book.State = rollout.State{Phase: v1alpha1.PhaseCanary}
	_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(run)})
	if len(s.record.Gaps) != 1 {
		t.Errorf("%d gaps, want the decision to go back", len(s.record.Gaps))
	}
}
