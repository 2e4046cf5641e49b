package operator

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

func aPlan() *Plan {
	all := metav1.LabelSelector{}
	return &Plan{Plan: plan.Plan{
		Schema: plan.Schema, Run: "r-1", RunUID: "u",
		Candidates: []plan.Candidate{{Policy: plan.Policy{Namespace: "a", Name: "c", Spec: networkingv1.NetworkPolicySpec{PodSelector: all}}, Object: "tightrope-r-1-candidate-0"}},
		Bridges: []plan.Bridge{{
			Bridge: rollout.Bridge{Namespace: "a", Direction: networkingv1.PolicyTypeEgress, Selector: all}, Object: "tightrope-r-1-bridge-0",
		}},
	}}
}

func TestActivationsOfEveryScope(t *testing.T) {
	for scope, want := range map[rollout.Scope][2]rollout.Activation{
		rollout.Nobody:    {rollout.Inert, rollout.Inert},
		rollout.ProbePods: {rollout.Shadow, rollout.Shadow},
		rollout.Bridged:   {rollout.Live, rollout.Live},
		rollout.Few:       {rollout.Live, rollout.Live},
		rollout.Everyone:  {rollout.Inert, rollout.Live},
	} {
		if b, c := activations(scope); b != want[0] || c != want[1] {
			t.Errorf("%s: bridges %s, candidates %s; want %s, %s", scope, b, c, want[0], want[1])
		}
	}
}

func TestAWideBridgeReachesNoFurtherThanTheStep(t *testing.T) {
	production, enforced := map[string]string{"app": "x"}, map[string]string{"app": "x", v1alpha1.LabelEnforced: "r-1"}
	probe := map[string]string{v1alpha1.LabelProbe: "r-1", v1alpha1.LabelEnforced: "r-1"}
	for _, tt := range []struct {
		scope rollout.Scope
		pods  map[string]string
		want  bool
	}{
		{rollout.ProbePods, production, false}, {rollout.ProbePods, enforced, false}, {rollout.ProbePods, probe, true},
		{rollout.Few, production, true}, {rollout.Few, enforced, true}, {rollout.Everyone, enforced, true}, {rollout.Everyone, probe, true},
	} {
		for _, x := range aPlan().wideWishes(tt.scope) {
			if got := selects(&x.spec.PodSelector, tt.pods); got != tt.want {
				t.Errorf("%s: selects %v: %v, want %v", tt.scope, tt.pods, got, tt.want)
			}
		}
	}
}

func TestClusterDomain(t *testing.T) {
	for conf, want := range map[string]string{
		"": "", "nameserver 10.0.0.1\nsearch example.org\n": "",
		"search a.svc.cluster.local svc.cluster.local cluster.local\n": "cluster.local",
		"search x.svc.corp.example. svc.corp.example.\n":               "corp.example",
	} {
		if got := clusterDomain(conf); got != want {
			t.Errorf("%q: %q, want %q", conf, got, want)
		}
	}
}
