package strict

import (
	"bytes"
	"strings"
)

// TabbedComment is the line, from 1, of the first comment with a tab before it on
// its line; 0: there is none. After another comment, Kubernetes' YAML library
// refuses it ("found character that cannot start any token"), and the one that
// keeps positions does not. Lines are counted at line feeds, and begin after
// whatever else breaks a line in YAML.
func TabbedComment(text []byte) int {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		for _, part := range bytes.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("\n\r\u0085\u2028\u2029", r) }) {
			rest := bytes.TrimLeft(part, " \t")
			if bytes.HasPrefix(rest, []byte("#")) && bytes.ContainsRune(part[:len(part)-len(rest)], '\t') {
				return n
			}
		}
	}
	return 0
}
