package strict

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	directions = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	protocols  = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
)

// CheckPolicy holds a NetworkPolicy's spec, which stands at that path, against
// what the API server accepts (ValidateNetworkPolicySpec of Kubernetes 1.37).
func CheckPolicy(at string, spec networkingv1.NetworkPolicySpec) Faults {
	f := Faults{}
	f.Selector(at+".podSelector", &spec.PodSelector)
	for i, rule := range spec.Ingress {
		at := index(at+".ingress", i)
		f.policyPorts(at+".ports", rule.Ports)
		f.peers(at+".from", rule.From)
	}
	for i, rule := range spec.Egress {
		at := index(at+".egress", i)
		f.policyPorts(at+".ports", rule.Ports)
		f.peers(at+".to", rule.To)
	}
	for i, d := range spec.PolicyTypes {
		if !slices.Contains(directions, d) || slices.Contains(spec.PolicyTypes[:i], d) {
			f.Add(index(at+".policyTypes", i), "%q is not %s, or is listed twice", Show(string(d)), OneOf(directions))
		}
	}
	return f
}

// CheckLabels holds labels, which stand at that path, against the syntax of labels.
func CheckLabels(at string, labels map[string]string) Faults {
	f := Faults{}
	f.Labels(at, labels)
	return f
}

// CheckMarks holds the labels and annotations of an object, which stand at that path,
// against what the API server accepts.
func CheckMarks(at string, labels, annotations map[string]string) Faults {
	f := CheckLabels(at+".labels", labels)
	f.AddErrors(apivalidation.ValidateAnnotations(annotations, field.NewPath(at+".annotations")))
	return f
}

// Labels notes what is wrong with labels.
func (f *Faults) Labels(at string, labels map[string]string) {
	f.AddErrors(metav1validation.ValidateLabels(labels, field.NewPath(at)))
}

// Selector notes what is wrong with a label selector. Nil is right.
func (f *Faults) Selector(at string, s *metav1.LabelSelector) {
	if s != nil {
		f.AddErrors(metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, field.NewPath(at)))
	}
}

// Port notes a number that is no port.
func (f *Faults) Port(at string, port int32) {
	if port < 1 || port > 65535 {
		f.Add(at, "%d is not a port: 1 to 65535", port)
	}
}

// Protocol notes a protocol that policies and Services do not know.
func (f *Faults) Protocol(at string, protocol corev1.Protocol) {
	if !slices.Contains(protocols, protocol) {
		f.Add(at, "%q is not %s", Show(string(protocol)), OneOf(protocols))
	}
}

func (f *Faults) policyPorts(at string, ports []networkingv1.NetworkPolicyPort) {
	for i, port := range ports {
		at := index(at, i)
		if port.Protocol != nil {
			f.Protocol(at+".protocol", *port.Protocol)
		}
		numbered := port.Port != nil && port.Port.Type == intstr.Int
		switch {
		case numbered:
			f.Port(at+".port", port.Port.IntVal)
		case port.Port != nil && len(validation.IsValidPortName(port.Port.StrVal)) > 0:
			f.Add(at+".port", "%q is not the name of a container's port; a number goes without quotes", Show(port.Port.StrVal))
		}
		switch end := port.EndPort; {
		case end == nil:
		case !numbered:
			f.Add(at+".endPort", "a range needs a port number to begin with")
		case *end < port.Port.IntVal || *end > 65535:
			f.Add(at+".endPort", "%d is not the end of a range that begins with %d", *end, port.Port.IntVal)
		}
	}
}

func (f *Faults) peers(at string, peers []networkingv1.NetworkPolicyPeer) {
	for i, peer := range peers {
		at := index(at, i)
		selects := peer.PodSelector != nil || peer.NamespaceSelector != nil
		switch {
		case peer.IPBlock != nil && selects:
			f.Add(at, "a peer is an ipBlock or selectors, not both: make two of it")
		case peer.IPBlock != nil:
			f.block(at+".ipBlock", *peer.IPBlock)
		case !selects:
			f.Add(at, "names nobody: state podSelector, namespaceSelector or ipBlock ({} selects all)")
		}
		f.Selector(at+".podSelector", peer.PodSelector)
		f.Selector(at+".namespaceSelector", peer.NamespaceSelector)
	}
}

func (f *Faults) block(at string, block networkingv1.IPBlock) {
	whole, ok := f.cidr(at+".cidr", block.CIDR)
	if !ok {
		return
	}
	for i, text := range block.Except {
		at := index(at+".except", i)
		except, ok := f.cidr(at, text)
		if ok && (except.Bits() <= whole.Bits() || !whole.Contains(except.Addr())) {
			f.Add(at, "%s is not a part of %s", Show(text), Show(block.CIDR))
		}
	}
}

// cidr wants the strict form that 1.37 wants of new objects: no leading zeros,
// no IPv4 in IPv6, no bits beyond the prefix.
func (f *Faults) cidr(at, text string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		f.Add(at, "%q is not a block of addresses such as 10.0.0.0/8", Show(text))
	case prefix.Addr().Is4In6():
		f.Add(at, "%s is an IPv4 block in IPv6 form: write it as IPv4", Show(text))
	case prefix != prefix.Masked():
		f.Add(at, "%s has bits beyond its prefix: write %s", Show(text), prefix.Masked())
	default:
		return prefix, true
	}
	return prefix, false
}

func index(at string, i int) string { return fmt.Sprintf("%s[%d]", at, i) }
