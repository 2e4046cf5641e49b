package lint

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Correction is a document with all its mistakes corrected at once.
type Correction struct {
	Object   Object   `json:"object"`   // whose document it is: a NetworkPolicy or a PolicyRollout
	Position Position `json:"position"` // of its first line
	Rules    []string `json:"rules"`    // what was corrected, sorted
	YAML     string   `json:"yaml"`     // the whole document, as Finding.Corrected
}

// Correct writes the corrected documents of all findings from the severity on
// that are not suppressed, sorted by file and line. Findings whose correction is
// another document (a policy to add) or up to a person are left out. A mistake
// that only shows once another one is corrected is left for the next time.
func Correct(set *manifest.Set, from Severity) []Correction {
	byDocument := map[string][]mistaken{}
	for _, m := range examine(set) {
		if m.edit != nil && m.severity >= from && !m.suppressed() {
			byDocument[m.policy.documentKey()] = append(byDocument[m.policy.documentKey()], m)
		}
	}
	var all []Correction
	for _, found := range byDocument {
		all = append(all, correction(found))
	}
	slices.SortFunc(all, func(a, b Correction) int {
		return cmp.Or(strings.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line), strings.Compare(a.Object.String(), b.Object.String()))
	})
	return all
}

// documentKey tells documents apart. Candidates of one rollout share one, unless
// each has to be written anew.
func (p *policy) documentKey() string {
	if p.root == nil || p.tree() == nil {
		return "NetworkPolicy " + p.Key()
	}
	return p.source.String()
}

// correction makes the edits of one document from its end to its beginning, so
// that an item which one of them takes out moves nothing that another one names.
func correction(found []mistaken) Correction {
	slices.SortStableFunc(found, func(a, b mistaken) int {
		return -compare(a.policy.root.plus(a.at...), b.policy.root.plus(b.at...))
	})
	first := found[0].policy
	c := Correction{Object: Object{Kind: "NetworkPolicy", Namespace: first.Namespace, Name: first.Name}}
	c.Position = Position{File: first.source.File, Line: first.source.Line}
	tree := first.tree()
	if tree == nil {
		tree = encoded(first.object)
	} else {
		c.Object = Object{Kind: first.source.Kind, Namespace: first.source.Namespace, Name: first.source.Name}
	}
	c.YAML, _ = corrected(tree, func(doc *yaml.Node) {
		for _, m := range found {
			root := m.policy.root
			if m.policy.tree() == nil {
				root = nil
			}
			within(root, []edit{m.edit})(doc)
		}
	})
	for _, m := range found {
		c.Rules = append(c.Rules, m.id)
	}
	slices.Sort(c.Rules)
	c.Rules = slices.Compact(c.Rules)
	return c
}

// compare orders paths as their fields stand: indexes by number, and a field
// before what is in it.
func compare(a, b path) int {
	for i := range min(len(a), len(b)) {
		m, isIndex := a[i].(int)
		n, areIndexes := b[i].(int)
		order := strings.Compare(at(a[i]).String(), at(b[i]).String())
		if isIndex && areIndexes {
			order = cmp.Compare(m, n)
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}
