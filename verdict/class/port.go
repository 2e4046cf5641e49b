package class

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Ports are the ports that the policy's rules of a direction mention: numbers,
// both ends of ranges and the numbers just outside them, sorted, each once. A
// Number of 0 means that some rule speaks of all ports of the protocol. Names
// are left out: they select only what targets declare.
func Ports(p verdict.Policy, d networkingv1.PolicyType) []verdict.Port {
	var all []verdict.Port
	add := func(ports []networkingv1.NetworkPolicyPort) {
		for _, port := range ports {
			all = append(all, mentions(port)...)
		}
	}
	if d == networkingv1.PolicyTypeEgress {
		for _, r := range p.Spec.Egress {
			add(r.Ports)
		}
	} else {
		for _, r := range p.Spec.Ingress {
			add(r.Ports)
		}
	}
	return Distinct(all)
}

func mentions(p networkingv1.NetworkPolicyPort) []verdict.Port {
	protocol := corev1.ProtocolTCP
	if p.Protocol != nil {
		protocol = protocolOf(*p.Protocol)
	}
	switch {
	case p.Port == nil:
		return []verdict.Port{{Protocol: protocol}}
	case p.Port.Type == intstr.String:
		return nil
	case p.EndPort != nil:
		return ends(p.Port.IntVal, *p.EndPort, protocol)
	}
	return []verdict.Port{{Number: p.Port.IntVal, Protocol: protocol}}
}

func portName(p networkingv1.NetworkPolicyPort) string {
	if p.Port != nil && p.Port.Type == intstr.String {
		return p.Port.StrVal
	}
	return ""
}

// ends are the two ends of a range, and what lies just outside it.
func ends(first, last int32, protocol corev1.Protocol) []verdict.Port {
	var all []verdict.Port
	for _, n := range []int32{first - 1, first, last, last + 1} {
		if n >= 1 && n <= 65535 {
			all = append(all, verdict.Port{Number: n, Protocol: protocol})
		}
	}
	return all
}

// Tried are the ports worth trying on a target: those that it declares, under
// their names, and those given, each number and protocol once, the target's
// first. A given Number of 0 stands for other.
func Tried(target *verdict.Pod, other func(corev1.Protocol) int32, given ...verdict.Port) []verdict.Port {
	var all []verdict.Port
	for _, p := range slices.Concat(target.Ports, given) {
		p.Protocol = protocolOf(p.Protocol)
		if p.Number == 0 {
			p.Number = other(p.Protocol)
		}
		same := func(q verdict.Port) bool { return q.Number == p.Number && q.Protocol == p.Protocol }
		if p.Number >= 1 && p.Number <= 65535 && !slices.ContainsFunc(all, same) {
			all = append(all, p)
		}
	}
	return all
}

// Other returns, by protocol, the highest port that no policy of the vocabulary
// mentions, no pod declares and nobody gave; it stands for all such ports. 0: none.
func (v *Vocabulary) Other(pods []*verdict.Pod, given ...verdict.Port) func(corev1.Protocol) int32 {
	taken := map[verdict.Port]bool{}
	take := func(ports []verdict.Port) {
		for _, p := range ports {
			taken[verdict.Port{Number: p.Number, Protocol: protocolOf(p.Protocol)}] = true
		}
	}
	for _, p := range pods {
		take(p.Ports)
	}
	take(given)
	found := map[corev1.Protocol]int32{}
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		for n := int32(65535); n > 0 && found[protocol] == 0; n-- {
			p := verdict.Port{Number: n, Protocol: protocol}
			if !taken[p] && !v.numbers[p] && !v.inRange(p) {
				found[protocol] = n
			}
		}
	}
	return func(p corev1.Protocol) int32 { return found[protocolOf(p)] }
}

// span is a range of ports, both ends included.
type span struct {
	first, last int32
	protocol    corev1.Protocol
}

func (v *Vocabulary) inRange(p verdict.Port) bool {
	return slices.ContainsFunc(v.ranges, func(s span) bool {
		return s.protocol == p.Protocol && s.first <= p.Number && p.Number <= s.last
	})
}

// Distinct sorts the ports by number, protocol and name and drops repetitions.
func Distinct(all []verdict.Port) []verdict.Port {
	slices.SortFunc(all, func(a, b verdict.Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(all)
}
