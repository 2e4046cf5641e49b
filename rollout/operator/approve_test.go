package operator

import (
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// A gate opens by what the API server holds, not by what a cache still shows, and only
// while admission holds approvers to their own names.
func TestAGateOpensByWhatTheAPIServerHolds(t *testing.T) {
	since := metav1.NewMicroTime(time.Now().Add(-time.Hour).Truncate(time.Microsecond))
	approval := &v1alpha1.RolloutApproval{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"}, Spec: v1alpha1.RolloutApprovalSpec{
		RunRef: v1alpha1.RunRef{Name: "r-1", UID: "u"}, Action: v1alpha1.ActionProceed, Stage: "few", StageSince: since, Gate: "gate",
		PlanDigest: "sha256:1", Approver: "alice", ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour)),
	}}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: approversPolicy}}
	binding := func(actions ...admissionregistrationv1.ValidationAction) client.Object {
		return &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: approversPolicy},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: approversPolicy, ValidationActions: actions}}
	}
	deny := binding(admissionregistrationv1.Deny)
	for _, tt := range []struct {
		name         string
		cached, live []client.Object
		opens        bool
		void         string
	}{
		{"nobody has approved", nil, []client.Object{policy, deny}, false, ""},
		{"somebody has", []client.Object{approval}, []client.Object{approval, policy, deny}, true, ""},
		{"the cache does not show it yet", nil, []client.Object{approval, policy, deny}, false, ""},
		{"the cache shows it still", []client.Object{approval}, []client.Object{policy, deny}, false, ""},
		{"nobody holds approvers to their names", []client.Object{approval}, []client.Object{approval, deny}, false, "ValidatingAdmissionPolicy tightrope-approvals is not in force"},
		{"the policy is not bound", []client.Object{approval}, []client.Object{approval, policy}, false, "ValidatingAdmissionPolicyBinding tightrope-approvals is not in force"},
		{"the policy only warns", []client.Object{approval}, []client.Object{approval, policy, binding(admissionregistrationv1.Warn)}, false, "ValidatingAdmissionPolicyBinding tightrope-approvals is not in force"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := aRun(v1alpha1.PhaseCanary, "")
			run.Status.Stage, run.Status.StageSince, run.Status.PlanDigest = "few", &since, "sha256:1"
			s := &session{plan: aPlan()}
			s.plan.Limits = defaultLimits
			s.plan.Steps = []rollout.StepPlan{
				{Name: "few", Phase: v1alpha1.PhaseCanary, Scope: rollout.Few, Gates: []v1alpha1.Gate{{Name: "gate", Type: v1alpha1.GateApproval}}},
				{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone},
			}
			r := &RunReconciler{Reader: fakeAPI(interceptor.Funcs{}, tt.cached...), Live: fakeAPI(interceptor.Funcs{}, tt.live...)}
			turn := turn{at: rollout.State{Phase: v1alpha1.PhaseCanary}, evidence: rollout.Evidence{Settled: true, Required: 1, Proved: 1}}
			if err := r.decide(t.Context(), run, s, &turn); err != nil {
				t.Fatal(err)
			}
			if opens := turn.next.Phase == v1alpha1.PhaseEnforce; opens != tt.opens || !opens && turn.next.Cause != rollout.CauseWaiting {
				t.Errorf("the run goes to %+v", turn.next)
			}
			if (tt.void != "") != (len(turn.granted.void) == 1 && strings.Contains(turn.granted.void[0], tt.void)) {
				t.Errorf("told of %q, want %q", turn.granted.void, tt.void)
			}
		})
	}
}
