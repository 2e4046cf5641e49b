package steer

import (
	"context"
	"fmt"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Approval is what a person wants to let a run do.
type Approval struct {
	Action  v1alpha1.ApprovalAction
	Stage   string // that the run must be in; empty: whatever it is in
	Gate    string // that Proceed opens; empty: the only one of the stage
	Reason  string
	Expires time.Duration // from now
}

// Approval fills in what an approval of a run says, from what the run is now, and in the
// name of the user that the API server takes the caller for. It is not created yet.
func (s *Steerer) Approval(ctx context.Context, f Found, want Approval) (*v1alpha1.RolloutApproval, error) {
	run := f.Run
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("run %s/%s: %w: "+format, append([]any{run.Namespace, run.Name, ErrRefused}, args...)...)
	}
	if why := unapprovable(run, want); why != "" {
		return nil, refuse("%s", why)
	}
	if want.Action == v1alpha1.ActionProceed {
		gate, why := gateOf(f, want.Gate)
		if why != "" {
			return nil, refuse("%s", why)
		}
		want.Gate = gate
	}
	who, err := s.whoAmI(ctx)
	if err != nil {
		return nil, err
	}
	a := &v1alpha1.RolloutApproval{Spec: v1alpha1.RolloutApprovalSpec{
		RunRef: v1alpha1.RunRef{Name: run.Name, UID: run.UID}, Action: want.Action, Stage: run.Status.Stage, StageSince: *run.Status.StageSince,
		Gate: want.Gate, PlanDigest: run.Status.PlanDigest, Approver: who, Reason: want.Reason, ExpiresAt: metav1.NewTime(time.Now().Add(want.Expires)),
	}}
	a.APIVersion, a.Kind = v1alpha1.GroupVersion.String(), "RolloutApproval"
	a.Namespace, a.GenerateName = run.Namespace, run.Name+"-"
	a.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PolicyRolloutRun", Name: run.Name, UID: run.UID}} // it goes with the run
	return a, nil
}

// Approve creates an approval.
func (s *Steerer) Approve(ctx context.Context, a *v1alpha1.RolloutApproval) error {
	err := s.c.Create(ctx, a, client.FieldOwner(FieldManager))
	return explain("create", "RolloutApproval", client.ObjectKey{Namespace: a.Namespace, Name: a.Spec.RunRef.Name}, err)
}

// unapprovable says why an approval would be without effect; empty: it would not.
func unapprovable(run *v1alpha1.PolicyRolloutRun, want Approval) string {
	st, held := run.Status, run.Status.Phase == v1alpha1.PhaseHeld
	switch {
	case !st.Phase.Staged() || st.PlanDigest == "" || st.StageSince == nil:
		return fmt.Sprintf("it is in no stage that could be approved (%s)", phaseOf(run))
	case want.Stage != "" && want.Stage != st.Stage:
		return fmt.Sprintf("it is in stage %s, not in %s", st.Stage, strict.Show(want.Stage))
	case held && st.Cause == "BaselineChanged":
		return "it goes back, which no approval turns round: " + st.Message
	case held && want.Action != v1alpha1.ActionResume:
		return "it is held: once the leak is gone, approve --action Resume lets it go on"
	case !held && want.Action == v1alpha1.ActionResume:
		return "it is not held; one that was paused goes on with rollout resume"
	case want.Expires <= 0:
		return fmt.Sprintf("an approval that expires in %v would never count", want.Expires)
	}
	return ""
}

func phaseOf(run *v1alpha1.PolicyRolloutRun) v1alpha1.Phase {
	if run.Status.Phase == "" {
		return v1alpha1.PhasePending
	}
	return run.Status.Phase
}

// gateOf is the gate of the run's stage that is meant, or why there is none.
func gateOf(f Found, name string) (gate, why string) {
	if f.Rollout == nil || f.Rollout.Generation != f.Run.Spec.Generation {
		if name == "" {
			return "", "its rollout is another by now: name the gate with --gate, as the message of the run does"
		}
		return name, ""
	}
	var names []string
	for _, stage := range f.Rollout.Spec.Stages {
		for _, g := range stage.Gates {
			if stage.Name == f.Run.Status.Stage && g.Type == v1alpha1.GateApproval {
				names = append(names, g.Name)
			}
		}
	}
	switch {
	case len(names) == 0:
		return "", fmt.Sprintf("stage %s has no gate of type Approval, so nothing waits for anybody; --action Promote leaves out the rest of its minDuration", f.Run.Status.Stage)
	case name == "" && len(names) > 1:
		return "", fmt.Sprintf("stage %s has several gates: choose one with --gate: %s", f.Run.Status.Stage, strict.OneOf(names))
	case name == "":
		return names[0], ""
	case !slices.Contains(names, name):
		return "", fmt.Sprintf("stage %s has no gate %q%s: it has %s", f.Run.Status.Stage, strict.Show(name), strict.DidYouMean(name, names), strict.OneOf(names))
	}
	return name, ""
}

// whoAmI asks the API server whom it takes the caller for.
func (s *Steerer) whoAmI(ctx context.Context) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := s.c.Create(ctx, review); err != nil {
		return "", explain("create", "SelfSubjectReview", client.ObjectKey{}, err)
	}
	if review.Status.UserInfo.Username == "" {
		return "", fmt.Errorf("%w: the API server does not say who you are", ErrRefused)
	}
	return review.Status.UserInfo.Username, nil
}

// Waits reports whether a run waits for an approval, and for nothing else.
func Waits(run *v1alpha1.PolicyRolloutRun) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionWaitingForApproval)
}
