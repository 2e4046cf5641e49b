package compile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// direction is one of the two ways of a packet, seen from the pod a policy
// selects, with the names that belong to it.
type direction struct {
	name     string // as reports spell it
	short    string // in names of chains
	dispatch string // the set that finds a pod's chain
}

var (
	ingress = direction{"ingress", "in", setIngressPods}
	egress  = direction{"egress", "out", setEgressPods}
)

const dropsSuffix = "-drops" // of the name of a pod chain, its counter

var directions = []direction{ingress, egress}

// policy is a NetworkPolicy and the pods of this node that it selects.
type policy struct {
	object   *networkingv1.NetworkPolicy
	selector labels.Selector
	bad      string // why the selector cannot be read
	pods     map[string]bool
}

// SetPolicy tells the Compiler what a policy is by now; nil: it is gone.
func (c *Compiler) SetPolicy(key Key, p *networkingv1.NetworkPolicy) {
	if !c.Enforce || c.policies[key] != nil && c.policies[key].object == p {
		return
	}
	if was := c.policies[key]; was != nil {
		for uid := range was.pods {
			delete(c.locals[uid].policies, key)
			c.unsorted[uid] = true
		}
		delete(c.policies, key)
		delete(c.policed[key.Namespace], key)
	}
	if p == nil {
		c.replace("policy/"+key.String(), nil)
		return
	}
	now := readPolicy(p)
	c.policies[key] = now
	if c.policed[key.Namespace] == nil {
		c.policed[key.Namespace] = map[Key]*policy{}
	}
	c.policed[key.Namespace][key] = now
	for uid, l := range c.locals {
		if l.Namespace == key.Namespace && now.selects(l) {
			now.pods[uid], l.policies[key] = true, now
			c.unsorted[uid] = true
		}
	}
	c.policyChains(now)
}

// readPolicy: a selector nobody can read selects all pods: the author wanted to
// close something.
func readPolicy(p *networkingv1.NetworkPolicy) *policy {
	now := &policy{object: p, pods: map[string]bool{}}
	var err error
	if now.selector, err = metav1.LabelSelectorAsSelector(&p.Spec.PodSelector); err != nil {
		now.bad = fmt.Sprintf("%v: every pod of the namespace is isolated by it", err)
		now.selector = labels.Everything()
	}
	return now
}

func (p *policy) key() Key { return Key{p.object.Namespace, p.object.Name} }

// selects: a finished pod whose network still stands stays closed as well: its
// processes may still be dying.
func (p *policy) selects(l *local) bool {
	return l.Pod != nil && p.selector.Matches(labels.Set(l.Pod.Labels))
}

// selectLocal finds the policies that select a pod, which was selected by others
// before. A policy costs rules while it selects a pod of this node.
func (c *Compiler) selectLocal(was, now *local) {
	namespace := cmp.Or(was, now).Namespace
	for key, p := range c.policed[namespace] {
		uid, is := cmp.Or(was, now).UID, now != nil && p.selects(now)
		selected := p.pods[uid]
		if is {
			p.pods[uid], now.policies[key] = true, p
		} else {
			delete(p.pods, uid)
		}
		if is != selected && len(p.pods) <= 1 {
			c.policyChains(p)
		}
	}
}

// policyChains makes the policy's rules anew. They are shared by all pods of this
// node that the policy selects; without any, only what is wrong with it is said.
func (c *Compiler) policyChains(p *policy) {
	f := newFragment()
	if p.bad != "" {
		f.refuse(p.object, "spec.podSelector", p.bad)
	}
	for _, d := range directions {
		if isolates(p.object, d) {
			c.policyChain(f, p.object, d)
		}
	}
	if len(p.pods) == 0 {
		f = &fragment{problems: f.problems}
	}
	c.replace("policy/"+p.key().String(), f)
}

func policyChainName(p *networkingv1.NetworkPolicy, d direction) string {
	return "pol-" + d.short + "-" + hash(p.Namespace, p.Name)
}

