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

// Relation says which of two pods' nodes are the same, before and after. It is
// told apart for host-network pods only; others have the zero Relation.
type Relation struct{ Was, Is bool }

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
	same := Pair{Relation: Relation{Was: true, Is: true}}
	apart := Pair{Count: len(c.Members) * len(b.Members)}
	if c == b {
		apart.Count -= len(c.Members)
	}
	for _, n := range c.nodeOrder() {
		from, to := c.nodes[n], b.nodes[n]
		count := len(from) * len(to)
		if c == b {
			count -= len(from)
		}
		if n[0] == "" || count == 0 {
			continue
		}
		if same.Count == 0 {
			same.From, same.To = c.Members[from[0]], b.Members[to[0]]
			if c == b {
				same.To = b.Members[to[1]]
			}
		}
		same.Count += count
		apart.Count -= count
	}
	var all []Pair
	if same.Count > 0 {
		all = append(all, same)
	}
	if apart.Count > 0 {
		apart.From, apart.To = c.apart(b)
		all = append(all, apart)
	}
	return all
}

// apart finds two different pods that share no known node; there are such.
func (c *Class) apart(b *Class) (from, to Member) {
	for i, from := range c.Members {
		for j, to := range b.Members {
			if (c != b || i != j) && (from.Is.Node == "" || from.Is.Node != to.Is.Node) {
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
			r := Relation{
				Was: from.Was.Node != "" && from.Was.Node == to.Was.Node,
				Is:  from.Is.Node != "" && from.Is.Node == to.Is.Node,
			}
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
