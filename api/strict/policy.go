package strict

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
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
func CheckPolicy(at string, spec networkingv1.NetworkPolicySpec) []Fault {
	f := faults{}
	f.selector(at+".podSelector", &spec.PodSelector)
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
			f.add(index(at+".policyTypes", i), "%q is not %s, or is listed twice", Show(string(d)), OneOf(directions))
		}
	}
	return f
}

// CheckLabels holds labels, which stand at that path, against the syntax of labels.
func CheckLabels(at string, labels map[string]string) []Fault {
	f := faults{}
	f.addAll(metav1validation.ValidateLabels(labels, field.NewPath(at)))
	return f
}

// CheckSelector holds a label selector against the syntax of selectors. Nil is right.
func CheckSelector(at string, s *metav1.LabelSelector) []Fault {
	f := faults{}
	f.selector(at, s)
	return f
}

func (f *faults) selector(at string, s *metav1.LabelSelector) {
	if s != nil {
		f.addAll(metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, field.NewPath(at)))
	}
}

func (f *faults) port(at string, port int32) {
	if port < 1 || port > 65535 {
		f.add(at, "%d is not a port: 1 to 65535", port)
	}
}

func (f *faults) protocol(at string, protocol corev1.Protocol) {
	if !slices.Contains(protocols, protocol) {
		f.add(at, "%q is not %s", Show(string(protocol)), OneOf(protocols))
	}
}

func (f *faults) policyPorts(at string, ports []networkingv1.NetworkPolicyPort) {
	for i, port := range ports {
		at := index(at, i)
		if port.Protocol != nil {
			f.protocol(at+".protocol", *port.Protocol)
		}
		numbered := port.Port != nil && port.Port.Type == intstr.Int
		switch {
		case numbered:
			f.port(at+".port", port.Port.IntVal)
		case port.Port != nil && len(validation.IsValidPortName(port.Port.StrVal)) > 0:
			f.add(at+".port", "%q is not the name of a container's port; a number goes without quotes", Show(port.Port.StrVal))
		}
		switch end := port.EndPort; {
		case end == nil:
		case !numbered:
			f.add(at+".endPort", "a range needs a port number to begin with")
		case *end < port.Port.IntVal || *end > 65535:
			f.add(at+".endPort", "%d is not the end of a range that begins with %d", *end, port.Port.IntVal)
		}
	}
}

func (f *faults) peers(at string, peers []networkingv1.NetworkPolicyPeer) {
	for i, peer := range peers {
		at := index(at, i)
		selects := peer.PodSelector != nil || peer.NamespaceSelector != nil
		switch {
		case peer.IPBlock != nil && selects:
			f.add(at, "a peer is an ipBlock or selectors, not both: make two of it")
		case peer.IPBlock != nil:
			f.block(at+".ipBlock", *peer.IPBlock)
		case !selects:
			f.add(at, "names nobody: state podSelector, namespaceSelector or ipBlock ({} selects all)")
		}
		f.selector(at+".podSelector", peer.PodSelector)
		f.selector(at+".namespaceSelector", peer.NamespaceSelector)
	}
}

func (f *faults) block(at string, block networkingv1.IPBlock) {
	whole, ok := f.cidr(at+".cidr", block.CIDR)
	if !ok {
		return
	}
	for i, text := range block.Except {
		at := index(at+".except", i)
		except, ok := f.cidr(at, text)
		if ok && (except.Bits() <= whole.Bits() || !whole.Contains(except.Addr())) {
			f.add(at, "%s is not a part of %s", Show(text), Show(block.CIDR))
		}
	}
}

// cidr wants the strict form that 1.37 wants of new objects: no leading zeros,
// no IPv4 in IPv6, no bits beyond the prefix.
func (f *faults) cidr(at, text string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		f.add(at, "%q is not a block of addresses such as 10.0.0.0/8", Show(text))
	case prefix.Addr().Is4In6():
		f.add(at, "%s is an IPv4 block in IPv6 form: write it as IPv4", Show(text))
	case prefix != prefix.Masked():
		f.add(at, "%s has bits beyond its prefix: write %s", Show(text), prefix.Masked())
	default:
		return prefix, true
	}
	return prefix, false
}

func index(at string, i int) string { return fmt.Sprintf("%s[%d]", at, i) }
