package operator

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

var entered = time.Date(2026, 11, 30, 12, 0, 0, 123456000, time.UTC)

func gatedRun() *v1alpha1.PolicyRolloutRun {
	since := metav1.NewMicroTime(entered)
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "r-1", UID: "run"}}
	run.Status = v1alpha1.PolicyRolloutRunStatus{Phase: v1alpha1.PhaseCanary, Stage: "few", StageSince: &since, PlanDigest: "sha256:1"}
	return run
}

func anApproval(name, who string, edit func(*v1alpha1.RolloutApproval)) v1alpha1.RolloutApproval {
	a := v1alpha1.RolloutApproval{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(entered.Add(time.Minute))}}
	a.Spec = v1alpha1.RolloutApprovalSpec{
		RunRef: v1alpha1.RunRef{Name: "r-1", UID: "run"}, Action: v1alpha1.ActionProceed, Gate: "gate", Stage: "few",
		StageSince: metav1.NewMicroTime(entered), PlanDigest: "sha256:1", Approver: who, ExpiresAt: metav1.NewTime(entered.Add(time.Hour)),
	}
	if edit != nil {
		edit(&a)
	}
	return a
}

func gateOfTwo() []v1alpha1.Gate {
	return []v1alpha1.Gate{{Name: "gate", Type: v1alpha1.GateApproval, Approval: &v1alpha1.ApprovalGate{Count: 2}}}
}

// An approval counts for one run, one plan and one visit of a stage. One that does not
// is named, with the reason.
func TestApprovalsThatDoNotCount(t *testing.T) {
	now := entered.Add(10 * time.Minute)
	good := anApproval("good", "alice", nil)
	for _, tt := range []struct {
		name string
		run  func(*v1alpha1.PolicyRolloutRun)
		edit func(*v1alpha1.RolloutApproval)
		want string // in words; empty: it counts; "-": nobody asks
	}{
		{"as it should be", nil, func(*v1alpha1.RolloutApproval) {}, ""},
		{"for a run of another name", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.RunRef.Name = "r-2" }, "-"},
		{"for another run of that name", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.RunRef.UID = "old" }, "it is for another run of that name, with UID old"},
		{"being deleted", nil, func(a *v1alpha1.RolloutApproval) { a.DeletionTimestamp = &metav1.Time{Time: now} }, "it is being deleted"},
		{"for another plan", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.PlanDigest = "sha256:2" }, "it is for plan sha256:2, and the run has plan sha256:1"},
		{"for no plan", func(run *v1alpha1.PolicyRolloutRun) { run.Status.PlanDigest = "" }, func(a *v1alpha1.RolloutApproval) { a.Spec.PlanDigest = "" }, "it is for plan , and"},
		{"for a stage that is to come", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.Stage = "all" }, "it is for stage all, and the run is in few"},
		{"for a stage that was", nil, func(a *v1alpha1.RolloutApproval) {
			a.Spec.Stage = "shadow"
			a.CreationTimestamp = metav1.NewTime(entered.Add(-time.Minute))
		}, "-"},
		{"for an earlier visit", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.StageSince = metav1.NewMicroTime(entered.Add(-time.Minute)) }, "it is for another visit of stage few, and the run is in the one since 2026-11-30T12:00:00.123456Z"},
		{"for a visit that nobody wrote down", func(run *v1alpha1.PolicyRolloutRun) { run.Status.StageSince = nil }, func(*v1alpha1.RolloutApproval) {}, "it is for another visit"},
		{"expired", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.ExpiresAt = metav1.NewTime(now) }, "it expired at 2026-11-30T12:10:00Z"},
		{"without a date", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.ExpiresAt = metav1.Time{} }, "it expired"},
		{"of another gate", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.Gate = "gat" }, "stage few has no gate gat"},
		{"resuming what is not held", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.Action = v1alpha1.ActionResume }, "the run is not held"},
		{"opening a gate of what is held", func(run *v1alpha1.PolicyRolloutRun) { run.Status.Phase = v1alpha1.PhaseHeld }, func(*v1alpha1.RolloutApproval) {}, "the run is held, and Proceed does not let go of it"},
		{"by the same person again", nil, func(a *v1alpha1.RolloutApproval) { a.Spec.Approver = "alice" }, "="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := gatedRun()
			other := anApproval("other", "bob", tt.edit)
			all := []v1alpha1.RolloutApproval{good, other}
			if tt.run != nil {
				tt.run(run)
				all = all[1:]
			}
			g := grant(run, gateOfTwo(), all, now)
			void := strings.Join(g.void, "; ")
			switch {
			case tt.want == "" && (void != "" || !g.Open["gate"]):
				t.Errorf("open %v: %s", g.Open, void)
			case tt.want != "" && g.Open["gate"]:
				t.Error("it opens the gate")
			case (tt.want == "-" || tt.want == "=") && void != "":
				t.Errorf("it is told of: %s", void)
			case len(tt.want) > 1 && !strings.Contains(void, "approval other of bob does not count: "+tt.want):
				t.Errorf("%q is not in %q", tt.want, void)
			}
		})
	}
}

func TestWhatARunWaitsFor(t *testing.T) {
	step := rollout.StepPlan{Name: "few", Gates: append(gateOfTwo(), v1alpha1.Gate{Name: "other", Type: v1alpha1.GateApproval})}
	late := anApproval("late", "carol", func(a *v1alpha1.RolloutApproval) { a.Spec.ExpiresAt = metav1.NewTime(entered) })
	g := grant(gatedRun(), step.Gates, []v1alpha1.RolloutApproval{anApproval("one", "alice", nil), late}, entered.Add(time.Minute))
	want := "stage few is proved; gate gate waits for approval (1 of 2, so far by alice): tightrope rollout approve r -n ai --stage few --gate gate; " +
		"gate other waits for approval (0 of 1): tightrope rollout approve r -n ai --stage few --gate other; approval late of carol does not count: it expired at 2026-11-30T12:00:00Z"
	if got := g.waiting("ai/r", step); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if who := evidence.Approvers(g.counting, "gate"); !slices.Equal(who, []string{"alice"}) {
		t.Errorf("approvers are %v", who)
	}
}
