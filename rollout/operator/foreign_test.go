package operator

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// A change of a policy that the held leak goes through is the repair that was
// asked for, unless the bridges would have to be others. Any other change ends the run.
func TestWhichChangesAreRepairs(t *testing.T) {
	ingress := func(name string, selector metav1.LabelSelector, rules ...networkingv1.NetworkPolicyIngressRule) verdict.Policy {
		return verdict.Policy{Namespace: "a", Name: name, Spec: networkingv1.NetworkPolicySpec{
			PodSelector: selector, Ingress: rules, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}}
	}
	all, some := metav1.LabelSelector{}, metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}
	deny, broad := ingress("deny", all), ingress("broad", some, networkingv1.NetworkPolicyIngressRule{})
	held := rollout.State{Phase: v1alpha1.PhaseHeld, Cause: rollout.CauseLeak}
	for _, tt := range []struct {
		name     string
		baseline []verdict.Policy
		left     []verdict.Policy // of the baseline, when the run looks again
		at       rollout.State
		foreign  bool
	}{
		{"deleting it is, where something else isolates the same pods", []verdict.Policy{deny, broad}, []verdict.Policy{deny}, held, false},
		{"so is narrowing it", []verdict.Policy{deny, broad}, []verdict.Policy{deny, ingress("broad", some)}, held, false},
		{"not if pods need a bridge from then on", []verdict.Policy{broad}, nil, held, true},
		{"deleting another policy is none", []verdict.Policy{deny, broad}, []verdict.Policy{broad}, held, true},
		{"nor is it while nothing is held", []verdict.Policy{deny, broad}, []verdict.Policy{deny}, rollout.State{Phase: v1alpha1.PhaseEnforce}, true},
		{"a new policy is none", []verdict.Policy{deny, broad}, []verdict.Policy{deny, broad, ingress("new", some)}, held, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := aPlan()
			p.Candidates[0].Policy = plan.Policy(ingress("c", some))
			p.Baseline, p.Bridges = nil, nil
			for _, b := range tt.baseline {
				p.Baseline = append(p.Baseline, plan.Policy(b))
			}
			bridges, err := rollout.Bridges(tt.baseline, p.candidatePolicies())
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range bridges {
				p.Bridges = append(p.Bridges, plan.Bridge{Bridge: b, Object: theBridge})
			}
			w := &world{}
			for _, np := range tt.left {
				w.policies = append(w.policies, networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: np.Name}, Spec: np.Spec})
			}
			s := &session{plan: p}
			s.record.Through = []string{"a/broad"}
			if what := s.foreseen(w, tt.at); (what != "") != tt.foreign || s.record.State.Tolerated != nil {
				t.Fatalf("foreseen: %q, want some: %v; tolerated %v, which no cache shows", what, tt.foreign, s.record.State.Tolerated)
			}
			if what := s.foreignChange(w, tt.at); (what != "") != tt.foreign {
				t.Fatalf("foreign: %q, want some: %v", what, tt.foreign)
			}
			if what := s.foreignChange(w, rollout.State{Phase: v1alpha1.PhaseEnforce}); (what != "") != tt.foreign {
				t.Errorf("once the run goes on: %q, want some: %v", what, tt.foreign)
			}
		})
	}
}
