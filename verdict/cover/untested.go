package cover

import (
	"github.com/tightrope-dev/tightrope/verdict"
)

// Coverage is what a suite exercises and what it leaves untested. What cannot be
// exercised between pods is in Unreachable, and in no share.
type Coverage struct {
	Rules, Denials, ClassPairs, NodePairs Share
	// Missing, in the order of policies, pods and names. Pairs are bounded by
	// Options.MaxProbes each; the shares say how many there are.
	MissingRules      []Rule
	MissingDenials    []Denial
	MissingClassPairs [][2]*verdict.Pod // pods that speak for their classes
	MissingNodePairs  [][2]string
	Unreachable       []Unreachable
	// Strangers are probes of which an end is like no pod of the snapshot, as
	// policies see it. They cover no pair, and rules and denials of the other end only.
	Strangers []Probe
}

// Untested says what a suite leaves untested. A probe counts for what the
// policies make of it, whatever Expect says. Ends may be pods that the snapshot
// does not hold, for example those of identities: they count for the class of
// pods that policies judge alike, and for a pair of nodes if their nodes are known.
func Untested(s *verdict.Snapshot, suite []Probe, o Options) Coverage {
	o = o.withDefaults()
	u := newUniverse(s, o)
	found := search(u, 1) // whether there is any connection for it is all that matters here
	var c Coverage
	items, pairs, ns := map[int]bool{}, map[[2]int]bool{}, newNodes(u.kinds)
	lookup := newLookup(u)
	for _, p := range suite {
		from, to := lookup.kind(p.From), lookup.kind(p.To)
		if from == nil || to == nil {
			c.Strangers = append(c.Strangers, p)
		} else {
			pairs[[2]int{from.index, to.index}] = true
			ns.cover(p.From, p.To)
		}
		conn := verdict.Conn{From: verdict.End{Pod: p.From}, To: verdict.End{Pod: p.To}, Port: p.Port, Protocol: p.Protocol}
		for _, item := range u.exercises(from, to, conn, s.Judge(conn).Decision) {
			items[item] = true
		}
	}
	for _, x := range found.unreachable {
		if !items[x.item] { // else a pod of the suite exercises what no pod of the snapshot can
			c.Unreachable = append(c.Unreachable, x)
		}
	}
	c.addItems(u, found.found, items)
	c.addPairs(u, pairs, ns, o.MaxProbes)
	return c
}

func (c *Coverage) addItems(u *universe, found []int, covered map[int]bool) {
	for i, r := range u.rules {
		switch {
		case covered[i]:
			c.Rules.Covered++
			c.Rules.Total++
		case found[i] > 0:
			c.Rules.Total++
			c.MissingRules = append(c.MissingRules, r.Rule)
		}
	}
	for i, d := range u.denials {
		switch n := len(u.rules) + i; {
		case covered[n]:
			c.Denials.Covered++
			c.Denials.Total++
		case found[n] > 0:
			c.Denials.Total++
			c.MissingDenials = append(c.MissingDenials, Denial{d.subject.Rep().Is, d.direction})
		}
	}
}

func (c *Coverage) addPairs(u *universe, covered map[[2]int]bool, ns *nodes, max int) {
	c.ClassPairs.Total = u.countPairs()
	for l := range u.eachPair() {
		if len(c.MissingClassPairs) >= max {
			break
		}
		if !covered[[2]int{l.from.index, l.to.index}] {
			c.MissingClassPairs = append(c.MissingClassPairs, [2]*verdict.Pod{l.From.Is, l.To.Is})
		}
	}
	for pair := range covered {
		if k := u.kinds[pair[0]]; pair[0] != pair[1] || len(k.Members) > 1 {
			c.ClassPairs.Covered++
		}
	}
	for l := range ns.eachPair() {
		c.NodePairs.Total++
		pair := [2]string{l.From.Is.Node, l.To.Is.Node}
		if ns.covered[pair] {
			c.NodePairs.Covered++
		} else if len(c.MissingNodePairs) < max {
			c.MissingNodePairs = append(c.MissingNodePairs, pair)
		}
	}
}

// lookup finds the class of a pod.
type lookup struct {
	*universe
	exact map[string]*kind
	loose map[string]*kind // without addresses and ports, which a probe pod need not share
}

func newLookup(u *universe) lookup {
	l := lookup{u, map[string]*kind{}, map[string]*kind{}}
	for _, k := range u.kinds {
		l.exact[u.vocab.Signature(k.Rep().Is)] = k
		if key := l.bare(k.Rep().Is); l.loose[key] == nil {
			l.loose[key] = k
		}
	}
	return l
}

func (l lookup) bare(p *verdict.Pod) string {
	return l.vocab.Signature(&verdict.Pod{Namespace: p.Namespace, Labels: p.Labels, HostNetwork: p.HostNetwork, Node: p.Node})
}

func (l lookup) kind(p *verdict.Pod) *kind {
	if k := l.exact[l.vocab.Signature(p)]; k != nil {
		return k
	}
	return l.loose[l.bare(p)]
}
