package lint

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Correction is an object with all its mistakes corrected at once.
type Correction struct {
	Object   Object   `json:"object"`         // that has them: a NetworkPolicy or a PolicyRollout
	Position Position `json:"position"`       // of its first line
	Rules    []string `json:"rules"`          // what is corrected, sorted
	YAML     string   `json:"yaml,omitempty"` // the whole object as a document, as Finding.Corrected
	Left     string   `json:"left,omitempty"` // why it is not put into its file; empty: it can be
}

// Correct writes the corrected documents of all findings from the severity on
// that are not suppressed, sorted by file and line. Findings whose correction is
// another document (a policy to add) or up to a person are left out. A mistake
// that only shows once another one is corrected is left for the next time. A rule
// that is no longer missing then is not added.
func Correct(set *manifest.Set, from Severity) []Correction {
	var all []Correction
	for _, found := range correctable(set, from) {
		c := pending(found)
		if c.Position.File != "" {
			c.Left = found[0].policy.source.Fixed()
		}
		if c.Left == "" && slices.ContainsFunc(found, func(m mistaken) bool { return m.moves }) {
			c.Left = anotherObject
		}
		var err error
		if c.YAML, c.Rules, err = wholly(found); err != nil {
			c.Left = err.Error()
		}
		all = append(all, c)
	}
	return all
}

const anotherObject = "it would become another object, and the one in the cluster would stay: move it by hand"

// wholly corrects one object and writes it as a document, as the source has it if
// it is one there, and can be shown as it is.
func wholly(found []mistaken) (text string, done []string, err error) {
	source := found[0].policy.source
	if doc := source.Tree(); doc != nil && source.In(doc) == doc && found[0].policy.tree() != nil {
		raw, _ := source.Text()
		out, _, err := patched(raw, doc, func(doc *yaml.Node) {
			done = correct(found, func(m mistaken) *yaml.Node { return lookup(doc, m.policy.root) })
		})
		if text = unmarked(out); err == nil && !strings.ContainsFunc(text, hidden) {
			return text, done, nil
		}
	}
	text, err = corrected(found[0].tree(), func(doc *yaml.Node) {
		done = correct(found, func(m mistaken) *yaml.Node { return lookup(doc, m.root()) })
	})
	return text, done, err
}

// correctable groups the mistakes that have a correction by the object that it
// changes, in the order of the files.
func correctable(set *manifest.Set, from Severity) [][]mistaken {
	byDocument := map[string][]mistaken{}
	edited := slices.DeleteFunc(examine(set), func(m mistaken) bool { return m.edit == nil || m.severity < from || m.suppressed() })
	for _, m := range needed(set, edited) {
		byDocument[m.policy.documentKey()] = append(byDocument[m.policy.documentKey()], m)
	}
	var all [][]mistaken
	for _, found := range byDocument {
		inReverse(found)
		all = append(all, found)
	}
	slices.SortFunc(all, func(one, other []mistaken) int {
		a, b := pending(one), pending(other)
		return cmp.Or(strings.Compare(a.Position.File, b.Position.File), cmp.Compare(a.Position.Line, b.Position.Line), strings.Compare(a.Object.String(), b.Object.String()))
	})
	return all
}

// documentKey tells objects apart. Candidates of one rollout share one, unless
// each has to be written anew.
func (p *policy) documentKey() string {
	if p.root == nil || p.tree() == nil {
		return "NetworkPolicy " + p.Key()
	}
	return p.source.String()
}

// inReverse sorts the edits of one object from its end to its beginning, so that
// an item which one of them takes out moves nothing that another one names.
func inReverse(found []mistaken) {
	slices.SortStableFunc(found, func(a, b mistaken) int {
		return -compare(a.policy.root.plus(a.at...), b.policy.root.plus(b.at...))
	})
}

// pending is the correction of one object's mistakes before it is written.
func pending(found []mistaken) Correction {
	p := found[0].policy
	c := Correction{Object: Object{Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name}}
	c.Position = Position{File: p.source.File, Line: p.source.Line}
	if p.tree() != nil {
		c.Object = Object{Kind: p.source.Kind, Namespace: p.source.Namespace, Name: p.source.Name}
	}
	c.Rules = rules(found)
	return c
}

func rules(found []mistaken) []string {
	var all []string
	for _, m := range found {
		all = append(all, m.id)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// tree is the object that the mistake is in, written anew where it has no source.
func (m mistaken) tree() *yaml.Node {
	if tree := m.policy.tree(); tree != nil {
		return tree
	}
	return encoded(m.policy.object)
}

// root leads from that tree to the policy.
func (m mistaken) root() path {
	if m.policy.tree() == nil {
		return nil
	}
	return m.policy.root
}

// correct makes the edits of one object and returns the rules of those that
// changed something. Another edit may have taken out what one of them names.
func correct(found []mistaken, policyOf func(mistaken) *yaml.Node) []string {
	var done []mistaken
	for _, m := range found {
		own := policyOf(m)
		if own == nil {
			continue
		}
		before := manifest.Plain(own)
		m.edit(own)
		if !manifest.Same(before, own) {
			done = append(done, m)
		}
	}
	return rules(done)
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
