package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Rewrite is a file with the corrections of the documents in it.
type Rewrite struct {
	File string // as the set has it; empty: what is in no file
	// Text is the whole file, corrected; nil where nothing of it is.
	Text []byte
	Was  []byte       // what the file held, if Text is there
	Done []Correction // in the order of the file
	Left []Correction // that are not made, each with the reason
}

// Rewrites corrects whole files: the same mistakes as Correct, each document in
// its own place. Everything else of a file stays byte for byte, and so do the
// lines of a document that no correction touches, with their comments. The result
// has been read again, and holds the documents that the file held: where it would
// not, Rewrites fails, and nothing may be written. read gives the bytes of a file
// as they are now.
func Rewrites(set *manifest.Set, from Severity, read func(file string) ([]byte, error)) ([]Rewrite, error) {
	byFile := map[string]*rewriting{}
	for _, found := range correctable(set, from) {
		source := found[0].policy.source
		r := byFile[source.File]
		if r == nil {
			r = &rewriting{Rewrite: Rewrite{File: source.File}, documents: map[int][][]mistaken{}}
			byFile[source.File] = r
		}
		if why := source.Fixed(); why != "" {
			r.leave(found, why)
			continue
		}
		r.leave(slices.DeleteFunc(slices.Clone(found), func(m mistaken) bool { return !m.moves }), anotherObject)
		found = slices.DeleteFunc(found, func(m mistaken) bool { return m.moves })
		if len(found) > 0 {
			_, line := source.Text()
			r.documents[line] = append(r.documents[line], found)
		}
	}
	var all []Rewrite
	for _, r := range byFile {
		if err := r.write(read); err != nil {
			return nil, fmt.Errorf("%s: %w", cmp.Or(r.File, "the cluster"), err)
		}
		all = append(all, r.Rewrite)
	}
	slices.SortFunc(all, func(a, b Rewrite) int { return strings.Compare(a.File, b.File) })
	return all, nil
}

// rewriting is a Rewrite in the making.
type rewriting struct {
	Rewrite
	documents map[int][][]mistaken // by line: the objects of a document that have mistakes
}

func (r *rewriting) leave(found []mistaken, why string) {
	if len(found) == 0 {
		return
	}
	c := pending(found)
	c.Left = why
	r.Left = append(r.Left, c)
}

func (r *rewriting) write(read func(file string) ([]byte, error)) error {
	var changes []manifest.Change
	for _, objects := range r.documents {
		if change, ok := r.document(objects); ok {
			changes = append(changes, change)
		}
	}
	for _, list := range [][]Correction{r.Done, r.Left} {
		slices.SortStableFunc(list, func(a, b Correction) int { return cmp.Compare(a.Position.Line, b.Position.Line) })
	}
	if len(changes) == 0 {
		return nil
	}
	var err error
	if r.Was, err = read(r.File); err != nil {
		return err
	}
	r.Text, err = manifest.Splice(r.File, r.Was, changes)
	return err
}

// document corrects one document, in which several objects of a List may have mistakes.
func (r *rewriting) document(objects [][]mistaken) (manifest.Change, bool) {
	source := objects[0][0].policy.source
	text, _ := source.Text()
	done := make([][]string, len(objects))
	out, want, err := patched(text, source.Tree(), func(doc *yaml.Node) {
		for i, found := range objects {
			done[i] = correct(found, func(m mistaken) *yaml.Node { return lookup(m.policy.source.In(doc), m.policy.root) })
		}
	})
	if err != nil {
		for _, found := range objects {
			r.leave(found, err.Error())
		}
		return manifest.Change{}, false
	}
	changed := false
	for i, found := range objects {
		isDone := func(m mistaken) bool { return slices.Contains(done[i], m.id) }
		r.leave(slices.DeleteFunc(slices.Clone(found), isDone), "another correction of it comes first: run the command again")
		c := pending(found)
		if c.Rules = done[i]; len(c.Rules) > 0 {
			r.Done, changed = append(r.Done, c), true
		}
	}
	return manifest.Change{Source: source, Text: out, Want: want}, changed
}
