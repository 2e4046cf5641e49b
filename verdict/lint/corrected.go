package lint

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// corrected applies the edit to a copy of the tree and writes it as one YAML
// document. Comments and order stay; anchors and merge keys are written out, so
// that an edit cannot reach another place of the file. JSON becomes YAML. It is
// read again, so that what it returns means what the edit makes of the tree.
func corrected(tree *yaml.Node, change edit) (string, error) {
	root, out, err := rewrittenAs(tree, edits(change, escapable))
	if err != nil {
		return "", err
	}
	if again, err := manifest.Parse([]byte(out)); err != nil || !manifest.Same(again, content(root)) {
		return "", errMisread
	}
	return out, nil
}

// rewrittenAs is what an encoder makes of an edited copy of a document.
func rewrittenAs(tree *yaml.Node, change edit) (root *yaml.Node, text string, err error) {
	if root = manifest.Plain(tree); root == nil {
		return nil, "", errTooLarge
	}
	if body := content(root); body.Style&yaml.FlowStyle != 0 {
		blocks(body)
	}
	change(root)
	text, err = encode(root, layoutOf(content(tree)))
	return root, text, err
}

var (
	errTooLarge = errors.New("with its aliases written out the document has more than 100,000 values")
	errMisread  = errors.New("the corrected document would not be read as it is meant")
)

// layout is how a text is laid out that an encoder is to continue.
type layout struct {
	indent      int  // columns of a field under its key
	indentLists bool // the items of a list under a key, too
}

func encode(root *yaml.Node, l layout) (string, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(l.indent)
	if !l.indentLists {
		enc.CompactSeqIndent()
	}
	if err := enc.Encode(root); err != nil {
		return "", fmt.Errorf("write the corrected document: %w", err)
	}
	if err := enc.Close(); err != nil {
		return "", fmt.Errorf("write the corrected document: %w", err)
	}
	return out.String(), nil
}

// escapable quotes what a terminal would take for more than text, or not show:
// in double quotes whoever prints it can write it as an escape.
func escapable(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && strings.ContainsFunc(n.Value, hidden) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		escapable(c)
	}
}

// hidden reports whether a character is more, or less, than one that is seen.
func hidden(r rune) bool {
	switch {
	case r == '\n', ' ' <= r && r <= '~':
		return false
	case r == 0x2800, r == utf8.RuneError: // the braille blank is a symbol by category
		return true
	}
	return !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// blocks undoes the one-line style of a document that was JSON.
func blocks(n *yaml.Node) {
	n.Style &^= yaml.FlowStyle | yaml.DoubleQuotedStyle
	for _, c := range n.Content {
		blocks(c)
	}
}

// layoutOf sees how the source indents. What it does not show is as kubectl
// writes it: two columns, and the items of a list right under their key.
func layoutOf(n *yaml.Node) layout {
	l := layout{indent: 2}
	seenFields, seenLists := false, false
	look(n, func(key, value *yaml.Node) {
		if key.Line >= value.Line || len(value.Content) == 0 || value.Style&yaml.FlowStyle != 0 {
			return
		}
		step := value.Column - key.Column
		switch {
		case value.Kind == yaml.MappingNode && !seenFields && step > 0 && step < 10:
			seenFields, l.indent = true, step
		case value.Kind == yaml.SequenceNode && !seenLists:
			seenLists, l.indentLists = true, step > 0
		}
	})
	return l
}

// look calls f with every field that is written in lines, as it was read.
func look(n *yaml.Node, f func(key, value *yaml.Node)) {
	if n == nil || n.Style&yaml.FlowStyle != 0 {
		return
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			f(n.Content[i], n.Content[i+1])
		}
	}
	for _, c := range n.Content {
		look(c, f)
	}
}

// newDocument writes a new YAML document.
func newDocument(n *yaml.Node) string {
	out, err := corrected(n, edits())
	if err != nil {
		return ""
	}
	return out
}
