package strict

import "go.yaml.in/yaml/v3"

// Expansion is what a YAML tree comes to once its aliases are written out.
type Expansion struct {
	Nodes   int // at most maxNodes: it stops counting there
	Aliased int // of these, how many are there because of aliases
	Depth   int // of the deepest node; the outermost value has 1
	// Worst is the alias that adds most; nil where there is none.
	Worst *yaml.Node
	// Cycle is an alias that stands within what it stands for, which has no end.
	Cycle *yaml.Node
}

const maxNodes = 1 << 40

// Expand measures a tree without writing it out: in time that grows with the
// text, however much its aliases multiply.
func Expand(n *yaml.Node) Expansion {
	e := expander{sizes: map[*yaml.Node]size{}}
	s := e.measure(n)
	e.Nodes, e.Depth, e.Aliased = s.nodes, s.depth, s.nodes-e.written
	return e.Expansion
}

type size struct{ nodes, depth int }

type expander struct {
	Expansion
	sizes   map[*yaml.Node]size // of anchored nodes; zero while it is being measured
	worst   int
	written int // nodes without what aliases add
}

func (e *expander) measure(n *yaml.Node) size {
	if n.Kind == yaml.AliasNode {
		return e.alias(n)
	}
	if n.Anchor != "" {
		e.sizes[n] = size{}
	}
	s := size{nodes: 1}
	e.written++
	for _, c := range n.Content {
		inner := e.measure(c)
		s.nodes = min(s.nodes+inner.nodes, maxNodes)
		s.depth = max(s.depth, inner.depth)
	}
	s.depth++
	if n.Anchor != "" {
		e.sizes[n] = s
	}
	return s
}

// alias looks up what an alias stands for: its anchor comes before it in the
// text, so that has been measured, or is being measured if the two are a cycle.
func (e *expander) alias(n *yaml.Node) size {
	s := e.sizes[n.Alias]
	if s.nodes == 0 {
		e.Cycle = n
	}
	if s.nodes > e.worst {
		e.worst, e.Worst = s.nodes, n
	}
	return s
}
