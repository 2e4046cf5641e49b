package strict

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Fault is one thing that is wrong with a field.
type Fault struct {
	Path         string // such as spec.egress[0].to[1]; empty for the whole value
	Line, Column int    // from 1; 0 where only the path is known, as Check… leaves them
	What         string // what is wrong, and what to do
}

// Faults collects what Check… finds.
type Faults []Fault

// Add notes a fault of the field of that path.
func (f *Faults) Add(path, format string, args ...any) {
	*f = append(*f, Fault{Path: path, What: fmt.Sprintf(format, args...)})
}

// AddErrors takes over what Kubernetes' own validation found, without the
// regular expressions it ends with.
func (f *Faults) AddErrors(errs field.ErrorList) {
	for _, err := range errs {
		f.Add(err.Field, "%s", Brief(err.ErrorBody()))
	}
}

// Brief is the part of a message of Kubernetes' validation that is for people.
func Brief(message string) string {
	words, _, _ := strings.Cut(message, " (e.g. ")
	return Shorten(words, 240)
}

// Show makes text from a file fit to print: on one line, without anything a
// terminal would act on, and short.
func Show(text string) string { return Shorten(text, 80) }

// Shorten is Show for up to that many characters.
func Shorten(text string, most int) string {
	end := ""
	if len(text) > 4*most {
		text = text[:4*most] // more cannot be shown; a rune cut in two is not printable
	}
	runes := []rune(text)
	if len(runes) > most {
		runes, end = runes[:most], "…"
	}
	if slices.ContainsFunc(runes, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(string(runes)) + end
	}
	return string(runes) + end
}

// DidYouMean is "; did you mean x?" for the name that is so near that a slip of
// the finger explains it, else "".
func DidYouMean(got string, names []string) string {
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

// OneOf is "a, b or c".
func OneOf[T ~string](names []T) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " or " + texts[len(texts)-1]
}
