package class

import (
	"slices"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Member is a pod, with its place in the snapshots it was taken from. An
// analysis of one snapshot has Was and Is alike.
type Member struct {
	Was, Is     *verdict.Pod
	WasID, IsID verdict.PodID
}

// Class is a set of pods that policies judge alike, never empty, in the order
// in which they came.
type Class struct {
	Members []Member
	nodes   map[[2]string][]int // node before and after → indices of members; built when first asked for
	order   [][2]string         // of nodes, by their first members
}

// Rep is the member that speaks for all.
func (c *Class) Rep() Member { return c.Members[0] }

// HostNetwork reports whether the pods are on the network of their nodes.
func (c *Class) HostNetwork() bool {
	return c.Members[0].Was.HostNetwork || c.Members[0].Is.HostNetwork
}

// Of groups the pods of one snapshot, in the order of their first pods. pick
// says which pods count; nil: all.
func Of(v *Vocabulary, s *verdict.Snapshot, pick func(*verdict.Pod) bool) []*Class {
	var all []Member
	for id, p := range s.Pods() {
		if pick == nil || pick(p) {
			all = append(all, Member{Was: p, Is: p, WasID: id, IsID: id})
		}
	}
	return Group(v, all)
}

// Group groups members, in the order of their first ones.
func Group(v *Vocabulary, members []Member) []*Class {
	var all []*Class
	index := map[string]*Class{}
	for _, m := range members {
		key := v.Signature(m.Was)
		if m.Is != m.Was {
			key += "\n" + v.Signature(m.Is)
		} else {
			key += "\n" + key
		}
		c, ok := index[key]
		if !ok {
			c = &Class{}
			index[key] = c
			all = append(all, c)
		}
		c.Members = append(c.Members, m)
	}
	return all
}

// Relation says whether two pods' nodes are the same, before and after. It is told
// apart for host-network pods only; others have the zero Relation.
type Relation struct{ Was, Is Nodes }

// Nodes is how the nodes of two pods relate.
type Nodes uint8

// The relations of two nodes. Of a pod that is not scheduled it is not known.
const (
	NotKnown Nodes = iota
	Apart
	Same
)

// Relate says how two nodes, named as pods name theirs, relate.
func Relate(a, b string) Nodes {
	switch {
	case a == "" || b == "":
		return NotKnown
	case a == b:
		return Same
	}
	return Apart
}

func related(from, to Member) Relation {
	return Relation{Was: Relate(from.Was.Node, to.Was.Node), Is: Relate(from.Is.Node, to.Is.Node)}
}

// Pair is a pair of different pods, and how many like it there are.
type Pair struct {
	From, To Member
	Relation Relation
	Count    int
}

// Pairs are the pairs of different pods from a to b: at most one for each
// Relation, and none where a and b are one class of one pod.
func Pairs(a, b *Class) []Pair {
	if a.HostNetwork() || b.HostNetwork() {
		return a.pairsByNode(b)
	}
	if a != b {
		return []Pair{{From: a.Members[0], To: b.Members[0], Count: len(a.Members) * len(b.Members)}}
	}
	if n := len(a.Members); n > 1 {
		return []Pair{{From: a.Members[0], To: a.Members[1], Count: n * (n - 1)}}
	}
	return nil
}

// pairsByNode tells pairs apart by whether their nodes are the same.
func (c *Class) pairsByNode(b *Class) []Pair {
	if c.moved() || b.moved() {
		return c.pairsOfMoved(b)
	}
	b.nodeOrder() // fills b.nodes
	counts := map[Nodes]int{}
	for _, n := range c.nodeOrder() {
		from, same := len(c.nodes[n]), len(b.nodes[n])
		unknown := len(b.nodes[[2]string{}])
		if n[0] == "" {
			same, unknown = 0, len(b.Members)
		}
		counts[Same] += from * same
		counts[NotKnown] += from * unknown
		counts[Apart] += from * (len(b.Members) - same - unknown)
		if c == b { // no pod pairs with itself
			counts[Relate(n[0], n[0])] -= from
		}
	}
	var all []Pair
	for _, nodes := range []Nodes{Same, NotKnown, Apart} {
		if counts[nodes] > 0 {
			p := Pair{Relation: Relation{Was: nodes, Is: nodes}, Count: counts[nodes]}
			p.From, p.To = c.example(b, p.Relation)
			all = append(all, p)
		}
	}
	return all
}

// example finds two different pods in the relation; there are such.
func (c *Class) example(b *Class, r Relation) (from, to Member) {
	for i, from := range c.Members {
		for j, to := range b.Members {
			if (c != b || i != j) && related(from, to) == r {
				return from, to
			}
		}
	}
	panic("class: pairs were counted that are not there")
}

// moved reports whether a pod of the class is on another node afterwards.
func (c *Class) moved() bool {
	for _, m := range c.Members {
		if m.Was.Node != m.Is.Node {
			return true
		}
	}
	return false
}

func (c *Class) pairsOfMoved(b *Class) []Pair {
	var all []Pair
	for i, from := range c.Members {
		for j, to := range b.Members {
			if c == b && i == j {
				continue
			}
			r := related(from, to)
			at := slices.IndexFunc(all, func(p Pair) bool { return p.Relation == r })
			if at < 0 {
				at, all = len(all), append(all, Pair{From: from, To: to, Relation: r})
			}
			all[at].Count++
		}
	}
	return all
}

// nodeOrder lists the nodes in the order of their first members.
func (c *Class) nodeOrder() [][2]string {
	if c.nodes == nil {
		c.nodes = map[[2]string][]int{}
		for i, m := range c.Members {
			key := [2]string{m.Was.Node, m.Is.Node}
			if c.nodes[key] == nil {
				c.order = append(c.order, key)
			}
			c.nodes[key] = append(c.nodes[key], i)
		}
	}
	return c.order
}
