package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/verdict/lint"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// printCorrections prints every document that has a correction, whole, so that
// the output can be applied as it is.
func printCorrections(w io.Writer, set *manifest.Set) {
	for _, c := range lint.Correct(set, lint.Warning) {
		fmt.Fprintf(w, "---\n# %s: %s: %s\n", printable(c.Position.String()), printable(c.Object.String()), strings.Join(c.Rules, ", "))
		for _, line := range strings.Split(strings.TrimRight(c.YAML, "\n"), "\n") {
			fmt.Fprintln(w, strings.TrimRight(printable(line), " "))
		}
	}
	for _, f := range lint.Check(set) { // what is missing has no document yet
		if f.Object.Kind == "Namespace" && f.Corrected != "" && f.Severity >= lint.Warning && !f.Suppressed {
			fmt.Fprintf(w, "---\n# to add: %s\n%s", f.Rule, f.Corrected)
		}
	}
}

// writeCorrections puts the corrected documents into their files, and says of
// each whether it did. One that does not stand in its file as a document of its
// own (in a List, in a ConfigMap, as JSON) is left as it is.
func writeCorrections(w io.Writer, set *manifest.Set) error {
	all := lint.Correct(set, lint.Warning)
	slices.Reverse(all) // from the end of each file, so that no line moves before its turn
	for _, c := range all {
		source, _ := set.Source(c.Object.Kind, c.Object.Namespace, c.Object.Name)
		done, err := replaceDocument(source, c.YAML)
		if err != nil {
			return fmt.Errorf("%s: %w", source.File, err)
		}
		word := "corrected"
		if !done {
			word = "left as it is, because it is no YAML document of its own (see --fix)"
		}
		fmt.Fprintf(w, "%s: %s %s: %s\n", report.Sanitize(c.Position.String()), report.Sanitize(c.Object.String()), word, strings.Join(c.Rules, ", "))
	}
	return nil
}

// replaceDocument replaces the object's document, if it is what stands there.
func replaceDocument(source manifest.Source, with string) (bool, error) {
	text, line := source.Text()
	if line < 1 || len(text) == 0 || strings.HasSuffix(source.File, ".json") {
		return false, nil
	}
	raw, err := os.ReadFile(source.File)
	if err != nil {
		return false, err
	}
	start := 0
	for range line - 1 {
		n := bytes.IndexByte(raw[start:], '\n')
		if n < 0 {
			return false, nil
		}
		start += n + 1
	}
	if !bytes.HasPrefix(raw[start:], text) || strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return false, nil
	}
	out := slices.Concat(raw[:start], []byte(strings.TrimRight(with, "\n")+"\n"), raw[start+len(text):])
	return true, overwrite(source.File, out)
}

// overwrite replaces a file in one step and keeps its mode.
func overwrite(name string, content []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".lint-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone once it is renamed
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(info.Mode().Perm()); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
