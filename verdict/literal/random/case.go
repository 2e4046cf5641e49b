package random

import (
	"github.com/tightrope-dev/tightrope/verdict"
)

// Case is a connection to judge in a world that has changed. It is written as
// YAML where two readings disagree about it.
type Case struct {
	Comment string
	World   verdict.World
	Pods    []verdict.Pod
	Changes []Change `json:",omitempty"`
	Conn    verdict.Conn
}

// Now returns the world and its pods after all changes.
func (c Case) Now() (verdict.World, []verdict.Pod) {
	w, pods := c.World, c.Pods
	for _, change := range c.Changes {
		w, pods = change.Then(w, pods)
	}
	return w, pods
}

// Smaller returns cases that lack one thing of this one, those that lack most
// first.
func (c Case) Smaller() []Case {
	var all []Case
	add := func(edit func(*Case)) {
		next := c
		edit(&next)
		all = append(all, next)
	}
	for i := range c.Changes {
		add(func(n *Case) { n.Changes = cut(c.Changes, i) })
	}
	for i := range c.World.Policies {
		add(func(n *Case) { n.World.Policies = cut(c.World.Policies, i) })
	}
	for i := range c.World.ClusterPolicies {
		add(func(n *Case) { n.World.ClusterPolicies = cut(c.World.ClusterPolicies, i) })
	}
	for i := range c.World.Foreign {
		add(func(n *Case) { n.World.Foreign = cut(c.World.Foreign, i) })
	}
	for i := range c.World.Nodes {
		add(func(n *Case) { n.World.Nodes = cut(c.World.Nodes, i) })
	}
	for i := range c.Pods {
		add(func(n *Case) { n.Pods = cut(c.Pods, i) })
	}
	for i, p := range c.World.Policies {
		for _, smaller := range smallerPolicies(p) {
			add(func(n *Case) { n.World.Policies = replaced(c.World.Policies, i, smaller) })
		}
	}
	for i, p := range c.World.ClusterPolicies {
		for _, smaller := range smallerClusterPolicies(p) {
			add(func(n *Case) { n.World.ClusterPolicies = replaced(c.World.ClusterPolicies, i, smaller) })
		}
	}
	for i, change := range c.Changes {
		if change.SetPolicy == nil {
			continue
		}
		for _, smaller := range smallerPolicies(*change.SetPolicy) {
			add(func(n *Case) { n.Changes = replaced(c.Changes, i, Change{SetPolicy: &smaller}) })
		}
	}
	return all
}

func cut[T any](all []T, i int) []T {
	return append(append([]T{}, all[:i]...), all[i+1:]...)
}

func replaced[T any](all []T, i int, by T) []T {
	next := append([]T{}, all...)
	next[i] = by
	return next
}

// smallerPolicies are the policy without a rule, a peer, a port or an except.
func smallerPolicies(p verdict.Policy) []verdict.Policy {
	var all []verdict.Policy
	edit := func(f func(*verdict.Policy)) {
		next := p
		next.Spec = *p.Spec.DeepCopy()
		f(&next)
		all = append(all, next)
	}
	for r, rule := range p.Spec.Ingress {
		edit(func(n *verdict.Policy) { n.Spec.Ingress = cut(n.Spec.Ingress, r) })
		for i := range rule.From {
			edit(func(n *verdict.Policy) { n.Spec.Ingress[r].From = cut(n.Spec.Ingress[r].From, i) })
			if b := rule.From[i].IPBlock; b != nil && len(b.Except) > 0 {
				edit(func(n *verdict.Policy) { b := n.Spec.Ingress[r].From[i].IPBlock; b.Except = b.Except[1:] })
			}
		}
		for i := range rule.Ports {
			edit(func(n *verdict.Policy) { n.Spec.Ingress[r].Ports = cut(n.Spec.Ingress[r].Ports, i) })
		}
	}
	for r, rule := range p.Spec.Egress {
		edit(func(n *verdict.Policy) { n.Spec.Egress = cut(n.Spec.Egress, r) })
		for i := range rule.To {
			edit(func(n *verdict.Policy) { n.Spec.Egress[r].To = cut(n.Spec.Egress[r].To, i) })
			if b := rule.To[i].IPBlock; b != nil && len(b.Except) > 0 {
				edit(func(n *verdict.Policy) { b := n.Spec.Egress[r].To[i].IPBlock; b.Except = b.Except[1:] })
			}
		}
		for i := range rule.Ports {
			edit(func(n *verdict.Policy) { n.Spec.Egress[r].Ports = cut(n.Spec.Egress[r].Ports, i) })
		}
	}
	return all
}

// smallerClusterPolicies are the policy without a rule, a peer or a protocol.
func smallerClusterPolicies(p verdict.ClusterPolicy) []verdict.ClusterPolicy {
	var all []verdict.ClusterPolicy
	edit := func(f func(*verdict.ClusterPolicy)) {
		next := p
		next.Spec = *p.Spec.DeepCopy()
		f(&next)
		all = append(all, next)
	}
	for r, rule := range p.Spec.Ingress {
		edit(func(n *verdict.ClusterPolicy) { n.Spec.Ingress = cut(n.Spec.Ingress, r) })
		for i := range rule.From {
			edit(func(n *verdict.ClusterPolicy) { n.Spec.Ingress[r].From = cut(n.Spec.Ingress[r].From, i) })
		}
		for i := range rule.Protocols {
			edit(func(n *verdict.ClusterPolicy) { n.Spec.Ingress[r].Protocols = cut(n.Spec.Ingress[r].Protocols, i) })
		}
	}
	for r, rule := range p.Spec.Egress {
		edit(func(n *verdict.ClusterPolicy) { n.Spec.Egress = cut(n.Spec.Egress, r) })
		for i := range rule.To {
			edit(func(n *verdict.ClusterPolicy) { n.Spec.Egress[r].To = cut(n.Spec.Egress[r].To, i) })
		}
		for i := range rule.Protocols {
			edit(func(n *verdict.ClusterPolicy) { n.Spec.Egress[r].Protocols = cut(n.Spec.Egress[r].Protocols, i) })
		}
	}
	return all
}
