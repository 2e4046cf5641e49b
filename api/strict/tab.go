package strict

import (
	"bytes"
	"strings"
)

// TabbedLine is the number, from 1, of the first line that begins with a tab,
// after spaces or not, and has nothing or a comment behind it; 0: there is none.
// Where a comment stands above, Kubernetes' YAML library refuses such a line
// ("found character that cannot start any token"), and the one that keeps
// positions does not. Lines are counted at line feeds, and begin after whatever
// else breaks a line in YAML.
func TabbedLine(text []byte) int {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		for _, part := range bytes.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("\n\r\u0085\u2028\u2029", r) }) {
			rest := bytes.TrimLeft(part, " \t")
			if (len(rest) == 0 || rest[0] == '#') && bytes.ContainsRune(part[:len(part)-len(rest)], '\t') {
				return n
			}
		}
	}
	return 0
}
