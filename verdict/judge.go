package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
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

// Judge decides about one connection: egress of its source and ingress of its
// target must both allow it. A pod that no policy isolates in a direction may
// do everything there; one that some policy isolates may do what the union of
// those policies allows; answers of an allowed connection are allowed. A pod
// always reaches itself, and its own node always reaches it.
func (w World) Judge(c Conn) Verdict {
	c.Protocol = cmp.Or(c.Protocol, corev1.ProtocolTCP)
	if why := c.unjudgeable(); why != "" {
		s := Side{Reason: why}
		return Verdict{Egress: s, Ingress: s, Reason: why}
	}
	v := Verdict{Egress: w.side(c, egress), Ingress: w.side(c, ingress)}
	worst := v.Egress
	if rank(v.Ingress.Decision) > rank(v.Egress.Decision) {
		worst = v.Ingress
	}
	v.Decision, v.Reason = worst.Decision, worst.Reason
	if v.Decision == Allow {
		v.Reason = v.Egress.Reason + "; " + v.Ingress.Reason
	}
	return v
}

func rank(d Decision) int {
	return slices.Index([]Decision{Allow, Unknown, Deny}, d)
}

// unjudgeable says what is wrong with the connection itself; empty: nothing.
func (c Conn) unjudgeable() string {
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
func (c Conn) understood() bool {
	return c.Protocol == corev1.ProtocolTCP || c.Protocol == corev1.ProtocolUDP || c.Protocol == corev1.ProtocolSCTP
}

// ends returns the end whose policies decide in the direction, and its peer.
func (c Conn) ends(d networkingv1.PolicyType) (subject, peer End) {
	if d == egress {
		return c.From, c.To
	}
	return c.To, c.From
}

func (c Conn) toItself() bool {
	a, b := c.From.Pod, c.To.Pod
	return a != nil && b != nil && (a == b || a.Name != "" && a.Key() == b.Key())
}

func (w World) side(c Conn, d networkingv1.PolicyType) Side {
	subject, _ := c.ends(d)
	switch {
	case subject.Pod == nil:
		return Side{Decision: Allow, Rule: outside, Reason: subject.String() + " is outside: policies select pods only"}
	case c.toItself():
		return Side{Decision: Allow, Rule: samePod, Reason: "a pod cannot block access to itself"}
	case d == ingress && c.FromNode:
		return Side{Decision: Allow, Rule: ownNode, Reason: "traffic from the node that a pod runs on is always allowed"}
	}
	s := w.union(c, d)
	if why := c.undefined(d); why != "" && s.Policy != "" && (s.Decision == Deny || !c.understood()) {
		return Side{Policy: s.Policy, Rule: s.Rule, Reason: why}
	}
	return s
}

// undefined says why implementations may let through what the rules deny, by
// the clauses of the specification that leave it open; empty: they may not.
func (c Conn) undefined(d networkingv1.PolicyType) string {
	subject, peer := c.ends(d)
	switch {
	case !c.understood():
		return fmt.Sprintf("v1 defines policies for TCP, UDP and SCTP only, not for %s", c.Protocol)
	case subject.Pod.HostNetwork:
		return fmt.Sprintf("%s is a host-network pod: implementations may treat it as its node, which no policy selects", subject)
	case peer.Pod != nil && peer.Pod.HostNetwork && peer.Pod.Node != "" && peer.Pod.Node == subject.Pod.Node:
		return fmt.Sprintf("%s is a host-network pod on the node of %s: implementations may treat it as that node, whose traffic is always allowed", peer, subject)
	}
	return ""
}

// opinion is what one policy that may isolate the subject says.
type opinion struct {
	policy   Policy
	isolates answer // never no
	allows   answer
	rule     int // index of the rule behind allows, -1 for none
}

// opinions are sorted by policy name, so that the answer does not depend on the
// order in which policies were listed.
func (w World) opinions(c Conn, d networkingv1.PolicyType) []opinion {
	subject, _ := c.ends(d)
	var all []opinion
	for _, p := range w.Policies {
		isolates := p.isolates(*subject.Pod, d)
		if isolates.is == no {
			continue
		}
		o := opinion{policy: p, isolates: isolates, allows: never, rule: -1}
		for i, r := range rulesOf(p.Spec, d) {
			if a := w.allows(p.Namespace, r, c, d); a.is == yes || a.is == maybe && o.allows.is == no {
				o.allows, o.rule = a, i
			}
			if o.allows.is == yes {
				break
			}
		}
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b opinion) int { return strings.Compare(a.policy.Key(), b.policy.Key()) })
	return all
}

// union combines the policies that isolate the subject: additive, allow-only.
func (w World) union(c Conn, d networkingv1.PolicyType) Side {
	subject, _ := c.ends(d)
	all := w.opinions(c, d)
	if len(all) == 0 {
		return Side{Decision: Allow, Rule: notIsolated, Reason: fmt.Sprintf("no policy isolates %s for %s", subject, word(d))}
	}
	isolated := slices.ContainsFunc(all, func(o opinion) bool { return o.isolates.is == yes })
	unanimous := !slices.ContainsFunc(all, func(o opinion) bool { return o.allows.is != yes })
	for _, o := range all {
		if o.allows.is == yes && (o.isolates.is == yes || unanimous) {
			rule := fmt.Sprintf("%s %s[%d]", o.policy.Key(), word(d), o.rule)
			return Side{Decision: Allow, Policy: o.policy.Key(), Rule: rule, Reason: rule + " allows it"}
		}
	}
	for _, o := range all {
		doubt := both(o.isolates, o.allows)
		if !isolated && doubt.is == no {
			doubt = o.isolates
		}
		if doubt.is == maybe {
			return Side{Policy: o.policy.Key(), Rule: doubt.why, Reason: doubt.why}
		}
	}
	p := w.blame(all, c, d)
	rule := denial(p, c, d)
	return Side{Decision: Deny, Policy: p.Key(), Rule: rule, Reason: rule}
}

func denial(p Policy, c Conn, d networkingv1.PolicyType) string {
	_, peer := c.ends(d)
	preposition := map[networkingv1.PolicyType]string{egress: "to", ingress: "from"}[d]
	return fmt.Sprintf("%s %s: no rule allows %d/%s %s %s", p.Key(), word(d), c.Port, c.Protocol, preposition, peer)
}

func word(d networkingv1.PolicyType) string { return strings.ToLower(string(d)) }
