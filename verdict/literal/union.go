package literal

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// opinion is what one policy that may isolate the subject says.
type opinion struct {
	policy   verdict.Policy
	isolates answer // never no
	allows   answer
	rule     int // index of the rule behind allows, -1 for none
}

// opinions are sorted by policy name, so that the answer does not depend on the
// order in which policies were listed.
func (w world) opinions(c run, d networkingv1.PolicyType) []opinion {
	subject, _ := c.ends(d)
	var all []opinion
	for _, p := range w.Policies {
		isolates := isolates(p, *subject.Pod, d)
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

// networkPolicies combines the policies that isolate the subject: a pod that
// none isolates may do everything (or what tier Baseline says); one that some
// isolate may do what the union of those allows.
func (w world) networkPolicies(c run, d networkingv1.PolicyType) (verdict.Side, outcomes) {
	all := w.opinions(c, d)
	s, may := w.union(all, c, d), possible(all)
	why := undefined(c, d)
	if why == "" || s.Policy == "" {
		return s, may
	}
	if !understood(c.Protocol) {
		may |= setOf(accept, deny)
	} else if may.has(deny) {
		may |= setOf(accept)
	}
	if s.Decision == verdict.Deny || !understood(c.Protocol) {
		return verdict.Side{Policy: s.Policy, Rule: s.Rule, Reason: why}, may
	}
	return s, may
}

// undefined says why implementations may let through what the rules deny, by
// the clauses of the specification that leave it open; empty: they may not.
func undefined(c run, d networkingv1.PolicyType) string {
	subject, peer := c.ends(d)
	switch {
	case !understood(c.Protocol):
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

// possible is what the union may come to: Accept and Deny, or None where the
// subject may not be isolated.
func possible(all []opinion) outcomes {
	sure := slices.ContainsFunc(all, func(o opinion) bool { return o.isolates.is == yes })
	var may outcomes
	for _, o := range all {
		if o.isolates.is == yes && o.allows.is == yes {
			return setOf(accept)
		}
		if o.allows.is != no {
			may |= setOf(accept)
		}
		if o.allows.is != yes {
			may |= setOf(deny)
		}
	}
	if sure {
		return may | setOf(deny) // no policy that certainly isolates certainly allows
	}
	return may | setOf(none)
}

// union says what possible says, with the policy and the reason.
func (w world) union(all []opinion, c run, d networkingv1.PolicyType) verdict.Side {
	subject, _ := c.ends(d)
	if len(all) == 0 {
		return verdict.Side{Decision: verdict.Allow, Rule: notIsolated, Reason: fmt.Sprintf("no policy isolates %s for %s", subject, word(d))}
	}
	isolated := slices.ContainsFunc(all, func(o opinion) bool { return o.isolates.is == yes })
	unanimous := !slices.ContainsFunc(all, func(o opinion) bool { return o.allows.is != yes })
	for _, o := range all {
		if o.allows.is == yes && (o.isolates.is == yes || unanimous) {
			rule := fmt.Sprintf("%s %s[%d]", o.policy.Key(), word(d), o.rule)
			return verdict.Side{Decision: verdict.Allow, Policy: o.policy.Key(), Rule: rule, Reason: rule + " allows it"}
		}
	}
	for _, o := range all {
		doubt := both(o.isolates, o.allows)
		if !isolated && doubt.is == no {
			doubt = o.isolates
		}
		if doubt.is == maybe {
			return verdict.Side{Policy: o.policy.Key(), Rule: doubt.why, Reason: doubt.why}
		}
	}
	p := w.blame(all, c, d)
	rule := denial(p, c, d)
	return verdict.Side{Decision: verdict.Deny, Policy: p.Key(), Rule: rule, Reason: rule}
}

func denial(p verdict.Policy, c run, d networkingv1.PolicyType) string {
	_, peer := c.ends(d)
	preposition := map[networkingv1.PolicyType]string{egress: "to", ingress: "from"}[d]
	return fmt.Sprintf("%s %s: no rule allows %d/%s %s %s", p.Key(), word(d), c.Port, c.Protocol, preposition, peer)
}

func word(d networkingv1.PolicyType) string { return strings.ToLower(string(d)) }
