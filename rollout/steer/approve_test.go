package steer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// knowing is an API server that takes the caller for alice.
var knowing = interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	if review, ok := o.(*authenticationv1.SelfSubjectReview); ok {
		review.Status.UserInfo.Username = "alice"
		return nil
	}
	return c.Create(ctx, o, opts...)
}}

// inStage is a pair whose run is in the stage few, which has these gates.
func inStage(gates ...string) Found {
	ro, run := pair(v1alpha1.PhaseCanary, "")
	since := metav1.NewMicroTime(time.Date(2026, 11, 30, 12, 0, 0, 123456000, time.UTC))
	run.Status.Stage, run.Status.StageSince, run.Status.PlanDigest = "few", &since, "sha256:1"
	stage := v1alpha1.Stage{Name: "few", Mode: v1alpha1.ModeCanary}
	for _, name := range gates {
		stage.Gates = append(stage.Gates, v1alpha1.Gate{Name: name, Type: v1alpha1.GateApproval})
	}
	ro.Spec.Stages = []v1alpha1.Stage{stage}
	return Found{ro, run}
}

func TestAnApprovalIsOfWhatTheRunIs(t *testing.T) {
	f := inStage("gate")
	s := over(t, knowing, f.Rollout, f.Run)
	a, err := s.Approval(t.Context(), f, Approval{Action: v1alpha1.ActionProceed, Reason: "CHG-1", Expires: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	spec := a.Spec
	if spec.RunRef != (v1alpha1.RunRef{Name: "r-1", UID: "v"}) || spec.Stage != "few" || spec.Gate != "gate" || spec.PlanDigest != "sha256:1" ||
		!spec.StageSince.Equal(f.Run.Status.StageSince) || spec.Approver != "alice" || spec.Reason != "CHG-1" || time.Until(spec.ExpiresAt.Time) < 59*time.Minute {
		t.Errorf("approves %+v", spec)
	}
	if len(a.OwnerReferences) != 1 || a.OwnerReferences[0].UID != "v" || a.OwnerReferences[0].BlockOwnerDeletion != nil {
		t.Errorf("it does not go with the run: %+v", a.OwnerReferences)
	}
	if err := s.Approve(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	var list v1alpha1.RolloutApprovalList
	if err := s.c.List(t.Context(), &list, client.InNamespace("ai")); err != nil || len(list.Items) != 1 {
		t.Errorf("%d approvals, %v", len(list.Items), err)
	}
}

func TestApprovalsWithoutEffectAreRefused(t *testing.T) {
	hour := func(a Approval) Approval { a.Expires = time.Hour; return a }
	proceed := hour(Approval{Action: v1alpha1.ActionProceed})
	for _, tt := range []struct {
		name string
		f    Found
		edit func(*Found)
		want Approval
		why  string // empty: it is none
	}{
		{"the only gate", inStage("one"), nil, proceed, ""},
		{"no gate", inStage(), nil, proceed, "stage few has no gate of type Approval"},
		{"no gate needed to promote", inStage(), nil, hour(Approval{Action: v1alpha1.ActionPromote}), ""},
		{"two gates", inStage("one", "two"), nil, proceed, "choose one with --gate: one or two"},
		{"one of two", inStage("one", "two"), nil, hour(Approval{Action: v1alpha1.ActionProceed, Gate: "two"}), ""},
		{"a slip", inStage("one", "two"), nil, hour(Approval{Action: v1alpha1.ActionProceed, Gate: "tow"}), `no gate "tow"; did you mean two?`},
		{"a rollout that was changed", inStage("one"), func(f *Found) { f.Rollout.Generation++ }, proceed, "name the gate with --gate"},
		{"and the gate is named", inStage("one"), func(f *Found) { f.Rollout.Generation++ }, hour(Approval{Action: v1alpha1.ActionProceed, Gate: "one"}), ""},
		{"another stage", inStage("one"), nil, hour(Approval{Action: v1alpha1.ActionProceed, Stage: "all"}), "it is in stage few, not in all"},
		{"a run that is over", inStage("one"), func(f *Found) { f.Run.Status.Phase = v1alpha1.PhaseRolledBack }, proceed, "it is in no stage that could be approved (RolledBack)"},
		{"a run that is held", inStage("one"), func(f *Found) { f.Run.Status.Phase, f.Run.Status.Cause = v1alpha1.PhaseHeld, "Leak" }, proceed, "--action Resume lets it go on"},
		{"resumed", inStage("one"), func(f *Found) { f.Run.Status.Phase, f.Run.Status.Cause = v1alpha1.PhaseHeld, "Leak" }, hour(Approval{Action: v1alpha1.ActionResume}), ""},
		{"one that goes back", inStage("one"), func(f *Found) { f.Run.Status.Phase, f.Run.Status.Cause = v1alpha1.PhaseHeld, "BaselineChanged" }, hour(Approval{Action: v1alpha1.ActionResume}), "it goes back"},
		{"resuming what is not held", inStage("one"), nil, hour(Approval{Action: v1alpha1.ActionResume}), "it is not held"},
		{"expired from the start", inStage("one"), nil, Approval{Action: v1alpha1.ActionProceed}, "would never count"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.edit != nil {
				tt.edit(&tt.f)
			}
			_, err := over(t, knowing).Approval(t.Context(), tt.f, tt.want)
			switch {
			case tt.why == "" && err != nil:
				t.Error(err)
			case tt.why != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.why)):
				t.Errorf("got %v, want %q", err, tt.why)
			}
		})
	}
}

func TestAnApprovalIsWaitedFor(t *testing.T) {
	goal, err := ParseGoal("approval")
	if err != nil {
		t.Fatal(err)
	}
	run := inStage("one").Run
	if goal.Reached(run) {
		t.Error("a run without the condition waits")
	}
	run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionWaitingForApproval, Status: metav1.ConditionTrue}}
	if !goal.Reached(run) {
		t.Error("a run with the condition does not wait")
	}
}
