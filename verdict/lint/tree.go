package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// path leads from the root of a policy to a field: keys and indexes.
type path []any

func at(steps ...any) path { return steps }

func (p path) plus(steps ...any) path { return append(slices.Clone(p), steps...) }

// String is the path as people write it: spec.egress[0].ports.
func (p path) String() string {
	var b strings.Builder
	for _, step := range p {
		switch s := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", s)
		default:
			fmt.Fprintf(&b, ".%v", s)
		}
	}
	return strings.TrimPrefix(b.String(), ".")
}

// content is the node without the document around it or the alias before it.
func content(n *yaml.Node) *yaml.Node {
	for n != nil {
		switch {
		case n.Kind == yaml.DocumentNode && len(n.Content) > 0:
			n = n.Content[0]
		case n.Kind == yaml.AliasNode:
			n = n.Alias
		default:
			return n
		}
	}
	return nil
}

// step goes one step down. key is the node that names the value, which for an
// item of a sequence is the item itself; both are nil if there is none.
func step(n *yaml.Node, s any) (key, value *yaml.Node) {
	n = content(n)
	switch s := s.(type) {
	case int:
		if n != nil && n.Kind == yaml.SequenceNode && s >= 0 && s < len(n.Content) {
			return n.Content[s], n.Content[s]
		}
	case string:
		if i := keyIndex(n, s); i >= 0 {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

func keyIndex(n *yaml.Node, key string) int {
	if n == nil || n.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// lookup returns the value at the path, or nil.
func lookup(root *yaml.Node, p path) *yaml.Node {
	n := content(root)
	for _, s := range p {
		if _, n = step(n, s); n == nil {
			return nil
		}
	}
	return content(n)
}

// lineOf is the line of the field, or of the nearest one around it where the
// field itself is missing; 0 without a tree.
func lineOf(root *yaml.Node, p path) int {
	n := content(root)
	if n == nil {
		return 0
	}
	line := n.Line
	for _, s := range p {
		var key *yaml.Node
		if key, n = step(n, s); key == nil {
			break
		}
		line = key.Line
	}
	return line
}

// edit changes a policy's tree in place. An edit whose field is missing does nothing.
type edit func(root *yaml.Node)

func edits(all ...edit) edit {
	return func(root *yaml.Node) {
		for _, e := range all {
			e(root)
		}
	}
}

// set puts the value there, and adds the key if it is missing.
func set(p path, value *yaml.Node) edit {
	return func(root *yaml.Node) {
		last := p[len(p)-1]
		parent := lookup(root, p[:len(p)-1])
		own := copied(value)
		if at, old := step(parent, last); old != nil {
			own.HeadComment, own.LineComment, own.FootComment = old.HeadComment, old.LineComment, old.FootComment
			inner := commentsWithin(old)
			*old = *own
			at.HeadComment = together(append([]string{at.HeadComment}, inner...)...)
		} else if key, ok := last.(string); ok && parent != nil && parent.Kind == yaml.MappingNode {
			parent.Content = append(parent.Content, text(key), own)
		}
	}
}

// add appends the item to the list, which it makes where it is missing. An item
// that is there already is not added again: two mistakes may lack the same rule.
func add(p path, item *yaml.Node) edit {
	return func(root *yaml.Node) {
		old := lookup(root, p)
		if old == nil || old.Kind != yaml.SequenceNode {
			set(p, list(item))(root)
			return
		}
		if slices.ContainsFunc(old.Content, func(n *yaml.Node) bool { return manifest.Same(n, item) }) {
			return
		}
		item := copied(item)
		if len(old.Content) == 0 { // its comment moves along, as there is no such line any more
			old.Style &^= yaml.FlowStyle
			item.HeadComment, old.LineComment = old.LineComment, ""
		}
		old.Content = append(old.Content, item)
	}
}

// copied is a node for one tree: an edit may be made in several.
func copied(n *yaml.Node) *yaml.Node {
	own := *n
	own.Content = make([]*yaml.Node, 0, len(n.Content))
	for _, c := range n.Content {
		own.Content = append(own.Content, copied(c))
	}
	return &own
}

// drop removes the field or the item. What stands on lines of its own above or
// below a field may be about what it is part of, and stays; so does what stands
// below an item.
func drop(p path) edit {
	return func(root *yaml.Node) {
		parent := lookup(root, p[:len(p)-1])
		switch s := p[len(p)-1].(type) {
		case int:
			if parent != nil && parent.Kind == yaml.SequenceNode && s < len(parent.Content) {
				below := together(feet(parent.Content[s])...)
				parent.Content = slices.Delete(parent.Content, s, s+1)
				if s < len(parent.Content) {
					parent.Content[s].HeadComment = together(below, parent.Content[s].HeadComment)
				} else if s > 0 {
					parent.Content[s-1].FootComment = together(parent.Content[s-1].FootComment, below)
				}
			}
		case string:
			if i := keyIndex(parent, s); i >= 0 {
				key, value := parent.Content[i], parent.Content[i+1]
				parent.Content = slices.Delete(parent.Content, i, i+2)
				above := parent // where it was the only field
				if i < len(parent.Content) {
					above = parent.Content[i]
				}
				if i > 0 && i == len(parent.Content) {
					last := parent.Content[i-2]
					last.FootComment = together(last.FootComment, key.HeadComment, key.FootComment, value.FootComment)
				} else {
					above.HeadComment = together(key.HeadComment, key.FootComment, value.FootComment, above.HeadComment)
				}
			}
		}
	}
}

// together joins comments, those that are there, each on lines of its own.
func together(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(c string) bool { return c == "" }), "\n")
}

// feet are the comments below a node, which the library keeps at it or at the
// last thing in it.
func feet(n *yaml.Node) []string {
	var all []string
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 1:
		all = append(feet(n.Content[len(n.Content)-1]), n.Content[len(n.Content)-2].FootComment)
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		all = feet(n.Content[len(n.Content)-1])
	}
	return append(all, n.FootComment)
}

// commentsWithin are those of what a node holds.
func commentsWithin(n *yaml.Node) []string {
	var all []string
	for _, c := range n.Content {
		all = append(all, c.HeadComment, c.LineComment)
		all = append(append(all, commentsWithin(c)...), c.FootComment)
	}
	return all
}

// rename gives the key of a field another name.
func rename(p path, name string) edit {
	return func(root *yaml.Node) {
		if key, _ := step(lookup(root, p[:len(p)-1]), p[len(p)-1]); key != nil {
			key.Value, key.Tag, key.Style = name, "!!str", 0
		}
	}
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func intNode(n int32) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(int(n))}
}

func list(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: items}
}

// object makes a mapping of keys and values in the given order.
func object(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Content = append(n.Content, text(pairs[i].(string)), pairs[i+1].(*yaml.Node))
	}
	return n
}

// flow writes the node in one line.
func flow(n *yaml.Node) *yaml.Node {
	n.Style |= yaml.FlowStyle
	return n
}
