package cover

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// Options tunes Plan and Untested. The zero value works.
type Options struct {
	// Each is how many connections are considered for every rule and denial; 0 means 64.
	Each int
	// MaxProbes bounds a plan, and what is listed as missing; 0 means 100,000.
	// Probes of rules and denials come first, then pairs of classes, then of nodes.
	MaxProbes int
	// Only are the policies of which rules and denials count (namespace/name, or the
	// name of a ClusterNetworkPolicy); nil: all.
	Only []string
}

func (o Options) counts(policy string) bool { return o.Only == nil || slices.Contains(o.Only, policy) }

func (o Options) withDefaults() Options {
	o.Each = cmp.Or(o.Each, 64)
	o.MaxProbes = cmp.Or(o.MaxProbes, 100_000)
	return o
}

// Probes is a plan: what to try so that everything that can be exercised is.
type Probes struct {
	List []Probe
	// What the list covers, of what can be covered. Pairs are ordered; a class or
	// a node has one with itself if it has two pods.
	Rules, Denials, ClassPairs, NodePairs Share
	// Unreachable are rules and denials that no connection between pods exercises.
	Unreachable []Unreachable
	// AtLeast is how many probes any plan for the same has.
	AtLeast int
	// Factor bounds len(List) / smallest possible, if it is not Truncated: see Plan.
	Factor float64
	// Truncated says that not all connections were considered for some rule or
	// denial (Options.Each), so that Factor holds among those considered only.
	Truncated bool
}

// Plan chooses probes between the pods of the snapshot that together exercise
// every rule, every denial (Denial), every pair of classes and every pair of
// nodes, as far as Options.MaxProbes goes: at 5,000 different classes the pairs
// alone are 25 million, and ClassPairs then says how many of them are covered.
//
// Rules and denials are a set cover, chosen greedily, so with at most H(k) times
// the fewest probes, where k is the most that one connection exercises and H(k) =
// 1 + 1/2 + … + 1/k. A probe is of one pair of classes and one pair of nodes; the
// pods of each are chosen so that it covers a new pair of nodes where it can, and
// what is left gets a probe per pair. No plan can do with fewer probes than there
// are pairs of either sort, so the whole is at most H(k) + 2 times the smallest.
func Plan(s *verdict.Snapshot, o Options) Probes {
	o = o.withDefaults()
	u := newUniverse(s, o)
	found := search(u, o.Each)
	chosen, most := greedy(found.options, len(found.found))
	b := &builder{universe: u, pairs: map[[2]int]bool{}, nodes: newNodes(u.kinds), max: o.MaxProbes}
	p := Probes{Unreachable: found.unreachable, Truncated: found.truncated, Factor: harmonic(most) + 2}
	covered := map[int]bool{}
	for _, c := range chosen {
		if b.add(c.link, c.Try, c.decision) {
			for _, item := range c.items {
				covered[item] = true
			}
		}
	}
	for i, n := range found.found {
		share := &p.Rules
		if i >= len(u.rules) {
			share = &p.Denials
		}
		if n > 0 {
			share.Total++
		}
		if covered[i] {
			share.Covered++
		}
	}
	p.ClassPairs = b.classPairs()
	p.NodePairs = b.nodePairs()
	p.List = b.list
	p.AtLeast = max(p.ClassPairs.Total, p.NodePairs.Total)
	if !p.Truncated {
		p.AtLeast = max(p.AtLeast, ceilDiv(p.Rules.Total+p.Denials.Total, most))
	}
	return p
}

func ceilDiv(a, b int) int {
	if b == 0 {
		return 0
	}
	return (a + b - 1) / b
}

func harmonic(k int) float64 {
	h := 0.0
	for i := 1; i <= k; i++ {
		h += 1 / float64(i)
	}
	return h
}

// greedy takes the option that covers the most of what is left, again and again.
// What an option is worth only falls, so one whose old worth is the highest and
// still holds is the best there is. most is the worth of the first.
func greedy(options []option, items int) (chosen []option, most int) {
	covered := make([]bool, items)
	q := make(queue, 0, len(options))
	for i, o := range options {
		q = append(q, offer{i, len(o.items)})
	}
	heap.Init(&q)
	for q.Len() > 0 && q[0].worth > 0 {
		left := 0
		for _, item := range options[q[0].option].items {
			if !covered[item] {
				left++
			}
		}
		if left < q[0].worth {
			q[0].worth = left
			heap.Fix(&q, 0)
			continue
		}
		most = max(most, left)
		o := options[q[0].option]
		heap.Pop(&q)
		chosen = append(chosen, o)
		for _, item := range o.items {
			covered[item] = true
		}
	}
	return chosen, most
}

type offer struct{ option, worth int }

// queue has the offer of most worth first, the earliest of equals.
type queue []offer

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[j].worth, q[i].worth), cmp.Compare(q[i].option, q[j].option)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(offer)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// builder makes the list, and remembers which pairs it covers.
type builder struct {
	*universe
	list  []Probe
	pairs map[[2]int]bool // of classes
	nodes *nodes
	max   int
}

// add probes a link with the pods that cover a new pair of nodes, if there are
// such; false: the list is full.
func (b *builder) add(l link, t class.Try, d verdict.Decision) bool {
	from, to := b.nodes.choose(l)
	return b.addPods(l, from, to, t, d)
}

func (b *builder) addPods(l link, from, to *verdict.Pod, t class.Try, d verdict.Decision) bool {
	if len(b.list) >= b.max {
		return false
	}
	b.pairs[[2]int{l.from.index, l.to.index}] = true
	b.nodes.cover(from, to)
	b.list = append(b.list, Probe{From: from, To: to, Port: t.Number, Protocol: t.Protocol, Expect: d})
	return true
}

// classPairs gives every pair of classes that has none yet a probe, on the first
// port worth trying.
func (b *builder) classPairs() Share {
	for l := range b.eachPair() {
		if b.pairs[[2]int{l.from.index, l.to.index}] {
			continue
		}
		if t := b.tries(l)[0]; !b.add(l, t, b.decide(l, t)) {
			break
		}
	}
	return Share{len(b.pairs), b.countPairs()}
}

// countPairs counts the ordered pairs of classes: all, but for those of one pod
// with themselves.
func (u *universe) countPairs() int {
	n := len(u.kinds) * len(u.kinds)
	for _, k := range u.kinds {
		if len(k.Members) == 1 {
			n--
		}
	}
	return n
}

// eachPair yields one link of every ordered pair of classes that has any.
func (u *universe) eachPair() func(yield func(link) bool) {
	return func(yield func(link) bool) {
		for _, from := range u.kinds {
			for _, to := range u.kinds {
				if all := links(from, to); len(all) > 0 && !yield(all[0]) {
					return
				}
			}
		}
	}
}

// nodePairs gives every pair of nodes that has none yet a probe.
func (b *builder) nodePairs() Share {
	var s Share
	for l := range b.nodes.eachPair() {
		s.Total++
		pair := [2]string{l.From.Is.Node, l.To.Is.Node}
		if !b.nodes.covered[pair] {
			t := b.tries(l)[0]
			b.addPods(l, l.From.Is, l.To.Is, t, b.decide(l, t))
		}
		if b.nodes.covered[pair] {
			s.Covered++
		}
	}
	return s
}
