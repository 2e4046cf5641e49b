package lint

import (
	"slices"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Replacement is a correction as lines of a file.
type Replacement struct {
	File        string
	First, Last int // lines that are replaced, from 1; at least one
	// Column is behind the last character of the last line, in UTF-16 units from 1.
	Column int
	Text   string // stands in their place, without what ends the last line
}

// Replacements are the corrections of errors and warnings, each alone, as lines of
// its file. There is none where only a person knows what is right, and where the
// file cannot be edited: see Rewrite.Left.
func Replacements(set *manifest.Set) map[Finding]Replacement {
	all := map[Finding]Replacement{}
	for _, m := range examine(set) {
		if m.severity < Warning {
			continue
		}
		if r, ok := m.replacement(); ok {
			all[m.finding()] = r
		}
	}
	return all
}

func (m mistaken) replacement() (Replacement, bool) {
	if m.edit == nil || m.moves || m.policy.source.File == "" || m.policy.source.Fixed() != "" {
		return Replacement{}, false
	}
	source := m.policy.source
	text, line := source.Text()
	out, _, err := patched(text, source.Tree(), func(doc *yaml.Node) {
		correct([]mistaken{m}, func(m mistaken) *yaml.Node { return lookup(source.In(doc), m.policy.root) })
	})
	if err != nil {
		return Replacement{}, false
	}
	was, is := lines(text), lines(out)
	first, last, with := differing(was, is)
	if first == last && len(with) == 0 {
		return Replacement{}, false
	}
	end := strings.TrimRight(was[last-1], "\r\n")
	return Replacement{File: source.File, First: line + first, Last: line + last - 1, Column: len(utf16.Encode([]rune(end))) + 1,
		Text: strings.TrimRight(strings.Join(with, ""), "\r\n")}, true
}

// differing are the lines [first, last) that others stand in place of. Where lines
// are only added it is the line before them too, so that something is replaced.
func differing(was, is []string) (first, last int, with []string) {
	for first < min(len(was), len(is)) && was[first] == is[first] {
		first++
	}
	same := 0
	for same < min(len(was), len(is))-first && was[len(was)-1-same] == is[len(is)-1-same] {
		same++
	}
	last = len(was) - same
	with = is[first : len(is)-same]
	switch {
	case first < last || len(with) == 0:
	case first > 0:
		first--
		with = slices.Concat(was[first:first+1], with)
	default:
		with = slices.Concat(with, was[:1])
		last = 1
	}
	return first, last, with
}
