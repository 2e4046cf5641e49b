package operator

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// pausing is what a session knows of pauses. Times are of this process's
// monotonic clock. The zero value is not paused.
type pausing struct {
	paused    bool      // a person wants the run to stay where it is
	passedAt  time.Time // the newest pass
	resumedAt time.Time // the end of the newest pause
}

// hold takes note of what a person wants at a pass, and keeps the clocks of the
// step from counting the time since the last one if that was a pause. No
// soak outlives this process.
func (s *session) hold(paused bool, now time.Time) {
	if s.paused {
		passed := now.Sub(s.passedAt)
		s.soaking.entered, s.soaking.complete = s.soaking.entered.Add(passed), s.soaking.complete.Add(passed)
		s.soaking.looked, s.soaking.watched = now, 0
		s.pods.Excuse(passed)
		s.resumedAt = now
	}
	s.paused, s.passedAt = paused, now
}

// isPaused reports whether a person holds a run that can be held: one that is
// over or goes back cannot.
func isPaused(run *v1alpha1.PolicyRolloutRun, at rollout.State) bool {
	return intent(run) == v1alpha1.IntentPause && !at.Phase.Terminal() && placeOf(at).kind != rollback
}

// setPaused says in a condition whether the run is paused, and whether a cut would be
// seen meanwhile. One that never was paused has no such condition.
func setPaused(run *v1alpha1.PolicyRolloutRun, at rollout.State, unseen bool) {
	paused := isPaused(run, at)
	if !paused && meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionPaused) == nil {
		return
	}
	c := metav1.Condition{
		Type: v1alpha1.ConditionPaused, Status: metav1.ConditionFalse, Reason: "Resumed",
		Message: "the run is not paused", ObservedGeneration: run.Generation,
	}
	switch {
	case paused && unseen:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, "Unseen", unseenMessage
	case paused:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, "Intent", pauseMessage
	}
	meta.SetStatusCondition(&run.Status.Conditions, c)
}

const (
	pauseMessage  = "spec.intent of the run is Pause: nothing is tightened and no stage follows until it is Run again; a path that is cut is given back all the same"
	unseenMessage = "spec.intent of the run is Pause, and its probes have not been heard for longer than the deadline: a path that is cut would not be seen; abort the run, or see why its probe pods do not run"
)

// showPause writes down what of a pause is not to be seen by phase and cause: a leak
// holds the run too, or nobody would see a cut.
func (r *RunReconciler) showPause(ctx context.Context, run *v1alpha1.PolicyRolloutRun, at rollout.State, unseen bool) error {
	was := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionPaused).DeepCopy()
	setPaused(run, at, unseen)
	now := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionPaused)
	if now == nil || was != nil && was.Reason == now.Reason {
		return nil
	}
	if err := r.deciding().Write.UpdateStatus(ctx, run); err != nil {
		return fmt.Errorf("record that run %s is paused: %w", run.Name, err)
	}
	reason, kind := "Paused", corev1.EventTypeNormal
	switch now.Reason {
	case "Resumed":
		reason = "Resumed"
	case "Unseen":
		reason, kind = "PausedUnseen", corev1.EventTypeWarning
	}
	r.Events.Eventf(run, nil, kind, reason, "Advance", "%s", now.Message)
	return nil
}

// toggles reports whether a decision only pauses a run or lets it go on.
func (t turn) toggles() bool {
	return t.at.Phase == t.next.Phase && t.at.Step == t.next.Step &&
		(t.at.Cause == rollout.CausePaused) != (t.next.Cause == rollout.CausePaused) && (t.at.Cause == "" || t.next.Cause == "")
}
