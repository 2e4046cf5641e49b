package manifest

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/verdict/kustomize"
)

// built reads what kustomize makes of a directory, in place of the files in the
// directories with kustomizations. It reports false where it makes nothing, and
// nothing is broken: all files are read as they are then.
func (f *finder) built(path string) bool {
	trees := kustomize.Find(path)
	type build struct {
		root    kustomize.Tree
		objects []kustomize.Object
		left    []string
	}
	var builds []build
	failed := map[string]error{}
	for _, root := range kustomize.Roots(path, trees) {
		objects, left, err := kustomize.Build(root, kustomize.Options{MaxFile: f.options.MaxFile})
		if err != nil {
			failed[root.File] = err
			continue
		}
		builds = append(builds, build{root, objects, left})
	}
	if broken := f.noteFailed(failed, len(builds) > 0); len(builds) == 0 && !broken {
		return false
	}
	f.kustomized = map[string]bool{}
	for _, t := range trees {
		f.kustomized[filepath.Clean(t.Dir)] = true
	}
	made := map[string]string{} // who builds an object
	for _, b := range builds {
		f.take(b.root, b.objects, b.left, made)
	}
	return true
}

// noteFailed says what cannot be built. What is broken is a problem: its files are
// not what anybody would apply. What is not done here is read as it is, or left out.
func (f *finder) noteFailed(failed map[string]error, othersAre bool) (broken bool) {
	f.refused = map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(failed)) {
		f.refused[filepath.Clean(file)] = true
		if !errors.As(failed[file], new(*kustomize.Refusal)) {
			f.problem(Position{File: file}, "", "cannot be built: %v; repair it, or name other files with -f", failed[file])
			broken = true
			continue
		}
		instead := "the manifests are read as they are"
		if othersAre {
			instead = "what it names is left out"
		}
		f.note(Position{File: file}, "", kustomizes+", because it cannot be built: %v; %s: pipe %s into -f - instead", failed[file], instead, pipe(filepath.Dir(file)))
	}
	return broken
}

// pipe is the command whose output holds what is missing.
func pipe(dir string) string { return "the output of kustomize build " + Position{File: dir}.String() }

// take reads what a kustomization builds. Overlays of one base build the same
// objects, and only one can be judged at a time.
func (f *finder) take(root kustomize.Tree, objects []kustomize.Object, left []string, made map[string]string) {
	at := Position{File: root.File}
	for _, o := range objects {
		if other, ok := made[key(o.Kind, o.Namespace, o.Name)]; ok {
			f.note(at, "", "is not judged: it builds %s as %s does, and one of them is judged at a time; name it with -f",
				Source{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}, Position{File: other})
			return
		}
	}
	for _, l := range left {
		f.note(at, "", "builds on %s, which is not fetched, and what it holds is missing: pipe %s into -f - instead", strict.Show(l), pipe(root.Dir))
	}
	f.note(at, "", "is built by kustomize: %s; files beside it that it does not name are not read", count(len(objects), "object"))
	f.files++
	for _, o := range objects {
		made[key(o.Kind, o.Namespace, o.Name)] = root.File
		d := f.origin(o)
		f.documents++
		f.document(d, true)
	}
}

// origin is the object as a document that stands where it comes from.
func (f *finder) origin(o kustomize.Object) *document {
	d := &document{file: o.Origin, line: 1, col: 1, text: o.Text, built: true}
	if kustomize.IsFile(filepath.Base(o.Origin)) {
		d.line = 0 // it is generated
		return d
	}
	raw, ok := f.origins[o.Origin]
	if !ok {
		text, err := os.ReadFile(o.Origin)
		if err != nil || int64(len(text)) > f.options.MaxFile || !readable(text) {
			text = nil
		}
		raw = split(o.Origin, 1, text)
		f.origins[o.Origin] = raw
	}
	if d.from = nearest(raw, o); d.from != nil {
		d.line = d.from.position(d.from.kept()).Line
	}
	return d
}

// nearest is the document of the object's kind whose name is most of the object's,
// to which a prefix or a suffix may have been added; nil where several are.
func nearest(all []*document, o kustomize.Object) *document {
	var best *document
	longest, several := 0, false
	for _, one := range all {
		n := one.kept()
		name := text(n, "metadata", "name")
		switch {
		case text(n, "kind") != o.Kind || name == "" || len(name) < longest || !strings.Contains(o.Name, name):
		case len(name) == longest:
			several = true
		default:
			best, longest, several = one, len(name), false
		}
	}
	if several {
		return nil
	}
	return best
}

func readable(raw []byte) bool {
	_, what := unreadable(raw)
	return what == "" && !heavy(raw)
}

// Built reports whether kustomize builds the object, so that it stands in no file
// as it is.
func (s Source) Built() bool { return s.document != nil && s.document.built }
