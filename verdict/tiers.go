package verdict

import (
	"cmp"
	"fmt"

	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// outcomes is the set of what a policy or a tier may come to for a connection.
// It has one element where nothing is in doubt. Doubts are taken to have nothing
// to do with each other.
type outcomes uint8

const (
	open     outcomes = 1 << iota // nothing in it matches
	accepted                      // the connection is allowed, finally
	denied                        // it is denied, finally
	passed                        // the next tier decides
)

// then is what may come of it if the next one decides where this one has the
// outcome over.
func (s outcomes) then(over, next outcomes) outcomes {
	if s&over != 0 {
		return s&^over | next
	}
	return s
}

// ruling is what a tier may come to, with the first rule that matters.
type ruling struct {
	may                 outcomes
	policy, rule, doubt string
}

// tiers decides at the end of a connection that policies select: "Policy tiers
// are evaluated in the following order: Admin tier, NetworkPolicy tier, Baseline
// tier." What no tier decides is allowed: "the default kubernetes policy is
// applied, which says that all pods can communicate with each other".
func (s *Snapshot) tiers(r *run, d direction) Side {
	side, namespaced := s.networkPolicies(r, d)
	if len(s.cluster.policies) == 0 {
		return side
	}
	for _, p := range s.cluster.policies {
		if why := s.strange(p, r, d); why != "" {
			return Side{Policy: p.Name, Rule: why, Reason: why}
		}
	}
	admin, baseline := s.tier(v1alpha2.AdminTier, r, d), s.tier(v1alpha2.BaselineTier, r, d)
	if admin.may == open && (namespaced&open == 0 || baseline.may == open) {
		return side // no ClusterNetworkPolicy has a say
	}
	by := decisive(admin, side, baseline)
	switch inOrder(admin.may, namespaced, baseline.may) {
	case accepted:
		by.Decision, by.Reason = Allow, cmp.Or(by.Reason, by.Rule+" allows it")
		return by
	case denied:
		by.Decision, by.Reason = Deny, cmp.Or(by.Reason, by.Rule+" denies it")
		return by
	}
	why := cmp.Or(admin.doubt, baseline.doubt, side.Reason)
	return Side{Policy: cmp.Or(admin.policy, side.Policy, baseline.policy), Rule: why, Reason: why}
}

// inOrder: "v1.NetworkPolicy always makes a final decision for selected pods.
// Further evaluation only happens for Pods not selected by a v1.NetworkPolicy."
func inOrder(admin, namespaced, baseline outcomes) outcomes {
	last := baseline.then(passed, accepted).then(open, accepted)
	middle := namespaced.then(open, last)
	return admin.then(passed, middle).then(open, middle)
}

// decisive is the policy and the rule of the tier that a decision comes from. A
// policy that passes is not it: the next tier decides.
func decisive(admin ruling, side Side, baseline ruling) Side {
	switch {
	case admin.may&(passed|open) == 0:
		return Side{Policy: admin.policy, Rule: admin.rule}
	case side.Policy == "" && baseline.rule != "":
		return Side{Policy: baseline.policy, Rule: baseline.rule}
	}
	return side
}

// tier reads the policies of one tier: "Policies with lower priority values have
// higher precedence, and are checked before policies with higher priority
// values in the same tier."
//
// "If two (or more) policies in the same tier with the same priority could match
// a connection, then the implementation can apply any of the matching policies
// to the connection."
func (s *Snapshot) tier(t v1alpha2.Tier, r *run, d direction) ruling {
	result := ruling{may: open}
	all := s.cluster.policies
	for i := 0; i < len(all) && result.may&open != 0; {
		priority := all[i].Spec.Priority
		var equals ruling
		nobody, several := true, 0
		for ; i < len(all) && all[i].Spec.Priority == priority; i++ {
			if all[i].Spec.Tier != t {
				continue
			}
			one := s.clusterPolicy(all[i], r, d)
			nobody, several = nobody && one.may&open != 0, several+1
			equals = equals.before(one, equals.may|one.may&^open)
		}
		if nobody {
			equals.may |= open
		}
		if equals.doubt == "" && equals.may != open && several > 1 {
			equals.doubt = fmt.Sprintf("policies of priority %d in tier %s differ: implementations may apply any of them", priority, t)
		}
		result = result.before(equals, result.may.then(open, equals.may))
	}
	return result
}

// before keeps what r has to say, and takes from the next what r has not.
func (r ruling) before(next ruling, may outcomes) ruling {
	return ruling{may, cmp.Or(r.policy, next.policy), cmp.Or(r.rule, next.rule), cmp.Or(r.doubt, next.doubt)}
}

// clusterPolicy reads the rules of one policy, in their order: "a rule that
// appears at the top of the ingress rules would take the highest precedence".
// There is no implicit isolation: where no rule matches, it says nothing.
func (s *Snapshot) clusterPolicy(p *clusterPolicy, r *run, d direction) ruling {
	subject, _ := r.ends(d)
	selected := s.selects(p, subject.Pod)
	result := ruling{may: open}
	if selected.is == no {
		return result
	}
	for i := range p.rules[d] {
		action, matches := s.applies(&p.rules[d][i], r, d)
		if matches.is == no {
			continue
		}
		if result.rule == "" {
			result.policy, result.rule = p.Name, fmt.Sprintf("ClusterNetworkPolicy %s %s[%d] %s", p.Name, d, i, p.rules[d][i].text)
		}
		result.doubt = cmp.Or(result.doubt, matches.why)
		if matches.is == yes {
			result.may = result.may.then(open, action)
			break
		}
		result.may |= action
	}
	if selected.is == maybe {
		result.may |= open
		result.doubt = cmp.Or(result.doubt, selected.why)
	}
	return result
}

// applies says whether the rule matches the connection and what it then does.
func (s *Snapshot) applies(u *clusterRule, r *run, d direction) (outcomes, answer) {
	if u.failClosed {
		if u.action == accepted {
			return 0, never
		}
		return denied, always
	}
	matches := both(s.anyClusterPeer(u.peers, r, d), anyClusterPort(u.ports, r))
	if matches.is == yes && u.invalid != "" {
		matches = answer{why: u.invalid}
	}
	if u.action&(u.action-1) != 0 && matches.is != no {
		return u.action, unsure("a rule's action %q is invalid", u.text)
	}
	return u.action, matches
}

// anyClusterPeer: "This field must be defined and contain at least one item."
func (s *Snapshot) anyClusterPeer(peers []clusterPeer, r *run, d direction) answer {
	if len(peers) == 0 {
		return unsure("a rule without peers is invalid")
	}
	_, end := r.ends(d)
	a := never
	for i := range peers {
		a = either(a, s.matchesClusterPeer(&peers[i], end, r.addrs[d]))
	}
	return a
}

// anyClusterPort: "If unspecified, protocol-specific attributes will not be used
// to match traffic."
func anyClusterPort(ports []portRange, r *run) answer {
	if len(ports) == 0 {
		return always
	}
	return anyPort(ports, r)
}

// strange says that the policy cannot be read at all; empty: it can, or it does
// not select the subject.
func (s *Snapshot) strange(p *clusterPolicy, r *run, d direction) string {
	subject, _ := r.ends(d)
	known := p.Spec.Tier == v1alpha2.AdminTier || p.Spec.Tier == v1alpha2.BaselineTier
	if known || len(p.read().rules[d]) == 0 || s.selects(p, subject.Pod).is == no {
		return ""
	}
	return fmt.Sprintf("ClusterNetworkPolicy %s is invalid: there is no tier %q", p.Name, p.Spec.Tier)
}
