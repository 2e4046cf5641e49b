package manifest

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// askedKeys are the label keys that the selectors of policies, candidates
// included, and of Services ask for.
func (s *Set) askedKeys() map[string]bool {
	asked := map[string]bool{}
	ask := func(selectors ...*metav1.LabelSelector) {
		for _, selector := range selectors {
			if selector == nil {
				continue
			}
			for k := range selector.MatchLabels {
				asked[k] = true
			}
			for _, e := range selector.MatchExpressions {
				asked[e.Key] = true
			}
		}
	}
	for _, p := range s.Objects.NetworkPolicies {
		ask(selectorsOf(&p.Object.Spec)...)
	}
	for _, r := range s.Objects.Rollouts {
		for _, p := range r.Candidates {
			ask(selectorsOf(&p.Object.Spec)...)
		}
	}
	for _, p := range s.Objects.ClusterPolicies {
		ask(clusterSelectorsOf(&p.Object.Spec)...)
	}
	for _, service := range s.Objects.Services {
		ask(&metav1.LabelSelector{MatchLabels: service.Object.Spec.Selector})
	}
	return asked
}

// selectorsOf are the selectors of pods.
func selectorsOf(spec *networkingv1.NetworkPolicySpec) []*metav1.LabelSelector {
	all := []*metav1.LabelSelector{&spec.PodSelector}
	for _, rule := range spec.Ingress {
		for _, peer := range rule.From {
			all = append(all, peer.PodSelector)
		}
	}
	for _, rule := range spec.Egress {
		for _, peer := range rule.To {
			all = append(all, peer.PodSelector)
		}
	}
	return all
}

func clusterSelectorsOf(spec *v1alpha2.ClusterNetworkPolicySpec) []*metav1.LabelSelector {
	var all []*metav1.LabelSelector
	pods := func(p *v1alpha2.NamespacedPod) {
		if p != nil {
			all = append(all, &p.PodSelector)
		}
	}
	pods(spec.Subject.Pods)
	for _, rule := range spec.Ingress {
		for _, peer := range rule.From {
			pods(peer.Pods)
		}
	}
	for _, rule := range spec.Egress {
		for _, peer := range rule.To {
			pods(peer.Pods)
		}
	}
	return all
}
