package matrix

import (
	"strings"
	"unicode"
)

// printable is s without what a terminal or a reader would take for more than
// text: control characters, escape sequences, line breaks, bidirectional marks.
// Each becomes U+FFFD, so that two names do not look the same by silence.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
