package operator

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// policyOf is a policy in namespace a that a run made.
func policyOf(run runKey, name, role string) networkingv1.NetworkPolicy {
	return *wish{namespace: "a", name: name, role: role, run: run}.object()
}

func TestTheBaselineHoldsNothingOfAnyRun(t *testing.T) {
	old := runKey{Name: "x-1", UID: "old"}
	forged := policyOf(old, "forged", "no role of ours")
	plain := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "plain"}}
	w := &world{policies: []networkingv1.NetworkPolicy{plain, forged}}
	for _, role := range plan.PolicyRoles {
		w.policies = append(w.policies, policyOf(old, role, role))
	}
	var got []string
	for _, p := range w.foreign("a") {
		got = append(got, p.Name)
	}
	if strings.Join(got, " ") != "plain forged" {
		t.Errorf("baseline %q, want the policies that no run made: plain and forged", got)
	}
}

func TestLeftoversOfARunAreWaitedForOrRefused(t *testing.T) {
	old := runKey{Name: "x-1", UID: "old"}
	for _, tt := range []struct {
		name            string
		edit            func(*networkingv1.NetworkPolicy, *v1alpha1.PolicyRolloutRun)
		waits, mentions string // part of the error, or of the refusal
	}{
		{"of a run that is being tidied up", func(*networkingv1.NetworkPolicy, *v1alpha1.PolicyRolloutRun) {}, "run x-1 has ended and not yet taken its policy a/marker away", ""},
		{"of a run that says it is tidied up", func(_ *networkingv1.NetworkPolicy, run *v1alpha1.PolicyRolloutRun) {
			run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue}}
		}, "", "policy a/marker was left by run x-1, which has ended"},
		{"of a run that had the name before", func(np *networkingv1.NetworkPolicy, _ *v1alpha1.PolicyRolloutRun) {
			np.Annotations[v1alpha1.AnnotationRunUID] = "older"
		}, "", "policy a/marker carries the label tightrope.dev/run=x-1, and no run of that name made it"},
		{"of nobody, and acting on nothing", func(np *networkingv1.NetworkPolicy, _ *v1alpha1.PolicyRolloutRun) {
			np.Annotations, np.Spec.PodSelector = nil, rollout.MatchNothing()
		}, "", ""},
		{"in another namespace", func(np *networkingv1.NetworkPolicy, _ *v1alpha1.PolicyRolloutRun) { np.Namespace = "b" }, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: old.Name, UID: old.UID}}
			run.Status.Phase = v1alpha1.PhaseRolledBack
			np := policyOf(old, "marker", roleMarker)
			tt.edit(&np, run)
			c := fakeAPI(interceptor.Funcs{}, run)
			no := &refusal{}
			next := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x-2", UID: "new"}}
			err := (&RunReconciler{Live: c}).leftovers(t.Context(), []string{"a"}, next, &world{policies: []networkingv1.NetworkPolicy{np}}, no)
			if tt.waits == "" && err != nil || tt.waits != "" && (err == nil || !strings.Contains(err.Error(), tt.waits)) {
				t.Errorf("error %v, want %q", err, tt.waits)
			}
			if got := no.Error(); tt.mentions == "" && got != "" || !strings.Contains(got, tt.mentions) {
				t.Errorf("refused %q, want %q", got, tt.mentions)
			}
		})
	}
}
