package manifest

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// maxPlain bounds what Plain makes of one tree.
const maxPlain = 100_000

// Plain copies a tree with aliases and merge keys (<<) written out and nothing
// shared, so that an edit of one place reaches no other. Comments, order, lines
// and styles stay. It is nil where that makes more than 100,000 nodes.
func Plain(n *yaml.Node) *yaml.Node {
	budget := maxPlain
	out := writtenOut(n, &budget)
	if budget < 0 {
		return nil
	}
	return out
}

func writtenOut(n *yaml.Node, budget *int) *yaml.Node {
	n = resolve(n)
	if *budget--; n == nil || *budget < 0 {
		return nil
	}
	own := *n
	own.Anchor, own.Content = "", make([]*yaml.Node, 0, len(n.Content))
	if n.Kind == yaml.MappingNode && slices.ContainsFunc(n.Content, isMerge) {
		own.Content = merged(n, budget)
		return &own
	}
	for _, c := range n.Content {
		own.Content = append(own.Content, writtenOut(c, budget))
	}
	return &own
}

func isMerge(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!merge" }

// merged is what a mapping with merge keys holds: its own fields go before
// merged ones, and of several that are merged the first (yaml.org/type/merge.html).
func merged(n *yaml.Node, budget *int) []*yaml.Node {
	taken := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			taken[n.Content[i].Value] = true
		}
	}
	var all []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !isMerge(key) {
			all = append(all, writtenOut(key, budget), writtenOut(value, budget))
			continue
		}
		from := []*yaml.Node{resolve(value)}
		if from[0] != nil && from[0].Kind == yaml.SequenceNode {
			from = from[0].Content
		}
		for _, one := range from {
			other := writtenOut(one, budget)
			for i := 0; other != nil && i+1 < len(other.Content); i += 2 {
				if !taken[other.Content[i].Value] {
					taken[other.Content[i].Value] = true
					all = append(all, other.Content[i], other.Content[i+1])
				}
			}
		}
	}
	return all
}

// Same reports whether two trees mean the same: the same fields in the same
// order, items, types and values, however they are written. A tree that is nil
// or too large for Plain is the same as none.
func Same(a, b *yaml.Node) bool {
	a, b = Plain(a), Plain(b)
	return a != nil && b != nil && same(a, b)
}

func same(a, b *yaml.Node) bool {
	if a == nil || b == nil || a.Kind != b.Kind || a.ShortTag() != b.ShortTag() || len(a.Content) != len(b.Content) {
		return false
	}
	if a.Kind == yaml.ScalarNode && a.Value != b.Value {
		return false
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// Parse reads the text of one document of YAML. The tree is nil where it has
// nothing but comments.
func Parse(text []byte) (*yaml.Node, error) {
	n, _, err := (&document{line: 1, col: 1, text: text, odd: oddBreaks(text)}).node()
	return n, err
}

// In is the object in a tree of its document that was made by Plain.
func (s Source) In(document *yaml.Node) *yaml.Node {
	return strict.Value(document, s.path)
}
