package doctor

import (
	"fmt"
	"io"
	"strings"
)

// marks go with the words: neither colour nor shape alone carries a state.
var marks = map[State]string{Unknown: "? not known", OK: "✓", Note: "·", Problem: "✕"}

// WriteText writes an examination for people. clean makes text from outside safe to
// print.
func WriteText(w io.Writer, e *Examination, clean func(string) string) error {
	var b strings.Builder
	headline := "this cluster enforces NetworkPolicy on every node that was measured"
	if !e.Enforces {
		headline = "it was not shown that this cluster enforces NetworkPolicy"
	}
	for _, c := range e.Checks {
		if c.Name == checkEnforces && c.State == Problem { // its first words say which
			headline, _, _ = strings.Cut(clean(c.Says), ":")
		}
	}
	fmt.Fprintf(&b, "%s: %s (%.0f s)\n\n", clean(e.Cluster), headline, e.Took)
	for _, c := range e.Checks {
		fmt.Fprintf(&b, "  %s %s: %s\n", marks[c.State], clean(c.Name), clean(c.Says))
		for _, line := range c.Do {
			fmt.Fprintf(&b, "      %s\n", clean(line))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
