package manifest

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// asked are the label keys that the selectors of policies, candidates included,
// and of Services ask for.
type asked struct {
	ofPods       map[string]bool
	ofNamespaces map[string]bool // without the namespace's name, which is always known
}

func (s *Set) asked() asked {
	a := asked{ofPods: map[string]bool{}, ofNamespaces: map[string]bool{}}
	for _, p := range s.Objects.NetworkPolicies {
		a.policy(&p.Object.Spec)
	}
	for _, r := range s.Objects.Rollouts {
		for _, p := range r.Candidates {
			a.policy(&p.Object.Spec)
		}
	}
	for _, p := range s.Objects.ClusterPolicies {
		a.clusterPolicy(&p.Object.Spec)
	}
	for _, service := range s.Objects.Services {
		ask(a.ofPods, &metav1.LabelSelector{MatchLabels: service.Object.Spec.Selector})
	}
	delete(a.ofNamespaces, corev1.LabelMetadataName)
	return a
}

func ask(keys map[string]bool, selector *metav1.LabelSelector) {
	if selector == nil {
		return
	}
	for k := range selector.MatchLabels {
		keys[k] = true
	}
	for _, e := range selector.MatchExpressions {
		keys[e.Key] = true
	}
}

func (a asked) policy(spec *networkingv1.NetworkPolicySpec) {
	ask(a.ofPods, &spec.PodSelector)
	peers := func(peers []networkingv1.NetworkPolicyPeer) {
		for _, peer := range peers {
			ask(a.ofPods, peer.PodSelector)
			ask(a.ofNamespaces, peer.NamespaceSelector)
		}
	}
	for _, rule := range spec.Ingress {
		peers(rule.From)
	}
	for _, rule := range spec.Egress {
		peers(rule.To)
	}
}

func (a asked) clusterPolicy(spec *v1alpha2.ClusterNetworkPolicySpec) {
	peer := func(namespaces *metav1.LabelSelector, pods *v1alpha2.NamespacedPod) {
		ask(a.ofNamespaces, namespaces)
		if pods != nil {
			ask(a.ofNamespaces, &pods.NamespaceSelector)
			ask(a.ofPods, &pods.PodSelector)
		}
	}
	peer(spec.Subject.Namespaces, spec.Subject.Pods)
	for _, rule := range spec.Ingress {
		for _, p := range rule.From {
			peer(p.Namespaces, p.Pods)
		}
	}
	for _, rule := range spec.Egress {
		for _, p := range rule.To {
			peer(p.Namespaces, p.Pods)
		}
	}
}
