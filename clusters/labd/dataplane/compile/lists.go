package compile

import (
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// list is a set of pods' addresses, one per family, that rules look in: the pods
// that a peer's selectors mean, or all pods with a port of some name. It is named
// after what it means, so policies that mean the same share it, and it lives as
// long as a rule needs it.
type list struct {
	name    string
	kind    ruleset.Kind
	holders int

	all        bool            // every namespace
	own        string          // or the one namespace,
	namespaces labels.Selector // or, if it is not nil, those that it matches
	entries    func(pod *corev1.Pod) []ruleset.Element

	counts map[ruleset.Element]int // two peers may claim one address for a moment
}

// has says whether the list may have pods of the namespace. A namespace that the
// API has not shown (nil labels) is in no selector's reach.
func (l *list) has(namespace string, of map[string]string) bool {
	if l.namespaces != nil {
		return of != nil && l.namespaces.Matches(labels.Set(of))
	}
	return l.all || l.own == namespace
}

// hold keeps the list; the first time, it is made.
func (c *Compiler) hold(l *list) {
	if known := c.lists[l.name]; known != nil {
		known.holders++
		return
	}
	made := *l
	made.holders, made.counts = 1, map[ruleset.Element]int{}
	c.lists[l.name] = &made
	for _, f := range c.families() {
		name := named(l.name, f)
		c.rs.Sets[name] = ruleset.Set{Kind: l.kind.For(f), Elements: map[ruleset.Element]bool{}}
		c.ours[name], c.changed.Sets[name] = true, true
	}
	for namespace, peers := range c.peers {
		if made.has(namespace, c.namespaces[namespace]) {
			for _, p := range peers {
				made.change(c, peer{}, p)
			}
		}
	}
}

func (c *Compiler) release(l *list) {
	known := c.lists[l.name]
	if known.holders--; known.holders > 0 {
		return
	}
	delete(c.lists, l.name)
	for _, f := range c.families() {
		name := named(l.name, f)
		delete(c.rs.Sets, name)
		c.changed.Sets[name] = true
	}
}

func (l *list) namespaceChanged(c *Compiler, namespace string, before, after map[string]string) {
	was, is := l.has(namespace, before), l.has(namespace, after)
	if was == is {
		return
	}
	for _, p := range c.peers[namespace] {
		if is {
			l.change(c, peer{}, p)
		} else {
			l.change(c, p, peer{})
		}
	}
}

// change takes one peer out of the list and another in.
func (l *list) change(c *Compiler, was, now peer) {
	for _, e := range l.of(now) {
		if l.counts[e]++; l.counts[e] == 1 {
			c.elements(named(l.name, ruleset.FamilyOf(e.Addr)))[e] = true
		}
	}
	for _, e := range l.of(was) {
		if l.counts[e]--; l.counts[e] == 0 {
			delete(l.counts, e)
			delete(c.elements(named(l.name, ruleset.FamilyOf(e.Addr))), e)
		}
	}
}

// of is what a peer has in the list. A pod that has one thing twice counts twice,
// when it comes and when it goes.
func (l *list) of(p peer) []ruleset.Element {
	if p.pod == nil {
		return nil
	}
	var all []ruleset.Element
	for _, e := range l.entries(p.pod) {
		for _, a := range p.addrs {
			e.Addr = a
			all = append(all, e)
		}
	}
	return all
}
