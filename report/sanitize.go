package report

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText is the most runes that Sanitize returns, the mark of a cut included, and
// MaxParagraph those that SanitizeParagraph does.
const (
	MaxText      = 400
	MaxParagraph = 4_000
)

// maxMarks is how many combining marks one letter may carry: more of them paint
// over the lines above and below and mean nothing in a name.
const maxMarks = 2

// Sanitize makes text from outside safe to print on a terminal and to show in a
// document: one line, no control characters (so no escape sequences, which only
// start with one), no bidirectional overrides, nothing invisible, at most
// MaxText runes. What is taken out leaves one U+FFFD behind, so that two names
// that differ only there do not look the same by silence. It is idempotent.
// It does not escape for HTML, Markdown or XML; each writer does that for itself.
func Sanitize(s string) string { return sanitize(s, MaxText) }

// SanitizeParagraph is Sanitize for sentences that we write ourselves, around names
// from outside: there are at most MaxParagraph runes of them, cut between two words.
func SanitizeParagraph(s string) string {
	text := sanitize(s, MaxParagraph)
	if rest, cut := strings.CutSuffix(text, "…"); cut && !strings.HasSuffix(s, "…") {
		if i := strings.LastIndexByte(rest, ' '); i > 0 {
			return rest[:i] + " …"
		}
	}
	return text
}

func sanitize(s string, most int) string {
	if plain(s, most) {
		return s
	}
	var b strings.Builder
	runes, marks, last := 0, 0, rune(-1)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s, r = s[size:], visible(r)
		if unicode.In(r, unicode.Mn, unicode.Me) {
			marks++
		} else {
			marks = 0
		}
		if marks > maxMarks || r == utf8.RuneError && last == r || r == ' ' && (last == ' ' || last == -1) {
			continue
		}
		if runes++; runes == most && s != "" {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
		last = r
	}
	return strings.TrimSuffix(b.String(), " ")
}

// plain says that s is already as Sanitize leaves it, as nearly every name is:
// printable ASCII of one line, with single blanks between words.
func plain(s string, most int) bool {
	if len(s) > most {
		return false
	}
	last := byte(' ')
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == ' ' && last == ' ' {
			return false
		}
		last = s[i]
	}
	return s == "" || last != ' '
}

// visible maps white space to a blank, and what a reader could not see or what
// would change the text around it to U+FFFD.
func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r), unicode.Is(unicode.Zs, r), unicode.In(r, unicode.Zl, unicode.Zp):
		if r == 0x85 { // NEL is white space to Unicode and a C1 control to a terminal
			return utf8.RuneError
		}
		return ' '
	case !unicode.IsPrint(r),
		r == 0x2800, // the braille blank is a symbol by category
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		return utf8.RuneError
	}
	return r
}

// shorten cuts s, already sanitized, to at most n columns by taking out its
// middle: both ends of a name tell more than its start alone.
func shorten(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	runes := []rune(s)
	head, tail, used := 0, len(runes), 1
	for left := true; ; left = !left {
		next := head
		if !left {
			next = tail - 1
		}
		used += runeColumns(runes[next])
		if used > n || head == tail {
			break
		}
		if left {
			head++
		} else {
			tail--
		}
	}
	return string(runes[:head]) + "…" + string(runes[tail:])
}
