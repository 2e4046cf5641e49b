package verdict

import (
	"fmt"
	"slices"
)

// opinion is what one policy that may isolate the subject says.
type opinion struct {
	policy   *networkPolicy
	isolates answer // never no
	allows   answer
	rule     int // index of the rule behind allows, -1 for none
}

// opinions are sorted by the names of policies, as those of a namespace are.
func (s *Snapshot) opinions(r *run, d direction) []opinion {
	subject, _ := r.ends(d)
	space, ok := s.spaces.get(subject.Pod.Namespace)
	if !ok {
		return nil
	}
	var all []opinion
	for _, p := range space.policies {
		isolates := p.isolates(subject.Pod, d)
		if isolates.is == no {
			continue
		}
		o := opinion{policy: p, isolates: isolates, allows: never, rule: -1}
		for i := range p.read().rules[d] {
			if a := s.allows(&p.read().rules[d][i], r, d); a.is == yes || a.is == maybe && o.allows.is == no {
				o.allows, o.rule = a, i
			}
			if o.allows.is == yes {
				break
			}
		}
		all = append(all, o)
	}
	return all
}

func (s *Snapshot) allows(u *rule, r *run, d direction) answer {
	peer, port := always, always
	if len(u.peers) > 0 {
		peer = s.anyPeer(u.peers, r, d)
	}
	if len(u.ports) > 0 {
		port = anyPort(u.ports, r)
	}
	return both(peer, port)
}

func anyPort(ports []portRange, r *run) answer {
	a := never
	for i := range ports {
		a = either(a, ports[i].matches(r.Port, r.Protocol, r.declared()))
	}
	return a
}

func (s *Snapshot) anyPeer(peers []peer, r *run, d direction) answer {
	_, end := r.ends(d)
	a := never
	for i := range peers {
		a = either(a, s.matchesPeer(&peers[i], end, r, d))
	}
	return a
}

func (s *Snapshot) matchesPeer(p *peer, end *End, r *run, d direction) answer {
	switch {
	case p.invalid != "":
		return answer{why: p.invalid}
	case p.block != nil:
		a := p.block.matches(r.addrs[d])
		if a.is == maybe && len(r.addrs[d]) > 0 && end.Pod != nil && len(end.Pod.IPs) == 0 {
			return unsure("ipBlock %s: it covers a part of where the address of %s may be", p.block.text, end)
		}
		return a
	case end.Pod == nil:
		return never
	}
	a := known(end.Pod.Namespace == p.own)
	if p.namespaces != nil {
		a = s.matchesNamespace(p.namespaces, end.Pod.Namespace)
	}
	if p.pods != nil {
		a = both(a, p.pods.matches(end.Pod.Labels))
	}
	if end.Pod.HostNetwork && a.is == yes {
		return unsure("%s is a host-network pod: implementations may see its node's address instead of its labels", end)
	}
	return a
}

func (s *Snapshot) matchesNamespace(sel *selector, name string) answer {
	if sel.everything() {
		return always
	}
	space, ok := s.spaces.get(name)
	if !ok || !space.known {
		return unsure("the labels of namespace %s are not known", name)
	}
	return sel.matches(space.labels)
}

// networkPolicies combines the policies that isolate the subject: a pod that
// none isolates may do everything (or what tier Baseline says); one that some
// isolate may do what the union of those allows.
func (s *Snapshot) networkPolicies(r *run, d direction) (Side, outcomes) {
	all := s.opinions(r, d)
	side, may := s.combine(all, r, d), possible(all)
	why := r.undefined(d)
	if why == "" || side.Policy == "" {
		return side, may
	}
	if !r.understood() {
		may |= accepted | denied
	} else if may&denied != 0 {
		may |= accepted
	}
	if side.Decision == Deny || !r.understood() {
		return Side{Policy: side.Policy, Rule: side.Rule, Reason: why}, may
	}
	return side, may
}

// possible is what the union may come to: it accepts or denies, or leaves it to
// the next tier where the subject may not be isolated.
func possible(all []opinion) outcomes {
	var may outcomes
	sure := false
	for _, o := range all {
		if o.isolates.is == yes && o.allows.is == yes {
			return accepted
		}
		sure = sure || o.isolates.is == yes
		if o.allows.is != no {
			may |= accepted
		}
		if o.allows.is != yes {
			may |= denied
		}
	}
	if sure {
		return may | denied // no policy that certainly isolates certainly allows
	}
	return may | open
}

// combine says what possible says, with the policy and the reason, as if there
// were no other tier.
func (s *Snapshot) combine(all []opinion, r *run, d direction) Side {
	subject, _ := r.ends(d)
	if len(all) == 0 {
		return Side{Decision: Allow, Rule: notIsolated, Reason: fmt.Sprintf("no policy isolates %s for %s", subject, d)}
	}
	isolated := slices.ContainsFunc(all, func(o opinion) bool { return o.isolates.is == yes })
	unanimous := !slices.ContainsFunc(all, func(o opinion) bool { return o.allows.is != yes })
	for _, o := range all {
		if o.allows.is == yes && (o.isolates.is == yes || unanimous) {
			rule := fmt.Sprintf("%s %s[%d]", o.policy.Key(), d, o.rule)
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
	p := s.blame(all, r, d)
	rule := denial(p, r, d)
	return Side{Decision: Deny, Policy: p.Key(), Rule: rule, Reason: rule}
}

func denial(p *networkPolicy, r *run, d direction) string {
	_, peer := r.ends(d)
	return fmt.Sprintf("%s %s: no rule allows %d/%s %s %s", p.Key(), d, r.Port, r.Protocol, [2]string{"to", "from"}[d], peer)
}
