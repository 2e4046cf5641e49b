package literal

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// blame names the policy that a person should look at first when several
// isolate the pod and none allows the connection. Logically they all deny it
// together; but the missing rule is nearly always missing from the policy that
// is about this workload, not from the default deny that covers everything. So:
//
//  1. not a bare default deny ({} selector, no rule in the direction);
//  2. one that has rules in the direction;
//  3. the one whose rules come nearest: one lists the peer but not the port
//     (most telling), or the port but not the peer. What a rule leaves open
//     counts for nothing, or "port 53 to anywhere" would be near everything;
//  4. the one with the narrowest selector, by number of requirements;
//  5. the first by name, so that the answer is stable.
func (w world) blame(all []opinion, c run, d networkingv1.PolicyType) verdict.Policy {
	sure := slices.DeleteFunc(slices.Clone(all), func(o opinion) bool { return o.isolates.is != yes })
	return slices.MaxFunc(sure, func(a, b opinion) int { // the first of equals, and they are sorted by name
		return slices.Compare(w.guilt(a.policy, c, d), w.guilt(b.policy, c, d))
	}).policy
}

func (w world) guilt(p verdict.Policy, c run, d networkingv1.PolicyType) []int {
	rules := rulesOf(p.Spec, d)
	requirements := len(p.Spec.PodSelector.MatchLabels) + len(p.Spec.PodSelector.MatchExpressions)
	specific, hasRules, near := 0, 0, 0
	if requirements+len(rules) > 0 {
		specific = 1
	}
	if len(rules) > 0 {
		hasRules = 1
	}
	for _, r := range rules {
		if anyPort(r.ports, c).is == yes {
			near = max(near, 1)
		}
		if w.anyPeer(p.Namespace, r.peers, c, d).is == yes {
			near = max(near, 2)
		}
	}
	return []int{specific, hasRules, near, requirements}
}
