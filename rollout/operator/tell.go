package operator

import (
	"context"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// alarming are the phases and causes that a person should see without looking.
var alarming = []v1alpha1.Phase{v1alpha1.PhaseRefused, v1alpha1.PhaseHeld, v1alpha1.PhaseRollingBack, v1alpha1.PhaseRollbackFailed, v1alpha1.PhaseInconclusive}

// tell lets people know of a decision once it is recorded: a structured log line,
// an event on the run, and on the rollout too where it is bad news, the end or a
// pause, because that is the object its author looks at.
func (r *RunReconciler) tell(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, t turn) {
	bad := slices.Contains(alarming, t.next.Phase) && t.next.Cause != rollout.CauseAborted
	level, kind := slog.LevelInfo, corev1.EventTypeNormal
	if bad {
		level, kind = slog.LevelWarn, corev1.EventTypeWarning
	}
	slog.Log(ctx, level, "decided", "run", client.ObjectKeyFromObject(run), "from", t.at.Phase, "to", t.next.Phase,
		"stage", s.stepName(t.next), "cause", t.next.Cause, "required", t.evidence.Required, "proved", t.evidence.Proved,
		"cut", t.evidence.Cut, "leaks", t.evidence.Leaks, "unexplained", t.evidence.Unexplained, "foreign", t.evidence.Foreign,
		"message", run.Status.Message)
	// An event's note holds 1,024 bytes.
	message := clip(run.Status.Message, 1000)
	reason := reasonOf(t.next)
	if t.toggles() && t.next.Cause == "" {
		reason = "Resumed"
	}
	r.Events.Eventf(run, nil, kind, reason, "Advance", "%s", message)
	if !bad && !t.next.Phase.Terminal() && !t.toggles() && t.next.Cause != rollout.CauseWaiting {
		return
	}
	ro := &v1alpha1.PolicyRollout{}
	ro.Namespace, ro.Name, ro.UID = run.Namespace, run.Spec.RolloutRef.Name, run.Spec.RolloutRef.UID
	r.Events.Eventf(ro, run, kind, reason, "Advance", "run %s: %s", run.Name, clip(message, 900))
}
