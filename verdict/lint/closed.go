package lint

import (
	"fmt"
	"slices"
)

// ingressClosed finds pods that a Service leads to and that nobody may connect
// to: what isolates them has no rule at all. Whoever is to call them is cut off,
// the ingress controller, metrics and replicas among them.
func ingressClosed(v *view) []draft {
	groups := map[*policy][]*class{}
	led := v.passed() // of these ingress-controller-forgotten tells, of deaf ones dns-closed
	for _, c := range v.classes {
		isolating := v.isolated[c][ingress]
		if len(isolating) == 0 || c.HostNetwork || len(c.services) == 0 || v.anyIngress(c) || slices.Contains(v.deaf, c) || slices.ContainsFunc(led, func(p passed) bool { return p.class == c }) {
			continue
		}
		groups[isolating[0]] = append(groups[isolating[0]], c)
	}
	var drafts []draft
	for _, p := range v.policies {
		if len(groups[p]) == 0 || len(p.Spec.PolicyTypes) == 0 && len(p.Spec.Egress) > 0 {
			continue // policy-types-missing says it of a policy that was not meant for ingress
		}
		fix := "Allow ingress on the ports of the Services from those who call them, or delete the Services."
		if slices.ContainsFunc(groups[p], resolves) {
			fix = "Allow ingress on the ports of the Services from those who call them: the cluster's DNS from every namespace."
		}
		drafts = append(drafts, draft{
			policy: p, at: at("spec", "podSelector"), severity: Warning,
			what: fmt.Sprintf("Nobody may connect to %s, which Services lead to.", names(groups[p])),
			why:  v.isolators(groups[p][0], ingress) + ", without any ingress rule; only the pods' own node gets through.",
			fix:  fix,
		})
	}
	return drafts
}

// anyIngress reports whether some policy may let somebody in.
func (v *view) anyIngress(c *class) bool {
	for _, p := range v.isolated[c][ingress] {
		if len(p.rules(ingress)) > 0 {
			return true
		}
	}
	return len(v.world.ClusterPolicies) > 0 || v.foreign(c.Namespace)
}
