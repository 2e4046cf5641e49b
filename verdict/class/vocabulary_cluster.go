package class

import (
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

func (v *Vocabulary) addClusterPolicy(spec *v1alpha2.ClusterNetworkPolicySpec) {
	v.addNamespacedPod(spec.Subject.Pods)
	for _, r := range spec.Ingress {
		for _, p := range r.From {
			v.addNamespacedPod(p.Pods)
		}
		v.addProtocols(r.Protocols)
	}
	for _, r := range spec.Egress {
		for _, p := range r.To {
			v.addNamespacedPod(p.Pods)
			v.byNode = v.byNode || p.Nodes != nil
			for _, cidr := range p.Networks {
				v.addCIDR(string(cidr))
			}
		}
		v.addProtocols(r.Protocols)
	}
}

func (v *Vocabulary) addNamespacedPod(p *v1alpha2.NamespacedPod) {
	if p != nil {
		v.addSelector(&p.PodSelector)
	}
}

func (v *Vocabulary) addProtocols(all []v1alpha2.ClusterNetworkPolicyProtocol) {
	for _, p := range all {
		if p.DestinationNamedPort != "" {
			v.names[p.DestinationNamedPort] = true
		}
		v.spans = append(v.spans, protocolSpans(p)...)
	}
}

// ClusterSpans are the ports that a ClusterNetworkPolicy mentions in either
// direction, as Spans are those of a NetworkPolicy.
func ClusterSpans(spec *v1alpha2.ClusterNetworkPolicySpec) []Span {
	var all []Span
	for _, r := range spec.Ingress {
		for _, p := range r.Protocols {
			all = append(all, protocolSpans(p)...)
		}
	}
	for _, r := range spec.Egress {
		for _, p := range r.Protocols {
			all = append(all, protocolSpans(p)...)
		}
	}
	return Distinct(all)
}

// protocolSpans is empty for a named port.
func protocolSpans(p v1alpha2.ClusterNetworkPolicyProtocol) []Span {
	of := func(protocol corev1.Protocol, port *v1alpha2.Port) []Span {
		switch {
		case port == nil:
			return []Span{{1, lastPort, protocol}}
		case port.Range != nil:
			return []Span{{port.Range.Start, port.Range.End, protocol}}
		}
		return []Span{{port.Number, port.Number, protocol}}
	}
	switch {
	case p.TCP != nil:
		return of(corev1.ProtocolTCP, p.TCP.DestinationPort)
	case p.UDP != nil:
		return of(corev1.ProtocolUDP, p.UDP.DestinationPort)
	case p.SCTP != nil:
		return of(corev1.ProtocolSCTP, p.SCTP.DestinationPort)
	}
	return nil
}
