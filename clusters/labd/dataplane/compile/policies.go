package compile

import (
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

// isolated is a local pod with the policies that isolate it in one direction.
type isolated struct {
	pod   LocalPod
	names []string // chains of the policies, sorted
	deny  []string // their counters of denied packets
}

// policies compiles every policy that selects a pod of this node, then the
// chains of those pods. Policies are taken by name, so the ruleset does not
// depend on the order in which the API delivers them.
func (c *compiler) policies() {
	found := map[direction]map[string]*isolated{ingress: {}, egress: {}}
	for _, p := range byName(c.in.Policies) {
		pods := c.selected(p)
		for _, d := range []direction{ingress, egress} {
			if !isolates(p, d) {
				continue
			}
			chain := "pol-" + d.short + "-" + hash(p.Namespace, p.Name)
			if len(pods) > 0 {
				c.policyChain(p, d, chain)
			} else {
				c.rulesOf(p, d) // still say what is wrong with it
			}
			for _, pod := range pods {
				i := found[d][pod.UID]
				if i == nil {
					i = &isolated{pod: pod}
					found[d][pod.UID] = i
				}
				i.names = append(i.names, chain)
				i.deny = append(i.deny, chain+"-denied")
			}
		}
	}
	for _, l := range c.in.Local {
		for _, d := range []direction{ingress, egress} {
			if i := found[d][l.UID]; i != nil {
				c.podChain(*i, d)
			} else if l.Pod == nil {
				c.podChain(isolated{pod: l}, d)
			}
		}
	}
}

// selected returns the pods of this node in the policy's namespace that its
// podSelector matches. A selector nobody can read selects them all: the author
// wanted to close something. A finished pod whose network still stands stays
// closed as well: its processes may still be dying.
func (c *compiler) selected(p *networkingv1.NetworkPolicy) []LocalPod {
	sel, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	if err != nil {
		c.refuse(p, "spec.podSelector", fmt.Sprintf("%v: every pod of the namespace is isolated by it", err))
		sel = labels.Everything()
	}
	var pods []LocalPod
	for _, l := range c.in.Local {
		if l.Namespace == p.Namespace && l.Pod != nil && sel.Matches(labels.Set(l.Pod.Labels)) {
			pods = append(pods, l)
		}
	}
	return pods
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

// policyChain is shared by all pods of this node that the policy selects.
func (c *compiler) policyChain(p *networkingv1.NetworkPolicy, d direction, chain string) {
	allowed, denied := chain+"-allowed", chain+"-denied"
	object := p.Namespace + "/" + p.Name
	c.counter(allowed, Meaning{object, d.name, Allowed})
	c.counter(denied, Meaning{object, d.name, Denied})
	rules := c.rulesOf(p, d)
	for i := range rules {
		rules[i].Counter, rules[i].Action = allowed, ruleset.Accept
	}
	c.out.Ruleset.Chains[chain] = ruleset.Chain{Rules: rules}
}

// podChain asks the pod's policies one by one; what none of them accepts ends
// here. A pod can always reach itself (through its Service, for example).
func (c *compiler) podChain(i isolated, d direction) {
	chain := "pod-" + d.short + "-" + hash(i.pod.UID)
	drops := chain + dropsSuffix
	self := ruleset.Rule{Src: i.pod.Addr, Dst: i.pod.Addr, Action: ruleset.Accept}
	rules := []ruleset.Rule{self}
	for _, name := range i.names {
		rules = append(rules, ruleset.Rule{Action: ruleset.Jump, Target: name})
	}
	for _, name := range i.deny {
		rules = append(rules, ruleset.Rule{Counter: name})
	}
	c.counter(drops, Meaning{i.pod.Namespace + "/" + i.pod.Name, d.name, PodDrops})
	rules = append(rules,
		ruleset.Rule{LogGroup: LogGroup, LogText: drops},
		ruleset.Rule{Counter: drops, Action: ruleset.Drop})
	c.out.Ruleset.Chains[chain] = ruleset.Chain{Rules: rules}
	c.out.Ruleset.Sets[d.dispatch].Elements[ruleset.Element{Addr: i.pod.Addr, Chain: chain}] = true
}

func (c *compiler) counter(name string, m Meaning) {
	c.out.Ruleset.Counters[name] = true
	c.out.Meanings[name] = m
}

func (c *compiler) refuse(p *networkingv1.NetworkPolicy, field, message string) {
	c.out.Problems = append(c.out.Problems, Problem{
		Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name, UID: string(p.UID),
		Field: field, Message: message,
	})
}
