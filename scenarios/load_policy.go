package scenarios

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

func (p *positions) checkPolicyName(path, name string) {
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		p.add(path, "%q is not a name of a NetworkPolicy: use lower-case letters, digits, dashes and dots", show(name))
	}
}

// checkPolicy refuses what the API server would refuse (ValidateNetworkPolicySpec
// of Kubernetes 1.37), so that it is known before a cluster is there.
func (p *positions) checkPolicy(at string, spec networkingv1.NetworkPolicySpec) {
	p.checkSelector(at+".podSelector", &spec.PodSelector)
	for i, rule := range spec.Ingress {
		at := index(at+".ingress", i)
		p.checkPolicyPorts(at+".ports", rule.Ports)
		p.checkPeers(at+".from", rule.From)
	}
	for i, rule := range spec.Egress {
		at := index(at+".egress", i)
		p.checkPolicyPorts(at+".ports", rule.Ports)
		p.checkPeers(at+".to", rule.To)
	}
	for i, d := range spec.PolicyTypes {
		if !slices.Contains(directions, d) || slices.Contains(spec.PolicyTypes[:i], d) {
			p.add(index(at+".policyTypes", i), "%q is not %s, or is listed twice", show(string(d)), oneOf(directions))
		}
	}
}

func (p *positions) checkSelector(at string, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	p.addAll(metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, fieldPath(at)))
}

func (p *positions) checkPolicyPorts(at string, ports []networkingv1.NetworkPolicyPort) {
	protocols := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	for i, port := range ports {
		at := index(at, i)
		if port.Protocol != nil && !slices.Contains(protocols, *port.Protocol) {
			p.add(at+".protocol", "%q is not %s", show(string(*port.Protocol)), oneOf(protocols))
		}
		numbered := port.Port != nil && port.Port.Type == intstr.Int
		switch {
		case numbered:
			p.checkPort(at+".port", port.Port.IntVal)
		case port.Port != nil && len(validation.IsValidPortName(port.Port.StrVal)) > 0:
			p.add(at+".port", "%q is not the name of a container's port; a number goes without quotes", show(port.Port.StrVal))
		}
		switch end := port.EndPort; {
		case end == nil:
		case !numbered:
			p.add(at+".endPort", "a range needs a port number to begin with")
		case *end < port.Port.IntVal || *end > 65535:
			p.add(at+".endPort", "%d is not the end of a range that begins with %d", *end, port.Port.IntVal)
		}
	}
}

func (p *positions) checkPeers(at string, peers []networkingv1.NetworkPolicyPeer) {
	for i, peer := range peers {
		at := index(at, i)
		selects := peer.PodSelector != nil || peer.NamespaceSelector != nil
		switch {
		case peer.IPBlock != nil && selects:
			p.add(at, "a peer is an ipBlock or selectors, not both: make two of it")
		case peer.IPBlock != nil:
			p.checkBlock(at+".ipBlock", *peer.IPBlock)
		case !selects:
			p.add(at, "names nobody: state podSelector, namespaceSelector or ipBlock ({} selects all)")
		}
		p.checkSelector(at+".podSelector", peer.PodSelector)
		p.checkSelector(at+".namespaceSelector", peer.NamespaceSelector)
	}
}

func (p *positions) checkBlock(at string, block networkingv1.IPBlock) {
	whole, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		p.add(at+".cidr", "%q is not a block of addresses such as 10.0.0.0/8", show(block.CIDR))
		return
	}
	for i, text := range block.Except {
		except, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			p.add(index(at+".except", i), "%q is not a block of addresses such as 10.0.0.0/8", show(text))
		case except.Bits() <= whole.Bits() || !whole.Contains(except.Addr()):
			p.add(index(at+".except", i), "%s is not a part of %s", show(text), show(block.CIDR))
		}
	}
}
