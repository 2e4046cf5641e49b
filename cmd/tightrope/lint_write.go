package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/verdict/lint"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// printCorrections prints every document that has a correction, whole, so that
// the output can be applied as it is.
func printCorrections(w io.Writer, set *manifest.Set) {
	for _, c := range lint.Correct(set, lint.Warning) {
		fmt.Fprintf(w, "---\n# %s: %s\n", subject(c), strings.Join(c.Rules, ", "))
		if c.Left != "" {
			fmt.Fprintf(w, "# --write leaves this to you: %s\n", report.Sanitize(c.Left))
		}
		fmt.Fprint(w, escaped(c.YAML))
	}
	for _, f := range lint.Additions(set, lint.Warning) {
		fmt.Fprintf(w, "---\n# to add: %s\n%s", f.Rule, escaped(f.Corrected))
	}
}

func subject(c lint.Correction) string {
	text := report.Sanitize(c.Object.String())
	if at := c.Position.String(); at != "" {
		text = report.Sanitize(at) + ": " + text
	}
	return text
}

// escaped writes what a terminal would take for more than text, or not show, as
// YAML's escapes. Such characters only stand in double quotes or in comments.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == ' ' || report.Sanitize("a"+string(r)+"a") == "a"+string(r)+"a":
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, "\\U%08X", r)
		default:
			fmt.Fprintf(&b, "\\u%04X", r)
		}
	}
	return b.String()
}

// writeCorrections puts the corrected documents into their files, and says what
// it corrected, what it left and why. All files are written, or none: one that
// cannot be proved to hold the same documents afterwards, or not be written,
// stops everything.
func writeCorrections(w io.Writer, set *manifest.Set) error {
	all, err := lint.Rewrites(set, lint.Warning, os.ReadFile)
	if err != nil {
		return fmt.Errorf("%w; nothing was written", err)
	}
	var names []string
	was, content := map[string][]byte{}, map[string][]byte{}
	for _, r := range all {
		if r.Text != nil {
			names = append(names, r.File)
			was[r.File], content[r.File] = r.Was, r.Text
		}
	}
	if err := overwriteAll(names, was, content); err != nil {
		return err
	}
	for _, r := range all {
		for _, c := range r.Done {
			fmt.Fprintf(w, "%s corrected: %s\n", subject(c), strings.Join(c.Rules, ", "))
		}
		for _, c := range r.Left {
			fmt.Fprintf(w, "%s left as it is (%s): %s\n", subject(c), strings.Join(c.Rules, ", "), report.Sanitize(c.Left))
		}
	}
	for _, f := range lint.Additions(set, lint.Warning) {
		fmt.Fprintf(w, "%s left as it is (%s): a policy is to be added, and no file is the place for it: see --fix\n", report.Sanitize(f.Object.String()), f.Rule)
	}
	return nil
}

// tellUncorrected says how many findings only a person can correct: they are in
// no output of --fix.
func tellUncorrected(w io.Writer, findings []lint.Finding) {
	n := 0
	for _, f := range findings {
		if f.Corrected == "" && f.Severity >= lint.Warning && !f.Suppressed {
			n++
		}
	}
	if n > 0 {
		fmt.Fprintf(w, "note: %s without a correction that can be written: leave out --fix to list them\n", many(n, "finding"))
	}
}
