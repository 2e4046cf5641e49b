package literal

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/verdict"
)

// affects reads policyTypes: "If no policyTypes are specified on a NetworkPolicy
// then by default Ingress will always be set and Egress will be set if the
// NetworkPolicy has any egress rules." A rule in a direction that policyTypes
// leaves out has no effect.
func affects(p verdict.Policy, d networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) > 0 {
		return slices.Contains(p.Spec.PolicyTypes, d)
	}
	return d == ingress || len(p.Spec.Egress) > 0
}

// isolates says whether the policy isolates the pod in the direction: it
// selects pods of its own namespace, by label. It is the literal reading also
// for a host-network pod, where implementations may differ.
func isolates(p verdict.Policy, pod verdict.Pod, d networkingv1.PolicyType) answer {
	if p.Namespace != pod.Namespace || !affects(p, d) {
		return never
	}
	sel, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	if err != nil {
		return unsure("policy %s: podSelector is invalid: %v", p.Key(), err)
	}
	return known(sel.Matches(labels.Set(pod.Labels)))
}
