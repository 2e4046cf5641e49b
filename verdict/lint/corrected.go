package lint

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds what expanding aliases may make of one policy.
const maxNodes = 100_000

// corrected applies the edit to a copy of the tree and writes it as one YAML
// document. Comments and order stay; anchors are written out, so that an edit
// cannot reach another place of the file. JSON becomes YAML.
func corrected(tree *yaml.Node, change edit) (string, error) {
	budget := maxNodes
	root := clone(tree, &budget)
	if budget < 0 || root == nil {
		return "", fmt.Errorf("the document expands to more than %d nodes", maxNodes)
	}
	if body := content(root); body.Style&yaml.FlowStyle != 0 {
		blocks(body)
	}
	change(root)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if !indentsLists(tree) {
		enc.CompactSeqIndent()
	}
	if err := enc.Encode(root); err != nil {
		return "", fmt.Errorf("write the corrected document: %w", err)
	}
	return out.String(), enc.Close()
}

// clone copies the tree without sharing and without aliases.
func clone(n *yaml.Node, budget *int) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if *budget--; n == nil || *budget < 0 {
		return nil
	}
	own := *n
	own.Anchor, own.Content = "", make([]*yaml.Node, 0, len(n.Content))
	for _, c := range n.Content {
		if c = clone(c, budget); c == nil {
			return nil
		}
		own.Content = append(own.Content, c)
	}
	return &own
}

// blocks undoes the one-line style of a document that was JSON.
func blocks(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle | yaml.DoubleQuotedStyle
	for _, c := range n.Content {
		blocks(c)
	}
}

// indentsLists reports whether the source indents the items of a list under a
// key. kubectl does not, and so it is false where there is nothing to see.
func indentsLists(n *yaml.Node) bool {
	if n == nil {
		return false
	}
	if n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0 {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if value.Kind == yaml.SequenceNode && value.Style&yaml.FlowStyle == 0 && len(value.Content) > 0 {
				return value.Column > key.Column
			}
		}
	}
	for _, c := range n.Content {
		if indentsLists(c) {
			return true
		}
	}
	return false
}

// hasMerge reports whether the tree has merge keys (<<), whose edits would have
// to know which of two maps a field comes from.
func hasMerge(n *yaml.Node) bool {
	for _, c := range n.Content {
		if c.Tag == "!!merge" || hasMerge(c) {
			return true
		}
	}
	return false
}

// newDocument writes a new YAML document.
func newDocument(n *yaml.Node) string {
	out, err := corrected(n, edits())
	if err != nil {
		return ""
	}
	return out
}
