package verdict

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Defaulted returns a deep copy with the defaults that the API server fills in:
// without policyTypes a policy affects ingress, and egress if and only if it
// has egress rules (NetworkPolicySpec.policyTypes); a port without protocol is
// TCP (NetworkPolicyPort.protocol).
func Defaulted(spec networkingv1.NetworkPolicySpec) networkingv1.NetworkPolicySpec {
	s := *spec.DeepCopy()
	if len(s.PolicyTypes) == 0 {
		s.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(s.Egress) > 0 {
			s.PolicyTypes = append(s.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for i := range s.Ingress {
		defaultProtocols(s.Ingress[i].Ports)
	}
	for i := range s.Egress {
		defaultProtocols(s.Egress[i].Ports)
	}
	return s
}

func defaultProtocols(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			tcp := corev1.ProtocolTCP
			ports[i].Protocol = &tcp
		}
	}
}

// Affects reports whether the policy isolates the pods that it selects in the
// direction, with policyTypes defaulted. A rule in a direction that policyTypes
// leaves out has no effect.
func (p Policy) Affects(d networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) > 0 {
		return slices.Contains(p.Spec.PolicyTypes, d)
	}
	return d == networkingv1.PolicyTypeIngress || len(p.Spec.Egress) > 0
}

// Isolates reports whether the policy isolates the pod in the direction. It is
// the literal reading also for a host-network pod, where implementations may
// differ. The error says that the policy's podSelector is invalid.
func (p Policy) Isolates(pod Pod, d networkingv1.PolicyType) (bool, error) {
	if p.Namespace != pod.Namespace || !p.Affects(d) {
		return false, nil
	}
	sel, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	if err != nil {
		return false, fmt.Errorf("policy %s: podSelector is invalid: %w", p.Key(), err)
	}
	return sel.Matches(labels.Set(pod.Labels)), nil
}
