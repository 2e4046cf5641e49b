package lint

import (
	"slices"
	"strings"
	"testing"
)

// Each text is a line of words, a word a line.
func TestGraftCarriesTheEditOverToTheText(t *testing.T) {
	for name, tt := range map[string]struct{ text, before, after, want string }{
		"an edit of what is written as encoded":         {"a b c", "a b c", "a B c", "a B c"},
		"what only the encoder changes stays":           {"a b' c", "a b c", "a b c", "a b' c"},
		"an edit beside it":                             {"a b' c d", "a b c d", "a b C d", "a b' C d"},
		"an edit right above what is encoded":           {"p Q'", "p q", "P q", "P Q'"},
		"an edit right below what is encoded":           {"P' q", "p q", "p Q", "P' Q"},
		"an edit of what is encoded":                    {"a b' c", "a b c", "a B c", "a B c"},
		"a comment that the encoder loses":              {"a #x b", "a b", "a B", "a #x B"},
		"one above an edit of what is encoded":          {"a #x b' c", "a b c", "a B c", "a #x B c"},
		"one below what is added":                       {"a #x", "a", "a b", "a b #x"},
		"what is added at the end":                      {"a", "a", "a b", "a b"},
		"what is taken out":                             {"a b c", "a b c", "a c", "a c"},
		"lines without end":                             {"a b", "a b", "a b c d", "a b c d"},
		"nothing":                                       {"", "", "", ""},
		"what is taken out and was written differently": {"a b' c", "a b c", "a c", "a c"},
	} {
		t.Run(name, func(t *testing.T) {
			got := graft(strings.Fields(tt.text), strings.Fields(tt.before), strings.Fields(tt.after))
			if !slices.Equal(got, strings.Fields(tt.want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
