package random

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

func (d *Dice) policy(name string) verdict.Policy {
	p := verdict.Policy{Namespace: d.namespace(), Name: name}
	p.Spec.PodSelector = d.selector()
	p.Spec.PolicyTypes = pick(d, nil, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress})
	p.Spec.Ingress = some(d, 3, func() networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: d.peers(), Ports: d.ports()}
	})
	p.Spec.Egress = some(d, 3, func() networkingv1.NetworkPolicyEgressRule {
		return networkingv1.NetworkPolicyEgressRule{To: d.peers(), Ports: d.ports()}
	})
	return p
}

func (d *Dice) peers() []networkingv1.NetworkPolicyPeer {
	if d.one(8) {
		return []networkingv1.NetworkPolicyPeer{}
	}
	return some(d, 3, d.peer)
}

func (d *Dice) peer() networkingv1.NetworkPolicyPeer {
	pods, spaces := d.selector(), d.namespaceSelector()
	if d.style.invalid && d.one(8) {
		return pick(d, networkingv1.NetworkPolicyPeer{}, networkingv1.NetworkPolicyPeer{PodSelector: &pods, IPBlock: d.block()})
	}
	switch d.IntN(6) {
	case 0:
		return networkingv1.NetworkPolicyPeer{PodSelector: &pods}
	case 1:
		return networkingv1.NetworkPolicyPeer{NamespaceSelector: &spaces}
	case 2, 3:
		return networkingv1.NetworkPolicyPeer{PodSelector: &pods, NamespaceSelector: &spaces}
	}
	return networkingv1.NetworkPolicyPeer{IPBlock: d.block()}
}

func (d *Dice) block() *networkingv1.IPBlock {
	b := &networkingv1.IPBlock{CIDR: d.cidr()}
	if d.one(2) {
		b.Except = some(d, 3, d.cidr)
	}
	return b
}

// cidr is about an address that somebody has or may have.
func (d *Dice) cidr() string {
	if d.style.invalid && d.one(10) {
		return pick(d, "10.0.0/8", "10.0.0.0/33", "", "fd00::/129", "10.0.0.1")
	}
	a := d.address()
	if !a.IsValid() {
		return pick(d, "0.0.0.0/0", "::/0")
	}
	bits := a.BitLen() - pick(d, 0, 0, 1, 2, 3, 4, 8, 16, 24, a.BitLen())
	if d.style.strange && d.one(6) { // as old objects hold them
		if a.Is4() {
			return fmt.Sprintf("::ffff:%s/%d", a, bits+96)
		}
		return fmt.Sprintf("%s/%d", a, bits)
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return "0.0.0.0/0"
	}
	return p.String()
}

// address is one of a pod or of a node, or one outside; rarely the zero one.
func (d *Dice) address() netip.Addr {
	var all []netip.Addr
	if d.IntN(4) > 0 {
		all = pick(d, d.world.pods...).IPs
	} else if len(d.world.Nodes) > 0 && d.one(2) {
		all = pick(d, d.world.Nodes...).IPs
	} else {
		all = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, byte(d.IntN(16))}), netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 15: byte(d.IntN(16))}), {}}
	}
	if len(all) == 0 {
		return netip.Addr{}
	}
	return pick(d, all...).Unmap()
}

func (d *Dice) ports() []networkingv1.NetworkPolicyPort {
	if d.one(8) {
		return []networkingv1.NetworkPolicyPort{}
	}
	return some(d, 3, d.policyPort)
}

func (d *Dice) policyPort() networkingv1.NetworkPolicyPort {
	var p networkingv1.NetworkPolicyPort
	if d.one(2) {
		protocol := pick(d, protocols...)
		p.Protocol = &protocol
	}
	number := intstr.FromInt32(pick(d, numbers...))
	end := min(number.IntVal+int32(pick(d, 0, 1, 2, 400, 10000)), 65535)
	name := intstr.FromString(pick(d, names...))
	switch d.IntN(6) {
	case 0, 1:
		p.Port = &number
	case 2, 3:
		p.Port = &name
	case 4:
		p.Port, p.EndPort = &number, &end
	}
	if d.style.invalid && d.one(8) {
		backwards := number.IntVal - 1
		p.EndPort = &backwards
		p.Port = pick(d, nil, &number, &name)
	}
	if d.style.invalid && d.one(12) {
		protocol, none := pick[corev1.Protocol](d, "ICMP", "", "tcp"), intstr.FromString("")
		p.Protocol, p.Port = pick(d, p.Protocol, &protocol), pick(d, p.Port, &none)
	}
	return p
}
