package random

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/verdict"
)

func (d *Dice) clusterPolicy(name string) verdict.ClusterPolicy {
	p := verdict.ClusterPolicy{Name: name}
	p.Spec.Tier = pick(d, v1alpha2.AdminTier, v1alpha2.BaselineTier)
	p.Spec.Priority = pick[int32](d, 0, 1, 2, 500, 1000)
	p.Spec.Subject = v1alpha2.ClusterNetworkPolicySubject{Namespaces: d.someNamespaces()}
	if d.one(2) {
		p.Spec.Subject = v1alpha2.ClusterNetworkPolicySubject{Pods: d.namespacedPod()}
	}
	if d.style.invalid && d.one(12) {
		p.Spec.Subject = v1alpha2.ClusterNetworkPolicySubject{}
	}
	if d.style.invalid && d.one(12) {
		p.Spec.Tier = "Middle"
	}
	p.Spec.Ingress = some(d, 3, func() v1alpha2.ClusterNetworkPolicyIngressRule {
		var peers []v1alpha2.ClusterNetworkPolicyIngressPeer
		for range 1 + d.IntN(2) {
			p := d.podPeer()
			peers = append(peers, v1alpha2.ClusterNetworkPolicyIngressPeer{Namespaces: p.Namespaces, Pods: p.Pods})
		}
		return v1alpha2.ClusterNetworkPolicyIngressRule{Action: d.action(), From: peers, Protocols: d.protocols(true)}
	})
	p.Spec.Egress = some(d, 3, func() v1alpha2.ClusterNetworkPolicyEgressRule {
		return d.egressRule()
	})
	return p
}

// egressRule has named ports only beside peers that have some, unless the world
// may hold what is invalid.
func (d *Dice) egressRule() v1alpha2.ClusterNetworkPolicyEgressRule {
	r := v1alpha2.ClusterNetworkPolicyEgressRule{Action: d.action()}
	named := true
	for range 1 + d.IntN(2) {
		if d.one(2) {
			r.To = append(r.To, d.podPeer())
			continue
		}
		r.To = append(r.To, d.otherPeer())
		named = d.style.invalid
	}
	if d.style.invalid && d.one(15) {
		r.To = nil
	}
	r.Protocols = d.protocols(named)
	return r
}

func (d *Dice) action() v1alpha2.ClusterNetworkPolicyRuleAction {
	if d.style.invalid && d.one(20) {
		return "Log"
	}
	return pick(d, v1alpha2.ClusterNetworkPolicyRuleActionAccept, v1alpha2.ClusterNetworkPolicyRuleActionDeny, v1alpha2.ClusterNetworkPolicyRuleActionPass)
}

func (d *Dice) podPeer() v1alpha2.ClusterNetworkPolicyEgressPeer {
	var p v1alpha2.ClusterNetworkPolicyEgressPeer
	if d.style.invalid && d.one(12) {
		return p
	}
	if d.one(2) {
		p.Namespaces = d.someNamespaces()
	} else {
		p.Pods = d.namespacedPod()
	}
	if d.style.invalid && d.one(12) {
		p.Namespaces, p.Pods = d.someNamespaces(), d.namespacedPod()
	}
	return p
}

func (d *Dice) otherPeer() v1alpha2.ClusterNetworkPolicyEgressPeer {
	switch d.IntN(5) {
	case 0, 1:
		nodes := d.selector()
		return v1alpha2.ClusterNetworkPolicyEgressPeer{Nodes: &nodes}
	case 2, 3:
		cidr := func() v1alpha2.CIDR { return v1alpha2.CIDR(d.cidr()) }
		return v1alpha2.ClusterNetworkPolicyEgressPeer{Networks: append(some(d, 2, cidr), cidr())}
	}
	return v1alpha2.ClusterNetworkPolicyEgressPeer{DomainNames: []v1alpha2.DomainName{"*.example.org"}}
}

func (d *Dice) someNamespaces() *metav1.LabelSelector {
	s := d.namespaceSelector()
	return &s
}

func (d *Dice) namespacedPod() *v1alpha2.NamespacedPod {
	return &v1alpha2.NamespacedPod{NamespaceSelector: d.namespaceSelector(), PodSelector: d.selector()}
}

func (d *Dice) protocols(named bool) []v1alpha2.ClusterNetworkPolicyProtocol {
	if d.one(2) {
		return nil
	}
	return append(some(d, 2, func() v1alpha2.ClusterNetworkPolicyProtocol { return d.protocol(named) }), d.protocol(named))
}

func (d *Dice) protocol(named bool) v1alpha2.ClusterNetworkPolicyProtocol {
	port := d.clusterPort()
	tcp, udp := &v1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}, &v1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: port}
	if d.style.invalid && d.one(12) {
		return pick(d, v1alpha2.ClusterNetworkPolicyProtocol{}, v1alpha2.ClusterNetworkPolicyProtocol{TCP: tcp, UDP: udp},
			v1alpha2.ClusterNetworkPolicyProtocol{TCP: &v1alpha2.ClusterNetworkPolicyProtocolTCP{}})
	}
	switch d.IntN(6) {
	case 0, 1:
		return v1alpha2.ClusterNetworkPolicyProtocol{UDP: udp}
	case 2:
		return v1alpha2.ClusterNetworkPolicyProtocol{SCTP: &v1alpha2.ClusterNetworkPolicyProtocolSCTP{DestinationPort: port}}
	case 3:
		if named {
			return v1alpha2.ClusterNetworkPolicyProtocol{DestinationNamedPort: pick(d, names...)}
		}
	}
	return v1alpha2.ClusterNetworkPolicyProtocol{TCP: tcp}
}

func (d *Dice) clusterPort() *v1alpha2.Port {
	number := pick(d, numbers...)
	if d.style.invalid && d.one(12) {
		return pick(d, &v1alpha2.Port{}, &v1alpha2.Port{Range: &v1alpha2.PortRange{Start: number, End: number - 1}})
	}
	if d.one(3) && number < 65535 {
		return &v1alpha2.Port{Range: &v1alpha2.PortRange{Start: number, End: min(number+int32(pick(d, 1, 2, 400)), 65535)}}
	}
	return &v1alpha2.Port{Number: number}
}
