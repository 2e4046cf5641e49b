package verdict

import "slices"

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
func (s *Snapshot) blame(all []opinion, r *run, d direction) *networkPolicy {
	var worst *networkPolicy
	var most [4]int
	for _, o := range all {
		if o.isolates.is != yes {
			continue
		}
		g := s.guilt(o.policy, r, d)
		if worst == nil || slices.Compare(g[:], most[:]) > 0 { // the first of equals, and they are sorted by name
			worst, most = o.policy, g
		}
	}
	return worst
}

func (s *Snapshot) guilt(p *networkPolicy, r *run, d direction) [4]int {
	rules := p.read().rules[d]
	requirements := len(p.Spec.PodSelector.MatchLabels) + len(p.Spec.PodSelector.MatchExpressions)
	specific, hasRules, near := 0, 0, 0
	if requirements+len(rules) > 0 {
		specific = 1
	}
	if len(rules) > 0 {
		hasRules = 1
	}
	for i := range rules {
		if anyPort(rules[i].ports, r).is == yes {
			near = max(near, 1)
		}
		if s.anyPeer(rules[i].peers, r, d).is == yes {
			near = max(near, 2)
		}
	}
	return [4]int{specific, hasRules, near, requirements}
}
