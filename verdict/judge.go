package verdict

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// What a side's Rule says where no policy decides.
const (
	notIsolated = "not isolated"
	samePod     = "same pod"
	ownNode     = "own node"
	outside     = "outside the cluster"
)

// Judge decides about one connection and says why: egress of its source and
// ingress of its target must both allow it; answers of an allowed connection are
// allowed. Its ends may be pods that the snapshot does not hold, and addresses.
//
// A connection that may run over one of two families is judged over each, and
// one between ends that share none in every combination of their addresses. The
// verdict is Unknown where these differ.
func (s *Snapshot) Judge(c Conn) Verdict {
	c.Protocol = cmp.Or(c.Protocol, corev1.ProtocolTCP)
	if why := c.unjudgeable(); why != "" {
		side := Side{Reason: why}
		return Verdict{Egress: side, Ingress: side, Reason: why}
	}
	all := c.runs()
	v := s.judge(&all[0])
	for i := range all[1:] {
		v = together(v, s.judge(&all[i+1]))
	}
	return v
}

func (s *Snapshot) judge(r *run) Verdict {
	v := Verdict{Egress: s.side(r, egress), Ingress: s.side(r, ingress)}
	v.Decision = worse(v.Egress.Decision, v.Ingress.Decision)
	switch v.Decision {
	case Allow:
		v.Reason = v.Egress.Reason + "; " + v.Ingress.Reason
	case v.Egress.Decision:
		v.Reason = v.Egress.Reason
	default:
		v.Reason = v.Ingress.Reason
	}
	return v
}

// worse is what two ends, or two things that must both allow, come to.
func worse(a, b Decision) Decision {
	switch {
	case a == Deny || b == Deny:
		return Deny
	case a == Allow && b == Allow:
		return Allow
	}
	return Unknown
}

// together is what the verdicts of two families have in common.
func together(a, b Verdict) Verdict {
	v := Verdict{Decision: a.Decision, Egress: common(a.Egress, b.Egress), Ingress: common(a.Ingress, b.Ingress), Reason: a.Reason}
	if a.Decision != b.Decision {
		v.Decision, v.Reason = Unknown, differs(a.Reason, b.Reason)
	}
	return v
}

func common(a, b Side) Side {
	if a.Decision == b.Decision {
		return a
	}
	why := differs(a.Reason, b.Reason)
	return Side{Policy: cmp.Or(a.Policy, b.Policy), Rule: why, Reason: why}
}

func differs(a, b string) string {
	return fmt.Sprintf("it depends on the address family: %s, or %s", a, b)
}

// unjudgeable says what is wrong with the connection itself; empty: nothing.
func (c *Conn) unjudgeable() string {
	switch {
	case c.From.Pod == nil && c.To.Pod == nil:
		return "neither end is a pod, so NetworkPolicy says nothing about it"
	case c.understood() && (c.Port < 1 || c.Port > 65535):
		return fmt.Sprintf("%d is no port: give one from 1 to 65535", c.Port)
	}
	return ""
}

// understood reports whether v1 defines policies for the protocol. "For all
// other protocols, the behaviour may vary across network plugins."
func (c *Conn) understood() bool { return protocolIndex(c.Protocol) < protocols }

// side decides at one end. A pod always reaches itself ("a pod cannot block
// access to itself", and no ClusterNetworkPolicy can either), and its own node
// always reaches it, and is reached by it ("traffic to and from the node where a Pod
// is running is always allowed").
func (s *Snapshot) side(r *run, d direction) Side {
	subject, peer := r.ends(d)
	switch {
	case subject.Pod == nil:
		return Side{Decision: Allow, Rule: outside, Reason: subject.String() + " is outside: policies select pods only"}
	case r.toItself():
		return Side{Decision: Allow, Rule: samePod, Reason: "a pod cannot block access to itself"}
	case d == ingress && r.FromNode:
		return Side{Decision: Allow, Rule: ownNode, Reason: "traffic from the node that a pod runs on is always allowed"}
	case peer.Pod == nil && peer.Node != "" && peer.Node == subject.Pod.Node:
		return Side{Decision: Allow, Rule: ownNode, Reason: fmt.Sprintf("%s is an address of the node of %s, and traffic between a pod and its own node is always allowed", peer, subject)}
	}
	if why := s.foreign(subject.Pod); why != "" {
		return Side{Rule: why, Reason: why}
	}
	return s.tiers(r, d)
}

// foreign names a policy of a kind that is not understood and that may affect
// the pod; empty: there is none.
func (s *Snapshot) foreign(p *Pod) string {
	for _, f := range s.cluster.foreign {
		if f.Namespace == "" || f.Namespace == p.Namespace {
			return fmt.Sprintf("%s %s may affect %s, and policies of that kind are not understood", f.Kind, f.Name, p.Key())
		}
	}
	return ""
}

// undefined says why implementations may let through what the rules deny, by
// the clauses of the specification that leave it open; empty: they may not.
func (c *Conn) undefined(d direction) string {
	subject, peer := c.ends(d)
	switch {
	case !c.understood():
		return fmt.Sprintf("v1 defines policies for TCP, UDP and SCTP only, not for %s", c.Protocol)
	case subject.Pod.HostNetwork:
		return fmt.Sprintf("%s is a host-network pod: implementations may treat it as its node, which no policy selects", subject)
	case peer.Pod == nil && peer.Node != "" && subject.Pod.Node == "":
		return fmt.Sprintf("%s is an address of node %s, and which node %s is on is not known: traffic between a pod and its own node is always allowed", peer, peer.Node, subject)
	case peer.Pod == nil || !peer.Pod.HostNetwork:
		return ""
	case peer.Pod.Node == "" || subject.Pod.Node == "":
		return fmt.Sprintf("%s is a host-network pod and may be on the node of %s, whose traffic is always allowed: which nodes the two are on is not known", peer, subject)
	case peer.Pod.Node == subject.Pod.Node:
		return fmt.Sprintf("%s is a host-network pod on the node of %s: implementations may treat it as that node, whose traffic is always allowed", peer, subject)
	}
	return ""
}
