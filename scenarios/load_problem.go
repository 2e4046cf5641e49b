package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
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
	lines    map[string]int // by path
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
	p.problems = append(p.problems, Problem{File: p.file, Line: line, What: "is not YAML: " + show(text)})
}

// line is 0 where it is not known.
func (p *positions) line(path string) int {
	for {
		if line, ok := p.lines[path]; ok || path == "" {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// err is nil when nothing was wrong.
func (p *positions) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return p.problems
}

// show makes text from a file fit to print: on one line, without anything a
// terminal would act on, and short.
func show(text string) string { return shorten(text, 80) }

func shorten(text string, most int) string {
	runes, end := []rune(text), ""
	if len(runes) > most {
		runes, end = runes[:most], "…"
	}
	if slices.ContainsFunc(runes, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(string(runes)) + end
	}
	return string(runes) + end
}

// didYouMean is "; did you mean x?" for the name that is so near that a slip of
// the finger explains it, else "".
func didYouMean(got string, names []string) string {
	best, least := "", 3 // distances up to 2
	for _, name := range names {
		d := distance(strings.ToLower(got), strings.ToLower(name))
		if d < least && d < len(name) {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is Levenshtein's. Long texts are not near anything.
func distance(a, b string) int {
	const long = 64
	if len(a) > long || len(b) > long {
		return long
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// oneOf is "a, b or c".
func oneOf[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " or " + texts[len(texts)-1]
}
