package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
	"weak"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// Bounds of one document.
const (
	maxDepth = 100       // levels of nesting; Kubernetes' objects have about 20
	maxNodes = 2_000_000 // values as written
	maxAlias = 100_000   // values that aliases add
)

// maxDocuments bounds the documents, and items of Lists in JSON, of all input.
const maxDocuments = 200_000

// document is the text of one document, or of one item of a List in JSON.
type document struct {
	file string
	line int // of its first line in the file, from 1
	col  int // of its first byte in that line, from 1
	// offset of the text in what was split; of a value of JSON it is not kept.
	offset int
	text   []byte
	json   bool
	// embedded: the text is the value of a field of another document.
	embedded bool
	// within: it stands in a text of one line, such as a string with \n in it,
	// so that its own lines are no lines of the file.
	within bool
	// built: kustomize made it. From is the document that it was made of; nil where
	// that is not known, and then it stands at the beginning of the file.
	built bool
	from  *document

	indent int   // of a text within a block of another document
	odd    []int // lines of the YAML library that are none of the file: see oddBreaks

	mu   sync.Mutex
	tree weak.Pointer[yaml.Node] // what the last parse made, while memory has room for it
	// listed is what a List in JSON says of its items; empty otherwise.
	listed header
}

// position is where a node of the document stands in the file.
func (d *document) position(n *yaml.Node) Position {
	p := Position{File: d.file, Line: d.line, Column: d.col}
	if n == nil || n.Line == 0 || d.within || d.built {
		return p
	}
	p.Line, p.Column = d.line+d.fileLine(n.Line)-1, n.Column+d.indent
	if n.Line == 1 {
		p.Column += d.col - 1
	}
	return p
}

// kept is the document's tree, which must not be changed: the last one if it is
// there still. It is nil where there is none, and the text was read once, so
// that is not for an error.
func (d *document) kept() *yaml.Node {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.tree.Value(); n != nil {
		return n
	}
	n, _, err := d.node()
	if err != nil || n == nil {
		return nil
	}
	d.tree = weak.Make(n)
	return n
}

// node parses the document. The error has no position in it.
func (d *document) node() (*yaml.Node, Position, error) {
	if d.json {
		n, err := parseJSON(d.text)
		at := d.position(n)
		if err != nil {
			at.Column = 0
		}
		return n, at, err
	}
	var n, second yaml.Node
	reader := yaml.NewDecoder(bytes.NewReader(d.text))
	err := reader.Decode(&n)
	if err == nil {
		err = reader.Decode(&second)
	}
	switch {
	case err == nil:
		return nil, d.position(&second), errors.New("a document begins after a line break that is no line feed, and kubectl would not read it: save the file with line feeds")
	case !errors.Is(err, io.EOF):
		line, what := d.syntax(err)
		at := Position{File: d.file, Line: d.line}
		if !d.within {
			at.Line += line - 1
		}
		return nil, at, fmt.Errorf("is not YAML: %s", strict.Show(what))
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) == 0 {
		return nil, Position{}, nil // nothing but comments
	}
	if line := d.refusedTab(); line > 0 {
		return nil, Position{File: d.file, Line: d.line + line - 1}, errors.New("a tab begins a line that is empty or a comment, and kubectl would not read the document: use spaces")
	}
	return n.Content[0], d.position(n.Content[0]), nil
}

// parse reads the objects of a file. Named says that the user named the file,
// so that it is expected to hold manifests.
func (r *reading) parse(file string, raw []byte, named bool) {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	if at, what := unreadable(raw); what != "" {
		r.problem(Position{File: file, Line: at}, "", "%s", what)
		return
	}
	all := split(file, 1, raw)
	if r.documents += len(all); r.documents > maxDocuments {
		r.problem(Position{File: file}, "", "with it the input has more than %d objects: name fewer files, or leave out kinds that are not read", maxDocuments)
		return
	}
	for _, d := range all {
		r.document(d, named)
	}
}

