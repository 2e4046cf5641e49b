package manifest

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// Position is a place in the input. Lines and columns count from 1; 0 means
// not known. The zero Position is no place.
type Position struct {
	File         string // as it was given or found; "-" is stdin
	Line, Column int
}

// maxPath is the longest name of a file that an operating system takes (Linux's PATH_MAX).
const maxPath = 4096

// String is file:line, or what of it is known, fit to print: a file's name can
// hold anything.
func (p Position) String() string {
	file := strict.Shorten(p.File, maxPath)
	if p.Line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, p.Line)
}

// Source says which object something is, and where it was written.
type Source struct {
	Position   // of the object's first line; zero for objects of a cluster
	APIVersion string
	Kind       string
	Namespace  string // empty for objects of the cluster
	Name       string

	document *document
	path     string // of the object in its document: "items[3]" in a List
}

// String is kind namespace/name.
func (s Source) String() string {
	if s.Namespace == "" {
		return strict.Show(s.Kind + " " + s.Name)
	}
	return strict.Show(s.Kind + " " + s.Namespace + "/" + s.Name)
}

// Where is where a field stands, or the nearest thing around it that is there.
// Paths are written as spec.egress[0].to[1].podSelector; a name with dots in it
// may stand in brackets: metadata.labels[app.kubernetes.io/name]. The
// document may have to be read again, so it is for what is shown to people.
func (s Source) Where(fieldPath string) Position {
	if s.document == nil {
		return s.Position
	}
	if from := s.document.from; from != nil {
		return from.position(strict.Find(from.kept(), s.join(fieldPath)))
	}
	n := s.document.kept()
	if n == nil {
		return s.Position
	}
	return s.document.position(strict.Find(n, s.join(fieldPath)))
}

func (s Source) join(fieldPath string) string {
	return strings.TrimPrefix(s.path+"."+fieldPath, ".")
}

// Text is the source of the whole document that the object stands in, with its
// comments; of an item of a List in YAML, the whole List. It is nil for an
// object of a cluster. FirstLine is the number of its first line in the file.
func (s Source) Text() (text []byte, firstLine int) {
	if s.document == nil {
		return nil, 0
	}
	return s.document.text, s.document.line
}

// Node is the object as a tree with its comments and its order. The caller owns
// it and may edit it; its lines are those of Text. It is nil for an object of a
// cluster.
func (s Source) Node() *yaml.Node {
	if s.document == nil {
		return nil
	}
	n, _, err := s.document.node()
	if err != nil || n == nil {
		return nil // it was read once, so this does not happen
	}
	return strict.Value(n, s.path)
}
