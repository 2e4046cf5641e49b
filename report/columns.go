package report

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columns counts the terminal cells that s, already sanitized, takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r < 0x80 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// pad fills s with blanks to n columns, or shortens it to them.
func pad(s string, n int) string {
	s = shorten(s, n)
	return s + strings.Repeat(" ", max(0, n-columns(s)))
}

// wrap breaks s between words into lines of at most n columns. A word that is
// longer stands on a line of its own.
func wrap(s string, n int) []string {
	var lines []string
	var line string
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}
