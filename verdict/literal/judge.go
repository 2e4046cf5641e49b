package literal

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// What a side's Rule says where no policy decides.
const (
	notIsolated = "not isolated"
	samePod     = "same pod"
	ownNode     = "own node"
	outside     = "outside the cluster"
)

const (
	ingress = networkingv1.PolicyTypeIngress
	egress  = networkingv1.PolicyTypeEgress
)

// world has the readings of policies as methods.
type world verdict.World

// Judge decides about one connection: egress of its source and ingress of its
// target must both allow it; answers of an allowed connection are allowed. A
// connection that may run over one of several families, or between addresses
// of which one is not known, is judged in each way: it is Unknown where they
// differ.
func Judge(w verdict.World, c verdict.Conn) verdict.Verdict {
	c.Protocol = cmp.Or(c.Protocol, corev1.ProtocolTCP)
	if why := unjudgeable(c); why != "" {
		s := verdict.Side{Reason: why}
		return verdict.Verdict{Egress: s, Ingress: s, Reason: why}
	}
	var all []verdict.Verdict
	for _, r := range runs(c) {
		all = append(all, world(w).judge(r))
	}
	return together(all)
}

func (w world) judge(c run) verdict.Verdict {
	v := verdict.Verdict{Egress: w.side(c, egress), Ingress: w.side(c, ingress)}
	worst := v.Egress
	if rank(v.Ingress.Decision) > rank(v.Egress.Decision) {
		worst = v.Ingress
	}
	v.Decision, v.Reason = worst.Decision, worst.Reason
	if v.Decision == verdict.Allow {
		v.Reason = v.Egress.Reason + "; " + v.Ingress.Reason
	}
	return v
}

func rank(d verdict.Decision) int {
	return slices.Index([]verdict.Decision{verdict.Allow, verdict.Unknown, verdict.Deny}, d)
}

// together is what the verdicts of all runs have in common.
func together(all []verdict.Verdict) verdict.Verdict {
	v := all[0]
	var decisions []verdict.Decision
	var in, out []verdict.Side
	for _, one := range all {
		decisions, out, in = append(decisions, one.Decision), append(out, one.Egress), append(in, one.Ingress)
	}
	v.Egress, v.Ingress = common(out), common(in)
	if differ(decisions) {
		v.Decision, v.Reason = verdict.Unknown, fmt.Sprintf("it depends on the address family: %s, or %s", all[0].Reason, all[1].Reason)
	}
	return v
}

func common(all []verdict.Side) verdict.Side {
	for _, s := range all[1:] {
		if s.Decision != all[0].Decision {
			why := fmt.Sprintf("it depends on the address family: %s, or %s", all[0].Reason, s.Reason)
			return verdict.Side{Policy: cmp.Or(all[0].Policy, s.Policy), Rule: why, Reason: why}
		}
	}
	return all[0]
}

func differ(all []verdict.Decision) bool { return len(slices.Compact(slices.Clone(all))) > 1 }

// unjudgeable says what is wrong with the connection itself; empty: nothing.
func unjudgeable(c verdict.Conn) string {
	switch {
	case c.From.Pod == nil && c.To.Pod == nil:
		return "neither end is a pod, so NetworkPolicy says nothing about it"
	case understood(c.Protocol) && (c.Port < 1 || c.Port > 65535):
		return fmt.Sprintf("%d is no port: give one from 1 to 65535", c.Port)
	}
	return ""
}

// understood reports whether v1 defines policies for the protocol. "For all
// other protocols, the behaviour may vary across network plugins."
func understood(p corev1.Protocol) bool {
	return p == corev1.ProtocolTCP || p == corev1.ProtocolUDP || p == corev1.ProtocolSCTP
}

func toItself(c run) bool {
	a, b := c.From.Pod, c.To.Pod
	return a != nil && b != nil && (a == b || a.Name != "" && a.Key() == b.Key())
}

// side decides at one end. A pod always reaches itself ("a pod cannot block
// access to itself"; "a Pod connecting directly to its own Pod IP is never
// subject to ClusterNetworkPolicy enforcement"), and its own node always
// reaches it ("or if the traffic source is the pod's local node").
func (w world) side(c run, d networkingv1.PolicyType) verdict.Side {
	subject, peer := c.ends(d)
	switch {
	case subject.Pod == nil:
		return verdict.Side{Decision: verdict.Allow, Rule: outside, Reason: subject.String() + " is outside: policies select pods only"}
	case toItself(c):
		return verdict.Side{Decision: verdict.Allow, Rule: samePod, Reason: "a pod cannot block access to itself"}
	case d == ingress && c.FromNode:
		return verdict.Side{Decision: verdict.Allow, Rule: ownNode, Reason: "traffic from the node that a pod runs on is always allowed"}
	case peer.Pod == nil && peer.Node != "" && peer.Node == subject.Pod.Node:
		return verdict.Side{Decision: verdict.Allow, Rule: ownNode, Reason: fmt.Sprintf("%s is an address of the node of %s, and traffic between a pod and its own node is always allowed", peer, subject)}
	}
	if why := w.foreign(*subject.Pod); why != "" {
		return verdict.Side{Rule: why, Reason: why}
	}
	return w.tiers(c, d)
}

// foreign names a policy of a kind that is not understood and that may affect
// the pod; empty: there is none.
func (w world) foreign(p verdict.Pod) string {
	for _, f := range w.Foreign {
		if f.Namespace == "" || f.Namespace == p.Namespace {
			return fmt.Sprintf("%s %s may affect %s, and policies of that kind are not understood", f.Kind, f.Name, p.Key())
		}
	}
	return ""
}
