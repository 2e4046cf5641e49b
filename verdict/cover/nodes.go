package cover

import (
	"maps"
	"slices"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// nodes are those that pods run on, and which pairs of them are covered.
type nodes struct {
	names   []string // sorted; the empty one, of pods that are not scheduled, left out
	pods    map[string][]resident
	byKind  []map[string][]class.Member
	order   [][]string // of the nodes of each kind, sorted
	covered map[[2]string]bool
}

// resident is a pod on a node.
type resident struct {
	kind *kind
	class.Member
}

func newNodes(kinds []*kind) *nodes {
	n := &nodes{pods: map[string][]resident{}, covered: map[[2]string]bool{}}
	for _, k := range kinds {
		of := map[string][]class.Member{}
		for _, m := range k.Members {
			node := m.Is.Node
			of[node] = append(of[node], m)
			if node == "" {
				continue
			}
			if n.pods[node] == nil {
				n.names = append(n.names, node)
			}
			n.pods[node] = append(n.pods[node], resident{k, m})
		}
		delete(of, "")
		n.byKind = append(n.byKind, of)
		n.order = append(n.order, slices.Sorted(maps.Keys(of)))
	}
	slices.Sort(n.names)
	return n
}

func (n *nodes) cover(from, to *verdict.Pod) {
	if from.Node != "" && to.Node != "" {
		n.covered[[2]string{from.Node, to.Node}] = true
	}
}

// choose picks pods of a link whose pair of nodes is not covered yet, else the
// pods that speak for it. Where host-network pods are involved the relation of
// the nodes is kept.
func (n *nodes) choose(l link) (from, to *verdict.Pod) {
	host := l.from.HostNetwork() || l.to.HostNetwork()
	for _, a := range n.order[l.from.index] {
		sources := n.byKind[l.from.index][a]
		for _, b := range n.order[l.to.index] {
			targets := n.byKind[l.to.index][b]
			if n.covered[[2]string{a, b}] || host && class.Relate(a, b) != l.Relation.Is {
				continue
			}
			if sources[0].Is != targets[0].Is {
				return sources[0].Is, targets[0].Is
			}
			if len(targets) > 1 {
				return sources[0].Is, targets[1].Is
			}
		}
	}
	return l.From.Is, l.To.Is
}

// eachPair yields a link of every ordered pair of nodes that has any.
func (n *nodes) eachPair() func(yield func(link) bool) {
	return func(yield func(link) bool) {
		for _, a := range n.names {
			for _, b := range n.names {
				if l, ok := n.link(a, b); ok && !yield(l) {
					return
				}
			}
		}
	}
}

// link is one between two nodes: between different pods, of which none is on the
// host's network if that can be avoided.
func (n *nodes) link(a, b string) (link, bool) {
	from, to := n.pods[a], n.pods[b]
	for _, s := range preferPods(from) {
		for _, t := range preferPods(to) {
			if s.Is != t.Is {
				return link{s.kind, t.kind, class.Pair{From: s.Member, To: t.Member, Count: 1, Relation: class.Relation{Was: class.Relate(a, b), Is: class.Relate(a, b)}}}, true
			}
		}
	}
	return link{}, false
}

// preferPods puts two pods first that are not on the host's network.
func preferPods(all []resident) []resident {
	var first, rest []resident
	for _, r := range all {
		if !r.Is.HostNetwork && len(first) < 2 {
			first = append(first, r)
		} else if len(rest) < 2 {
			rest = append(rest, r)
		}
	}
	return append(first, rest...)
}
