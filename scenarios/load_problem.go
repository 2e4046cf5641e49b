package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// maxProblems are shown at most; a file with more is not read any better for it.
const maxProblems = 20

// Problem is one thing that is wrong with a scenario's file.
type Problem struct {
	File string
	Line int    // from 1; 0 where no line is to blame
	Path string // of the field, such as spec.suite.paths[3].from; empty for the whole file
	What string // what is wrong, and what to do
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.What)
	return b.String()
}

// Problems is the error of a scenario that was read and is wrong: one line per
// problem, in the order of the file. It is never empty.
type Problems []Problem

func (ps Problems) Error() string {
	lines := []string{}
	for _, p := range ps[:min(len(ps), maxProblems)] {
		lines = append(lines, p.String())
	}
	if more := len(ps) - maxProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// positions knows where the fields of a file are, and collects what is wrong
// with them.
type positions struct {
	file     string
	root     *yaml.Node // nil where nothing could be read
	problems Problems
}

// add notes a problem with a field. A field that is missing is blamed on the
// nearest one around it that is there.
func (p *positions) add(path, format string, args ...any) {
	p.problems = append(p.problems, Problem{File: p.file, Line: p.line(path), Path: path, What: fmt.Sprintf(format, args...)})
}

// addSyntax notes that the file is not YAML. The reader tells the line in its text.
func (p *positions) addSyntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, what, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			text, line = what, n
		}
	}
	p.problems = append(p.problems, Problem{File: p.file, Line: line, What: "is not YAML: " + strict.Show(text)})
}

// addAll takes over faults that were found elsewhere.
func (p *positions) addAll(faults []strict.Fault) {
	for _, f := range faults {
		p.problems = append(p.problems, Problem{File: p.file, Line: cmp.Or(f.Line, p.line(f.Path)), Path: f.Path, What: f.What})
	}
}

// line is 0 where it is not known.
func (p *positions) line(path string) int {
	if at := strict.Find(p.root, path); at != nil {
		return at.Line
	}
	return 0
}

// err is nil when nothing was wrong.
func (p *positions) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return p.problems
}