// unreadable says what is not text, and in which line it begins.
func unreadable(raw []byte) (line int, what string) {
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return 1 + bytes.Count(raw[:i], []byte("\n")), "is binary: a manifest is text (YAML or JSON in UTF-8)"
	}
	if utf8.Valid(raw) {
		return 0, ""
	}
	i := 0
	for i < len(raw) {
		_, n := utf8.DecodeRune(raw[i:])
		if n == 1 && raw[i] >= utf8.RuneSelf {
			break
		}
		i += n
	}
	return 1 + bytes.Count(raw[:i], []byte("\n")), fmt.Sprintf("the byte 0x%02x is not UTF-8: save the file as UTF-8", raw[i])
}

// split cuts a text into documents: at the markers of YAML, which nothing
// within a document can look like, and between values of JSON. It stops at one
// more than are read.
func split(file string, line int, raw []byte) []*document {
	var all []*document
	begin, first, at := 0, line, line
	flush := func(end, next int) {
		if d := (&document{file: file, line: first, col: 1, offset: begin, text: raw[begin:end]}); len(all) <= maxDocuments && !blank(d.text) {
			all = append(all, d)
		}
		begin, first = end, next
	}
	for i := 0; i < len(raw); at++ {
		end := len(raw)
		if n := bytes.IndexByte(raw[i:], '\n'); n >= 0 {
			end = i + n + 1
		}
		switch text := raw[i:end]; {
		case isMarker(text, "---"):
			flush(i, at)
		case isMarker(text, "..."):
			flush(i, at)
			begin, first = end, at+1
		}
		i = end
	}
	flush(len(raw), at)
	split := []*document{}
	for _, d := range all {
		d.odd = oddBreaks(d.text)
		if len(split) <= maxDocuments {
			split = append(split, d.values()...)
		}
	}
	return split
}

func isMarker(line []byte, marker string) bool {
	return bytes.HasPrefix(line, []byte(marker)) && (len(line) == len(marker) || strings.ContainsRune(" \t\r\n", rune(line[len(marker)])))
}

// blank reports whether a text has only comments, directives and markers.
func blank(text []byte) bool {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		line = bytes.TrimSpace(line)
		if isMarker(line, "---") {
			line = bytes.TrimSpace(line[3:])
		}
		if len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return false
		}
		text = rest
	}
	return true
}

// heavy reports whether a text could hold more values than memory is set aside
// for: in front of each value stands one of these.
func heavy(text []byte) bool {
	n := 0
	for _, b := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029", ",", ":", "[", "{", "- ", "? "} {
		n += bytes.Count(text, []byte(b))
	}
	return n > maxNodes
}

// document reads the objects of one document.
func (r *reading) document(d *document, named bool) {
	if heavy(d.text) {
		r.problem(d.position(nil), "", "one document with more than %d values: split it with ---, or write it as JSON", maxNodes)
		return
	}
	n, at, err := d.node()
	switch {
	case err != nil:
		r.problem(at, "", "%v", err)
		return
	case n == nil:
		return
	}
	if at, what := unbounded(n); what != "" {
		r.problem(d.position(at), "", "%s", what)
		return
	}
	r.object(Source{Position: d.position(n), document: d}, n, d.listed, named)
}

// unbounded says in what respect a tree is larger than anything that is meant well.
func unbounded(n *yaml.Node) (at *yaml.Node, what string) {
	e := strict.Expand(n)
	switch {
	case e.Cycle != nil:
		return e.Cycle, fmt.Sprintf("the alias *%s stands within what it stands for, which has no end", strict.Show(e.Cycle.Value))
	case e.Aliased > maxAlias:
		return e.Worst, fmt.Sprintf("aliases add more than %d values, this one (*%s) the most: write out what is meant", maxAlias, strict.Show(e.Worst.Value))
	case e.Depth > maxDepth:
		return n, fmt.Sprintf("nested %d levels deep; %d are read", e.Depth, maxDepth)
	}
	return nil, ""
}
