package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// longestEffect bounds what a profile may say: whoever can write one cannot keep a
// rollout waiting for ever.
const longestEffect = 5 * time.Minute

// profileWithin bounds how long a pass over a run may read the profile, and look whether
// it still is of the cluster.
const profileWithin = 5 * time.Second

// timings are how long writes take to act, as a profile says. The zero value says
// nothing, and changes nothing.
type timings struct {
	Policy   time.Duration `json:"policy,omitempty"`   // what is written to a policy; 0: not known
	Label    time.Duration `json:"label,omitempty"`    // a label of a running pod; 0: not known
	NoLabels bool          `json:"noLabels,omitempty"` // such a label was seen not to act
}

// readProfile reads the EnforcementProfile of the cluster, and says where from the run
// knows how long to wait. A profile that is not there, cannot be read in time, or is of
// what the cluster was before, changes nothing: the defaults hold until preflight has
// measured. It is never the proof that the cluster enforces.
func (r *RunReconciler) readProfile(ctx context.Context) (timings, string) {
	ctx, stop := context.WithTimeout(ctx, profileWithin)
	defer stop()
	none := func(format string, args ...any) (timings, string) {
		return timings{}, "measured by this run's preflight, which began with the defaults: " + fmt.Sprintf(format, args...)
	}
	var p v1alpha1.EnforcementProfile
	err := r.Live.Get(ctx, types.NamespacedName{Name: v1alpha1.ProfileName}, &p)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return none("the cluster has no EnforcementProfile; tightrope doctor --save makes one")
	case err != nil:
		return none("the EnforcementProfile cannot be read: %s", classOf(ctx, err))
	}
	now, err := enforcing.Identify(ctx, r.Live, p.Status.Identity.Plugins)
	if err != nil {
		return none("it is not known whether the EnforcementProfile is still of this cluster: %s", classOf(ctx, err))
	}
	age := time.Since(p.Status.MeasuredAt.Time).Round(time.Minute)
	if reason, why := enforcing.Void(p.Status.Identity, now); reason != "" {
		r.markVoid(ctx, &p, reason, why)
		return none("the EnforcementProfile, measured %v ago, is void: %s; tightrope doctor --save measures anew", age, why)
	}
	t, err := timingsOf(&p.Status)
	if err != nil {
		return none("the EnforcementProfile says nothing that can be used: %v", err)
	}
	return t, fmt.Sprintf("of the EnforcementProfile, measured %v ago (policies act within %v, labels %s), and by this run's preflight where that was slower", age, t.Policy, t.label())
}

// classOf says which kind of error it is. Who may read a report need not know what
// else the cluster has, so only the log has the names.
func classOf(ctx context.Context, err error) string {
	slog.InfoContext(ctx, "what the EnforcementProfile is of cannot be read", "error", err)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return fmt.Sprintf("the API server did not answer within %v", profileWithin)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return "the controller may not read all of it"
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err):
		return "the API server is busy or has failed"
	}
	return "reading failed, as the controller's log says"
}

func (t timings) label() string {
	switch {
	case t.NoLabels:
		return "do not"
	case t.Label == 0:
		return "not known"
	}
	return "within " + t.Label.String()
}

// timingsOf reads the timings and usable forms of write.
func timingsOf(s *v1alpha1.EnforcementProfileStatus) (timings, error) {
	t := timings{Policy: s.Settle.P99.Duration}
	if t.Policy <= 0 {
		return timings{}, fmt.Errorf("it has no settle times")
	}
	for _, w := range s.Writes {
		label := w.Form == string(enforcing.Label) || w.Form == string(enforcing.Unlabel)
		switch {
		case label && w.Acts == v1alpha1.No:
			t.NoLabels = true
		case w.Acts != v1alpha1.Yes:
		case label:
			t.Label = max(t.Label, w.Slowest.Duration)
		default:
			t.Policy = max(t.Policy, w.Slowest.Duration)
		}
	}
	if slowest := max(t.Policy, t.Label); slowest > longestEffect {
		return timings{}, fmt.Errorf("a write takes %v to act, which is more than %v", slowest, longestEffect)
	}
	return t, nil
}

// markVoid has the profile itself say that it is void. It is only told: every run looks
// for itself.
func (r *RunReconciler) markVoid(ctx context.Context, p *v1alpha1.EnforcementProfile, reason, why string) {
	if !meta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionCurrent, Status: metav1.ConditionFalse, Reason: reason, Message: why + "; measure again: tightrope doctor --save", ObservedGeneration: p.Generation,
	}) {
		return
	}
	if err := r.Write.UpdateStatus(ctx, p); err != nil {
		slog.InfoContext(ctx, "the EnforcementProfile is void and could not be told so", "error", err)
	}
}

// goBy makes a run go by a profile.
func (s *session) goBy(t timings, says string) {
	s.record.State.Profile = t
	s.record.log(evidence.Entry{Timings: &says}, time.Now())
	s.setPace()
}

// noteEffect notes how long a write took to act that preflight timed.
func (s *session) noteEffect(label bool, took time.Duration) {
	known := &s.record.State.Settle
	if label {
		known = &s.record.State.Label
	}
	*known = max(*known, took, leastSettle)
	s.setPace()
}

// setPace makes the run wait for the slowest effect that is known of.
func (s *session) setPace() {
	st := &s.record.State
	s.settleTime = max(cmp.Or(st.Settle, defaultSettle), st.Profile.Policy)
	s.labelTime = max(cmp.Or(st.Label, defaultSettle), st.Profile.Label)
}

// actsWithin is how long the cluster may take to show a write before the run gives up.
func (s *session) actsWithin(label bool) time.Duration {
	t := s.record.State.Profile
	switch {
	case label && !t.NoLabels:
		return max(enforcing.LabelWithin, 3*t.Label)
	case label: // it was tried for longer when the profile was made
		return enforcing.Within
	}
	return max(enforcing.Within, 3*t.Policy)
}

// effectTime is how long the writes of one step may take to act, one after the other:
// the labels of markers, bridges, candidates, and labels of pods.
func (s *session) effectTime() time.Duration { return 4*s.settleTime + 3*s.labelTime }

// labelsActed reports whether the labels that were written had the time to act.
func (s *session) labelsActed(now time.Time) bool {
	return s.labelledAt.IsZero() || now.Sub(s.labelledAt) >= 2*s.labelTime
}

// limits are those of the plan, and longer on a cluster that is known to be slow. No
// rollback waits for a label.
func (s *session) limits() rollout.Limits {
	l := s.plan.Limits
	l.Preflight += s.effectTime() - 7*defaultSettle
	l.Rollback += 8 * max(0, s.settleTime-defaultSettle)
	return l
}
