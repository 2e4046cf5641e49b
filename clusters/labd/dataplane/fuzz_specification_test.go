package dataplane

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// This file is the NetworkPolicy v1 specification, read literally and slowly: for
// one packet, every policy, every rule, every peer and every port. It shares no
// code with the compiler.

// passes says what the specification says of a probe.
func (s *situation) passes(p probe) bool {
	from, to := p.from, p.to
	switch {
	case from == to: // "a pod cannot block access to itself"
		return true
	case (from.host || to.host) && from.node == to.node: // "traffic to and from the node where a Pod is running is always allowed"
		return true
	}
	return s.allows(from, to, p, networkingv1.PolicyTypeEgress) && s.allows(to, from, p, networkingv1.PolicyTypeIngress)
}

// allows: a pod that no policy isolates in a direction lets everything pass in it;
// else one rule of one such policy must allow it.
func (s *situation) allows(pod, peer *endpoint, p probe, d networkingv1.PolicyType) bool {
	isolated := false
	for i := range s.Policies {
		policy := &s.Policies[i]
		if pod.pod == nil || pod.pod.Namespace != policy.Namespace || !applies(policy, d) || !literally(&policy.Spec.PodSelector, s.Pods[pod.name]) {
			continue
		}
		isolated = true
		if d == networkingv1.PolicyTypeIngress {
			for _, r := range policy.Spec.Ingress {
				if s.peersMatch(policy.Namespace, r.From, peer, p) && portsMatch(r.Ports, p) {
					return true
				}
			}
		} else {
			for _, r := range policy.Spec.Egress {
				if s.peersMatch(policy.Namespace, r.To, peer, p) && portsMatch(r.Ports, p) {
					return true
				}
			}
		}
	}
	return !isolated
}

func applies(p *networkingv1.NetworkPolicy, d networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) > 0 {
		return slices.Contains(p.Spec.PolicyTypes, d)
	}
	return d == networkingv1.PolicyTypeIngress || len(p.Spec.Egress) > 0
}

func (s *situation) peersMatch(namespace string, peers []networkingv1.NetworkPolicyPeer, who *endpoint, p probe) bool {
	if len(peers) == 0 {
		return true
	}
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if inBlock(peer.IPBlock, who.addrs[p.family]) {
				return true
			}
			continue
		}
		if who.pod == nil {
			continue
		}
		if peer.NamespaceSelector == nil && who.pod.Namespace != namespace {
			continue
		}
		if peer.NamespaceSelector != nil && !literally(peer.NamespaceSelector, s.Namespaces[who.pod.Namespace]) {
			continue
		}
		if peer.PodSelector == nil || literally(peer.PodSelector, s.Pods[who.name]) {
			return true
		}
	}
	return false
}

func inBlock(b *networkingv1.IPBlock, a netip.Addr) bool {
	if !netip.MustParsePrefix(b.CIDR).Contains(a) {
		return false
	}
	for _, except := range b.Except {
		if netip.MustParsePrefix(except).Contains(a) {
			return false
		}
	}
	return true
}

func portsMatch(ports []networkingv1.NetworkPolicyPort, p probe) bool {
	if len(ports) == 0 {
		return true
	}
	for _, port := range ports {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		if string(protocol) == p.network && portMatches(port, protocol, p) {
			return true
		}
	}
	return false
}

func portMatches(port networkingv1.NetworkPolicyPort, protocol corev1.Protocol, p probe) bool {
	switch {
	case port.Port == nil:
		return true
	case port.Port.Type == intstr.Int && port.EndPort != nil:
		return int(port.Port.IntVal) <= p.port && p.port <= int(*port.EndPort)
	case port.Port.Type == intstr.Int:
		return int(port.Port.IntVal) == p.port
	case p.to.pod == nil:
		return false
	}
	for _, c := range p.to.pod.Spec.Containers {
		for _, named := range c.Ports {
			its := named.Protocol
			if its == "" {
				its = corev1.ProtocolTCP
			}
			if named.Name == port.Port.StrVal && its == protocol && int(named.ContainerPort) == p.port {
				return true
			}
		}
	}
	return false
}

// literally says whether labels satisfy every requirement of a selector.
func literally(s *metav1.LabelSelector, labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if have, is := labels[k]; !is || have != v {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		have, is := labels[e.Key]
		listed := slices.Contains(e.Values, have)
		ok := map[metav1.LabelSelectorOperator]bool{
			metav1.LabelSelectorOpIn:           is && listed,
			metav1.LabelSelectorOpNotIn:        !is || !listed,
			metav1.LabelSelectorOpExists:       is,
			metav1.LabelSelectorOpDoesNotExist: !is,
		}[e.Operator]
		if !ok {
			return false
		}
	}
	return true
}
