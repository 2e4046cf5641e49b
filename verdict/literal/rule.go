package literal

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// rule is an ingress or egress rule: the two differ in name only.
type rule struct {
	ports []networkingv1.NetworkPolicyPort
	peers []networkingv1.NetworkPolicyPeer
}

func rulesOf(spec networkingv1.NetworkPolicySpec, d networkingv1.PolicyType) []rule {
	var all []rule
	if d == egress {
		for _, r := range spec.Egress {
			all = append(all, rule{r.Ports, r.To})
		}
		return all
	}
	for _, r := range spec.Ingress {
		all = append(all, rule{r.Ports, r.From})
	}
	return all
}

// allows says whether the rule of a policy in namespace ns allows the
// connection: "The traffic must match both ports and from" (or to). An empty or
// missing list restricts nothing.
func (w world) allows(ns string, r rule, c run, d networkingv1.PolicyType) answer {
	peer, port := always, always
	if len(r.peers) > 0 {
		peer = w.anyPeer(ns, r.peers, c, d)
	}
	if len(r.ports) > 0 {
		port = anyPort(r.ports, c)
	}
	return both(peer, port)
}

func anyPort(ports []networkingv1.NetworkPolicyPort, c run) answer {
	a := never
	for _, p := range ports {
		a = either(a, matchesPort(p, c))
	}
	return a
}

// matchesPort reads one NetworkPolicyPort. A missing port means all ports of
// the protocol; a missing protocol means TCP; a name is looked up on the target
// pod, and one that the pod does not declare matches nothing.
func matchesPort(p networkingv1.NetworkPolicyPort, c run) answer {
	protocol := corev1.ProtocolTCP
	if p.Protocol != nil {
		protocol = *p.Protocol
	}
	switch {
	case p.EndPort != nil && (p.Port == nil || p.Port.Type == intstr.String):
		return unsure("endPort %d stands without a port number, which is invalid", *p.EndPort)
	case p.EndPort != nil && *p.EndPort < p.Port.IntVal:
		return unsure("endPort %d is less than port %d, which is invalid", *p.EndPort, p.Port.IntVal)
	case protocol != c.Protocol:
		return never
	case p.Port == nil:
		return always
	case p.Port.Type == intstr.String:
		return known(declares(c.To.Pod, p.Port.StrVal, c))
	case p.EndPort != nil:
		return known(p.Port.IntVal <= c.Port && c.Port <= *p.EndPort)
	}
	return known(p.Port.IntVal == c.Port)
}

// declares reports whether the target declares a port of that name with the
// connection's number and protocol. An outside address declares nothing.
func declares(target *verdict.Pod, name string, c run) bool {
	return target != nil && slices.ContainsFunc(target.Ports, func(p verdict.Port) bool {
		return p.Name == name && p.Number == c.Port && cmp.Or(p.Protocol, corev1.ProtocolTCP) == c.Protocol
	})
}
