package literal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/verdict"
)

// tiers decides at the end of a connection that policies select: "Policy tiers
// are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline
// tier." What no tier decides is allowed: "the default kubernetes policy is
// applied, which says that all pods can communicate with each other".
func (w world) tiers(c run, d networkingv1.PolicyType) verdict.Side {
	for _, p := range w.ClusterPolicies {
		if why := w.strange(p, c, d); why != "" {
			return verdict.Side{Policy: p.Name, Rule: why, Reason: why}
		}
	}
	admin := w.tier(v1alpha2.AdminTier, c, d)
	side, namespaced := w.networkPolicies(c, d)
	baseline := w.tier(v1alpha2.BaselineTier, c, d)

	last := baseline.may.then(pass, setOf(accept)).then(none, setOf(accept))
	// "v1.NetworkPolicy always makes a final decision for selected pods. Further
	// evaluation only happens for Pods not selected by a v1.NetworkPolicy."
	middle := namespaced.then(none, last)
	all := admin.may.then(pass, middle).then(none, middle)

	reached := admin.may.has(pass) || admin.may.has(none)
	switch {
	case admin.may == setOf(none) && (!namespaced.has(none) || baseline.may == setOf(none)):
		return side // no ClusterNetworkPolicy has a say
	case all == setOf(accept):
		return byTier(verdict.Allow, "allows", reached, admin, baseline, side)
	case all == setOf(deny):
		return byTier(verdict.Deny, "denies", reached, admin, baseline, side)
	}
	why := cmp.Or(admin.doubt, baseline.doubt, side.Reason)
	return verdict.Side{Policy: cmp.Or(admin.policy, side.Policy, baseline.policy), Rule: why, Reason: why}
}

// ruling is what a tier may come to, with the first rule that matters.
type ruling struct {
	may                 outcomes
	policy, rule, doubt string
}

// byTier tells of the tier that decides; tiers that pass are not it.
func byTier(d verdict.Decision, does string, reached bool, admin, baseline ruling, side verdict.Side) verdict.Side {
	r := baseline
	if !reached {
		r = admin
	} else if side.Policy != "" || baseline.rule == "" {
		side.Decision = d
		return side
	}
	return verdict.Side{Decision: d, Policy: r.policy, Rule: r.rule, Reason: r.rule + " " + does + " it"}
}

// tier reads the policies of one tier: "Policies with lower priority values have
// higher precedence, and are checked before policies with higher priority
// values in the same tier."
func (w world) tier(t v1alpha2.Tier, c run, d networkingv1.PolicyType) ruling {
	var all []verdict.ClusterPolicy
	for _, p := range w.ClusterPolicies {
		if p.Spec.Tier == t {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b verdict.ClusterPolicy) int {
		return cmp.Or(cmp.Compare(a.Spec.Priority, b.Spec.Priority), strings.Compare(a.Name, b.Name))
	})
	r := ruling{may: setOf(none)}
	for len(all) > 0 && r.may.has(none) {
		same := 1
		for same < len(all) && all[same].Spec.Priority == all[0].Spec.Priority {
			same++
		}
		next := w.equals(all[:same], c, d)
		r = ruling{r.may.then(none, next.may), cmp.Or(r.policy, next.policy), cmp.Or(r.rule, next.rule), cmp.Or(r.doubt, next.doubt)}
		all = all[same:]
	}
	return r
}

// equals reads policies of one priority: "If two (or more) policies in the same
// tier with the same priority could match a connection, then the implementation
// can apply any of the matching policies to the connection."
func (w world) equals(all []verdict.ClusterPolicy, c run, d networkingv1.PolicyType) ruling {
	var r ruling
	nobody := true // whether it may be that none of them matches
	for _, p := range all {
		one := w.clusterPolicy(p, c, d)
		nobody = nobody && one.may.has(none)
		r = ruling{r.may | one.may.without(none), cmp.Or(r.policy, one.policy), cmp.Or(r.rule, one.rule), cmp.Or(r.doubt, one.doubt)}
	}
	if nobody {
		r.may |= setOf(none)
	}
	if r.doubt == "" && r.may != setOf(none) && len(all) > 1 {
		r.doubt = fmt.Sprintf("policies of priority %d in tier %s differ: implementations may apply any of them", all[0].Spec.Priority, all[0].Spec.Tier)
	}
	return r
}

// clusterPolicy reads the rules of one policy, in their order: "a rule that
// appears at the top of the ingress rules would take the highest precedence".
// There is no implicit isolation: where no rule matches, it says nothing.
func (w world) clusterPolicy(p verdict.ClusterPolicy, c run, d networkingv1.PolicyType) ruling {
	subject, _ := c.ends(d)
	selected := w.subject(p.Spec.Subject, *subject.Pod)
	if selected.is == no {
		return ruling{may: setOf(none)}
	}
	r := ruling{may: setOf(none)}
	for i, rule := range clusterRulesOf(p.Spec, d) {
		action, matches := w.applies(rule, c, d)
		if matches.is == no {
			continue
		}
		if r.rule == "" {
			r.policy, r.rule = p.Name, fmt.Sprintf("ClusterNetworkPolicy %s %s[%d] %s", p.Name, word(d), i, rule.action)
		}
		r.doubt = cmp.Or(r.doubt, matches.why)
		if matches.is == yes {
			r.may = r.may.then(none, action)
			break
		}
		r.may |= action
	}
	if selected.is == maybe {
		r.may |= setOf(none)
		r.doubt = cmp.Or(r.doubt, selected.why)
	}
	return r
}

// strange says that the policy cannot be read at all; empty: it can, or it does
// not select the subject.
func (w world) strange(p verdict.ClusterPolicy, c run, d networkingv1.PolicyType) string {
	subject, _ := c.ends(d)
	known := p.Spec.Tier == v1alpha2.AdminTier || p.Spec.Tier == v1alpha2.BaselineTier
	if known || len(clusterRulesOf(p.Spec, d)) == 0 || w.subject(p.Spec.Subject, *subject.Pod).is == no {
		return ""
	}
	return fmt.Sprintf("ClusterNetworkPolicy %s is invalid: there is no tier %q", p.Name, p.Spec.Tier)
}
