package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Change is new text for the document that an object stands in.
type Change struct {
	Source Source     // of an object in the document
	Text   []byte     // stands in the place of Source.Text
	Want   *yaml.Node // what Text must mean: see Same
}

// ErrMoved says that a file no longer holds what was read from it.
var ErrMoved = errors.New("the file is no longer what was read: run the command again")

// Fixed says why the text of the object's document cannot be changed in its
// file. It is empty where that is possible.
func (s Source) Fixed() string {
	switch {
	case s.document == nil:
		return "it is an object of a cluster, in no file"
	case s.document.built:
		return "kustomize builds it: correct what it is built of"
	case s.document.embedded:
		return "it stands in the text of another object"
	case s.document.json:
		return "it is written as JSON, and only YAML is edited"
	}
	return ""
}

// Tree is the whole document that the object stands in. The caller owns it. It
// is nil for an object of a cluster.
func (s Source) Tree() *yaml.Node {
	if s.document == nil {
		return nil
	}
	n, _, err := s.document.node()
	if err != nil {
		return nil // it was read once, so this does not happen
	}
	return n
}

// Splice returns the text of a file with documents of it changed, byte for byte
// the same everywhere else. It reads the result before it returns it, and fails
// where that does not hold the same documents in the same order, or a changed one
// does not mean what is wanted. The file is to be left alone then.
func Splice(file string, raw []byte, changes []Change) ([]byte, error) {
	body := bytes.TrimPrefix(raw, []byte("\ufeff"))
	before := split(file, 1, body)
	changed := map[int]Change{}
	for _, c := range changes {
		if why := c.Source.Fixed(); why != "" {
			return nil, fmt.Errorf("%s: %s", c.Source, why)
		}
		i := slices.IndexFunc(before, func(d *document) bool {
			return !d.json && d.line == c.Source.document.line && bytes.Equal(d.text, c.Source.document.text)
		})
		if i < 0 {
			return nil, fmt.Errorf("%s: %w", c.Source, ErrMoved)
		}
		changed[i] = c
	}
	out, done := slices.Clone(raw[:len(raw)-len(body)]), 0
	for i, d := range before {
		if c, ok := changed[i]; ok {
			out = append(append(out, body[done:d.offset]...), c.Text...)
			done = d.offset + len(d.text)
		}
	}
	out = append(out, body[done:]...)
	if err := proven(file, before, changed, out); err != nil {
		return nil, err
	}
	return out, nil
}

// proven holds a changed file against the documents that it had.
func proven(file string, before []*document, changed map[int]Change, raw []byte) error {
	after := split(file, 1, bytes.TrimPrefix(raw, []byte("\ufeff")))
	if len(after) != len(before) {
		return fmt.Errorf("it would have %s in place of %d", count(len(after), "document"), len(before))
	}
	for i, d := range before {
		c, ok := changed[i]
		switch {
		case !ok && (d.json != after[i].json || !bytes.Equal(d.text, after[i].text)):
			// The same bytes are the same objects: a document is read by itself.
			return fmt.Errorf("the document at line %d would change, which has no correction", d.line)
		case !ok:
			continue
		}
		was, _, err := d.node()
		if err != nil {
			return fmt.Errorf("%s: %w", c.Source, err)
		}
		is, _, err := after[i].node()
		if err != nil {
			return fmt.Errorf("%s: the corrected document %w", c.Source, err)
		}
		if !Same(is, c.Want) {
			return fmt.Errorf("%s: the corrected document would not be read as it is meant", c.Source)
		}
		if !slices.Equal(identities(was), identities(is)) {
			return fmt.Errorf("%s: the corrected document would be another object", c.Source)
		}
	}
	r := newReading(Options{})
	r.parse(file, raw, false)
	if len(r.problems) > 0 {
		return fmt.Errorf("it could not be read any more: %w", &Error{Problems: r.problems})
	}
	return nil
}

// identities name the object of a tree, or those of a List.
func identities(n *yaml.Node) []string {
	n = resolve(n)
	if n == nil {
		return nil
	}
	own := fmt.Sprintf("%q", []string{text(n, "apiVersion"), text(n, "kind"), text(n, "metadata", "namespace"), text(n, "metadata", "name")})
	all := []string{own}
	if items := resolve(field(n, "items")); items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content {
			all = append(all, identities(item)...)
		}
	}
	return all
}

func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