func (c *Compiler) policyChain(f *fragment, p *networkingv1.NetworkPolicy, d direction) {
	chain := policyChainName(p, d)
	allowed, denied := chain+"-allowed", chain+"-denied"
	object := p.Namespace + "/" + p.Name
	f.counters[allowed] = Meaning{object, d.name, Allowed}
	f.counters[denied] = Meaning{object, d.name, Denied}
	rules := c.rulesOf(f, p, d)
	for i := range rules {
		rules[i].Counter, rules[i].Action = allowed, ruleset.Accept
	}
	f.chains[chain] = ruleset.Chain{Rules: rules}
}

// isolates follows "policyTypes" of the specification: when it is left out, a
// policy always affects ingress, and egress only if it has egress rules.
func isolates(p *networkingv1.NetworkPolicy, d direction) bool {
	if len(p.Spec.PolicyTypes) == 0 {
		return d == ingress || len(p.Spec.Egress) > 0
	}
	want := networkingv1.PolicyTypeIngress
	if d == egress {
		want = networkingv1.PolicyTypeEgress
	}
	return slices.Contains(p.Spec.PolicyTypes, want)
}

// podChains makes a pod's chains anew: one for each direction in which a policy
// isolates it, and both if the API has not shown the pod yet.
func (c *Compiler) podChains(uid string) {
	l := c.locals[uid]
	if l == nil {
		c.replace("pod/"+uid, nil)
		return
	}
	f := newFragment()
	for _, a := range l.Addrs {
		v := ruleset.FamilyOf(a)
		f.member(named(setLocal, v), ruleset.Element{Addr: a})
		f.member(named(setHairpin, v), ruleset.Element{Addr: a, Last: a})
	}
	for _, d := range directions {
		var isolating []string
		for _, p := range l.policies {
			if isolates(p.object, d) {
				isolating = append(isolating, policyChainName(p.object, d))
			}
		}
		if c.Enforce && (len(isolating) > 0 || l.Pod == nil) {
			f.podChain(l, d, isolating)
		}
	}
	c.replace("pod/"+uid, f)
}

// podChain asks the pod's policies; what none of them accepts ends here. A pod
// can always reach itself (through its Service, for example).
func (f *fragment) podChain(l *local, d direction, policies []string) {
	chain := "pod-" + d.short + "-" + hash(l.UID)
	drops := chain + dropsSuffix
	var rules []ruleset.Rule
	for _, a := range l.Addrs {
		v := ruleset.FamilyOf(a)
		rules = append(rules, ruleset.Rule{Family: v, Src: a, Dst: a, Action: ruleset.Accept})
		f.member(named(d.dispatch, v), ruleset.Element{Addr: a, Chain: chain})
	}
	if len(policies) > 0 {
		rules = append(rules, ruleset.Rule{Action: ruleset.Jump, Target: f.group(d, policies)})
	}
	f.counters[drops] = Meaning{l.Namespace + "/" + l.Name, d.name, PodDrops}
	f.chains[chain] = ruleset.Chain{Rules: append(rules,
		ruleset.Rule{LogGroup: LogGroup, LogText: drops},
		ruleset.Rule{Counter: drops, Action: ruleset.Jump, Target: chainDenied})}
}

// group returns the chain that asks these policies one by one and then counts
// what all of them denied. It is named after them, so that pods with the same
// policies share it and it never changes.
func (f *fragment) group(d direction, policies []string) string {
	slices.Sort(policies)
	var rules []ruleset.Rule
	for _, name := range policies {
		rules = append(rules, ruleset.Rule{Action: ruleset.Jump, Target: name})
	}
	for _, name := range policies {
		rules = append(rules, ruleset.Rule{Counter: name + "-denied"})
	}
	chain := "group-" + d.short + "-" + hash(policies...)
	f.chains[chain] = ruleset.Chain{Rules: rules}
	return chain
}

func (f *fragment) refuse(p *networkingv1.NetworkPolicy, field, message string) {
	f.problems = append(f.problems, Problem{
		Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name, UID: string(p.UID),
		Field: field, Message: message,
	})
}
