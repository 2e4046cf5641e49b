package repair

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	maxLines    = 12  // of a rule are shown
	maxDocument = 100 // of a policy
)

// Written is a rule as a list item, with its comments.
func Written(rule *yaml.Node) string {
	return encoded(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{rule}}, maxLines)
}

// Item is a rule as a list item, peers before ports as people write it.
func Item(rule any) string {
	n := nodeOf(rule)
	if n == nil {
		return ""
	}
	return Written(n)
}

// list is a whole object as a list item.
func list(object any) string {
	n := nodeOf(object)
	if n == nil {
		return ""
	}
	return encoded(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}, maxDocument)
}

// document is a whole object.
func document(object any) string {
	n := nodeOf(object)
	if n == nil {
		return ""
	}
	return encoded(n, maxDocument)
}

func nodeOf(object any) *yaml.Node {
	raw, err := sigsyaml.Marshal(object)
	var doc yaml.Node
	if err != nil || yaml.Unmarshal(raw, &doc) != nil || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

func encoded(n *yaml.Node, most int) string {
	tighten(n)
	var b strings.Builder
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if e.Encode(n) != nil || e.Close() != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if more := len(lines) - most; more > 0 {
		lines = append(lines[:most], fmt.Sprintf("# and %d lines more", more))
	}
	return strings.Join(lines, "\n")
}

// tighten puts selectors and ports on one line each, and ports behind peers, so
// that a rule stays in sight as a whole. What has comments is left as it is.
func tighten(n *yaml.Node) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		switch {
		case slices.Contains([]string{"podSelector", "namespaceSelector", "ipBlock", "policyTypes", "metadata"}, key):
			flow(value)
		case key == "ports":
			for _, port := range value.Content {
				flow(port)
			}
			if i+3 < len(n.Content) && slices.Contains([]string{"to", "from"}, n.Content[i+2].Value) {
				n.Content[i], n.Content[i+1], n.Content[i+2], n.Content[i+3] = n.Content[i+2], n.Content[i+3], n.Content[i], n.Content[i+1]
				tighten(n.Content[i+1])
			}
			continue
		}
		tighten(value)
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			tighten(item)
		}
	}
}

func flow(n *yaml.Node) {
	if !commented(n) {
		n.Style |= yaml.FlowStyle
	}
}

func commented(n *yaml.Node) bool {
	return n.HeadComment+n.LineComment+n.FootComment != "" || slices.ContainsFunc(n.Content, commented)
}
