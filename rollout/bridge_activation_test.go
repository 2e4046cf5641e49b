package rollout

import (
	"reflect"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestActivationsReachWhomTheyAreFor(t *testing.T) {
	sel := metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}
	b := Bridge{Namespace: "ai", Direction: out, Selector: sel}
	with := func(extra labels.Set) labels.Set { return labels.Merge(labels.Set{"app": "x"}, extra) }
	probe := labels.Set{"tightrope.dev/probe": "r1"}
	enforced := labels.Set{"tightrope.dev/enforced": "r1"}
	for _, tt := range []struct {
		name      string
		pod       labels.Set
		bridge    [3]bool // inert, shadow, live
		candidate [3]bool
	}{
		{"production pod", with(nil), [3]bool{false, false, true}, [3]bool{false, false, true}},
		{"enforced production pod", with(enforced), [3]bool{}, [3]bool{false, false, true}},
		{"probe pod", with(probe), [3]bool{false, true, true}, [3]bool{false, true, true}},
		{"enforced probe pod", with(labels.Merge(probe, enforced)), [3]bool{}, [3]bool{false, true, true}},
		{"probe pod of another run", with(labels.Set{"tightrope.dev/probe": "r2"}), [3]bool{false, false, true}, [3]bool{false, false, true}},
		{"pod enforced by another run", with(labels.Set{"tightrope.dev/enforced": "r2"}), [3]bool{false, false, true}, [3]bool{false, false, true}},
		{"pod outside the selector", labels.Merge(probe, labels.Set{"app": "y"}), [3]bool{}, [3]bool{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, a := range []Activation{Inert, Shadow, Live} {
				if got := matches(t, BridgeSelector(b, a, "r1"), tt.pod); got != tt.bridge[a] {
					t.Errorf("%s bridge: got %t", a, got)
				}
				if got := matches(t, CandidateSelector(sel, a, "r1"), tt.pod); got != tt.candidate[a] {
					t.Errorf("%s candidate: got %t", a, got)
				}
			}
		})
	}
	if !reflect.DeepEqual(sel, metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}) {
		t.Errorf("the declared selector was modified: %+v", sel)
	}
}

func TestMatchNothingMatchesNothing(t *testing.T) {
	sel := MatchNothing()
	key := sel.MatchExpressions[0].Key
	for _, set := range []labels.Set{nil, {}, {"app": "x"}, {key: ""}, {key: "x"}} {
		if matches(t, sel, set) {
			t.Errorf("it matches %v", set)
		}
	}
	if matches(t, CandidateSelector(metav1.LabelSelector{}, Activation(9), "r1"), nil) {
		t.Error("an activation that does not exist must not select anything")
	}
}

func TestBridgeSpecAllowsAllInItsDirectionOnly(t *testing.T) {
	for _, d := range []networkingv1.PolicyType{in, out} {
		spec := BridgeSpec(Bridge{Direction: d}, MatchNothing())
		if !reflect.DeepEqual(spec.PolicyTypes, []networkingv1.PolicyType{d}) || !reflect.DeepEqual(spec.PodSelector, MatchNothing()) {
			t.Errorf("%s: got %+v", d, spec)
		}
		rules := map[networkingv1.PolicyType]int{in: len(spec.Ingress), out: len(spec.Egress)}
		if rules[d] != 1 || rules[in]+rules[out] != 1 {
			t.Errorf("%s: got rules %v", d, rules)
		}
	}
}
