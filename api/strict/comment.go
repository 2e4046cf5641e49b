package strict

import "bytes"

// TabbedComment is the line, from 1, of the first comment with a tab before it on
// its line; 0: there is none. After another comment, Kubernetes' YAML library
// refuses it ("found character that cannot start any token"), and the one that
// keeps positions does not.
func TabbedComment(text []byte) int {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		rest := bytes.TrimLeft(line, " \t")
		if bytes.HasPrefix(rest, []byte("#")) && bytes.ContainsRune(line[:len(line)-len(rest)], '\t') {
			return n
		}
	}
	return 0
}
