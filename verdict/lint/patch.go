package lint

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// patched is the text of a document with an edit made, and the tree that it
// means. Lines that the edit does not touch stay as they are where the text
// allows; elsewhere the document is written anew. It fails rather than lose a
// comment of what stays, or mean something else.
func patched(text []byte, tree *yaml.Node, change edit) ([]byte, *yaml.Node, error) {
	before, was, err := rewrittenAs(tree, edits())
	if err != nil {
		return nil, nil, err
	}
	after, is, err := rewrittenAs(tree, change)
	if err != nil {
		return nil, nil, err
	}
	kept := commentsKept(text, before, after)
	marker, body := cutMarker(text)
	end := lineEnd(text)
	mine, base, edited := lines(body), lines(end.in(was)), lines(end.in(is))
	refused := errMisread
	for _, proposal := range [][]string{graft(mine, base, edited), framed(mine, edited)} {
		out := end.join(slices.Concat(marker, proposal), bytes.HasSuffix(text, []byte("\n")))
		if again, err := manifest.Parse(out); err != nil || !manifest.Same(again, after) {
			continue
		}
		if lost := kept.lost(out); lost != "" {
			refused = fmt.Errorf("the comment %q would be lost: correct the document by hand (see --fix)", lost)
			continue
		}
		return out, after, nil
	}
	return nil, nil, refused
}

// framed is the text written anew between the comments that it begins and ends with.
func framed(text, anew []string) []string {
	quiet := func(line string) bool {
		bare := strings.TrimSpace(line)
		return (bare == "" || bare[0] == '#') && !hasLine(anew, bare)
	}
	first := 0
	for first < len(text) && quiet(text[first]) {
		first++
	}
	last := len(text)
	for last > first && quiet(text[last-1]) {
		last--
	}
	return slices.Concat(text[:first], anew, text[last:])
}

// cutMarker cuts off the line that begins the document, if it has one. What
// stands behind its sign other than a comment moves to the next line.
func cutMarker(text []byte) (marker []string, body []byte) {
	rest, ok := bytes.CutPrefix(text, []byte("---"))
	if !ok || len(rest) > 0 && !strings.ContainsRune(" \t\r\n", rune(rest[0])) {
		return nil, text
	}
	line, after, _ := bytes.Cut(rest, []byte("\n"))
	if behind := bytes.TrimSpace(line); len(behind) == 0 || behind[0] == '#' {
		return lines(text[:len(text)-len(after)]), after
	}
	return []string{"---"}, bytes.TrimLeft(rest, " \t")
}

// unmarked is a document without the sign that begins it, with line feeds, and
// with one at its end: so it can be printed among others.
func unmarked(text []byte) string {
	marker, body := cutMarker(text)
	comment := ""
	if len(marker) > 0 {
		comment = strings.TrimLeft(strings.TrimPrefix(marker[0], "---"), " \t\r\n")
	}
	return strings.TrimRight(strings.ReplaceAll(comment+string(body), "\r\n", "\n"), "\n") + "\n"
}

// lines are those of a text, each with what ends it.
func lines(text []byte) []string {
	return slices.Collect(strings.Lines(string(text)))
}

// ending is what ends a line of a text.
type ending string

func lineEnd(text []byte) ending {
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// in writes what an encoder wrote with this ending.
func (e ending) in(encoded string) []byte {
	return []byte(strings.ReplaceAll(encoded, "\n", string(e)))
}

// join makes a text of lines, of which the last one is ended or not.
func (e ending) join(all []string, ended bool) []byte {
	var out bytes.Buffer
	for _, line := range all {
		out.WriteString(line)
		if !strings.HasSuffix(line, "\n") {
			out.WriteString(string(e))
		}
	}
	if !ended {
		return bytes.TrimSuffix(out.Bytes(), []byte(e))
	}
	return out.Bytes()
}

// comments counts texts of comments, one for each line that has one.
type comments map[string]int

// commentsKept are the comments of a text that an edit does not take out
// together with what they are about.
func commentsKept(text []byte, before, after *yaml.Node) comments {
	all, gone, left := commentsIn(text), comments{}, comments{}
	gone.ofTree(before)
	left.ofTree(after)
	for c, n := range gone {
		if n > left[c] {
			all[c] -= n - left[c]
		}
	}
	all.withoutTexts(before)
	return all
}

// withoutTexts takes out what looks like a comment and is part of a text of
// several lines, which an encoder may write in one.
func (c comments) withoutTexts(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
		for one, times := range commentsIn([]byte(n.Value)) {
			c[one] -= times
		}
	}
	for _, inner := range n.Content {
		c.withoutTexts(inner)
	}
}

// lost is a comment that is missing in the text; empty: none is.
func (c comments) lost(text []byte) string {
	has := commentsIn(text)
	var missing []string
	for one, n := range c {
		if has[one] < n {
			missing = append(missing, one)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return slices.Min(missing)
}

// commentsIn looks for what is a comment, or looks like one.
func commentsIn(text []byte) comments {
	all := comments{}
	for line := range strings.Lines(string(text)) {
		bare := strings.TrimSpace(line)
		if i := strings.Index(bare, " #"); i >= 0 && !strings.HasPrefix(bare, "#") {
			bare = bare[i+1:]
		}
		if strings.HasPrefix(bare, "#") {
			all[bare]++
		}
	}
	return all
}

func (c comments) ofTree(n *yaml.Node) {
	for _, text := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		for line := range strings.Lines(text) {
			if bare := strings.TrimSpace(line); bare != "" {
				c[bare]++
			}
		}
	}
	for _, inner := range n.Content {
		c.ofTree(inner)
	}
}
