package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// reportedSets are the manifests of the cases; lint's own tests have them too.
const reportedSets = "../../verdict/lint/testdata/reports"

// expectation is a command of a case, and what it has to say. A text counts as it
// is printed, or with its white space collapsed, so that a line may break anywhere.
type expectation struct {
	command string
	exits   []int // any of these; nil: whichever
	says    []*regexp.Regexp
	never   []*regexp.Regexp
}

// What happened to people with their policies, as they reported it: each case of
// testdata/reports has its commands, run in a folder with its manifests.
func TestReportedCases(t *testing.T) {
	cases, err := filepath.Glob("testdata/reports/*.txt")
	if err != nil || len(cases) < 55 {
		t.Fatalf("%d cases in testdata/reports: %v", len(cases), err)
	}
	for _, file := range cases {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			all := expectations(t, file)
			set, err := txtar.ParseFile(filepath.Join(reportedSets, name+".txtar"))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for _, f := range set.Files {
				write(t, filepath.Join(dir, f.Name), f.Data)
			}
			t.Chdir(dir)
			for _, e := range all {
				for _, wrong := range e.run(t) {
					t.Errorf("tightrope %s: %s", e.command, wrong)
				}
			}
		})
	}
}

func TestEverySetOfAReportHasItsCase(t *testing.T) {
	sets, err := filepath.Glob(filepath.Join(reportedSets, "*.txtar"))
	if err != nil || len(sets) == 0 {
		t.Fatalf("no sets in %s: %v", reportedSets, err)
	}
	for _, set := range sets {
		name := strings.TrimSuffix(filepath.Base(set), ".txtar")
		if _, err := os.Stat(filepath.Join("testdata/reports", name+".txt")); err != nil {
			t.Errorf("%s has manifests and no case: %v", name, err)
		}
	}
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs the command and lists what is wrong with what it says.
func (e expectation) run(t *testing.T) []string {
	t.Helper()
	code, out, errs := said(t, strings.Fields(e.command)...)
	var wrong []string
	if e.exits != nil && !slices.Contains(e.exits, code) {
		wrong = append(wrong, fmt.Sprintf("exit code %d, want one of %v", code, e.exits))
	}
	texts := []string{out + errs, strings.Join(strings.Fields(out+errs), " ")}
	said := func(what *regexp.Regexp) bool { return slices.ContainsFunc(texts, what.MatchString) }
	for _, what := range e.says {
		if !said(what) {
			wrong = append(wrong, fmt.Sprintf("does not say %s", what))
		}
	}
	for _, what := range e.never {
		if said(what) {
			wrong = append(wrong, fmt.Sprintf("says %s", what))
		}
	}
	if len(wrong) > 0 {
		wrong = append(wrong, "\n"+texts[0])
	}
	return wrong
}

// expectations reads a case: comments, commands at the beginning of a line, and
// what is expected of each in indented lines.
func expectations(t *testing.T, file string) []expectation {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []expectation
	for line := range strings.Lines(string(raw)) {
		expected, indented := strings.CutPrefix(line, "  ")
		expected = strings.TrimSpace(expected)
		switch {
		case expected == "" || strings.HasPrefix(line, "#"):
		case !indented:
			all = append(all, expectation{command: expected})
		case len(all) == 0:
			t.Fatalf("%s: %q comes before any command", file, expected)
		default:
			all[len(all)-1].expect(t, expected)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no command", file)
	}
	return all
}

func (e *expectation) expect(t *testing.T, line string) {
	t.Helper()
	if codes, ok := strings.CutPrefix(line, "exits "); ok {
		for _, text := range strings.Split(codes, " or ") {
			code, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			e.exits = append(e.exits, code)
		}
		return
	}
	if what, ok := strings.CutPrefix(line, "does not say "); ok {
		e.never = append(e.never, regexp.MustCompile("(?im)"+what))
		return
	}
	what, ok := strings.CutPrefix(line, "says ")
	if !ok {
		t.Fatalf("%q is no expectation: exits, says or does not say", line)
	}
	e.says = append(e.says, regexp.MustCompile("(?im)"+what))
}
