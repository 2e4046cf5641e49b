package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// runnable are the documents whose examples are run, and how many of their blocks
// are at least.
var runnable = map[string]int{"README.md": 2, "docs/advice.md": 6}

// block is a fenced block of a document.
type block struct {
	line  int // of its first line, from 1
	info  string
	text  []string
	notIn string // why it is not run; empty: it is
}

var (
	notRun  = regexp.MustCompile(`^<!-- not run: (.+) -->$`)
	command = regexp.MustCompile(`^(\$ )?(export \w+=\$\()?tightrope `)
)

// blocksOf are those of a document in which a command of ours stands.
func blocksOf(text string) []block {
	return slices.DeleteFunc(fencedBlocks(text), func(b block) bool { return !slices.ContainsFunc(b.text, command.MatchString) })
}

// fencedBlocks are all blocks of a document.
func fencedBlocks(text string) []block {
	var all []block
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		info, begins := strings.CutPrefix(lines[i], "```")
		if !begins {
			continue
		}
		b := block{line: i + 2, info: info}
		if i > 0 {
			if why := notRun.FindStringSubmatch(lines[i-1]); why != nil {
				b.notIn = why[1]
			}
		}
		for i++; i < len(lines) && lines[i] != "```"; i++ {
			b.text = append(b.text, lines[i])
		}
		all = append(all, b)
	}
	return all
}

// Every example of the documents that needs files only is run, and prints what
// stands below it; the others say what they need.
func TestExamplesOfTheDocumentsPrintWhatTheySay(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, page := range append(pages, "../../README.md") {
		name := strings.TrimPrefix(page, "../../")
		if onLab[name] != "" {
			continue
		}
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var run, left []block
		for _, b := range blocksOf(string(raw)) {
			switch {
			case b.notIn != "":
				left = append(left, b)
			case b.info != "console":
				t.Errorf("%s:%d: a block with commands is neither a console, which is run, nor marked <!-- not run: why -->", name, b.line)
			default:
				run = append(run, b)
			}
		}
		seen[name] = len(run)
		t.Logf("%s: %d blocks are run, %d are not", name, len(run), len(left))
		if len(run) > 0 {
			t.Run(name, func(t *testing.T) { runBlocks(t, name, run) })
		}
	}
	for name, least := range runnable {
		if seen[name] < least {
			t.Errorf("%s has %d blocks to run, want %d at least", name, seen[name], least)
		}
	}
}

// runBlocks runs the blocks of a document one after the other in one directory.
func runBlocks(t *testing.T, name string, blocks []block) {
	t.Chdir(t.TempDir())
	code := 0
	for _, b := range blocks {
		for i := 0; i < len(b.text); {
			line, at := b.text[i], b.line+i
			words, isCommand := strings.CutPrefix(line, "$ ")
			if !isCommand {
				t.Fatalf("%s:%d: %q is the output of no command", name, at, line)
			}
			var want []string
			for i++; i < len(b.text) && !strings.HasPrefix(b.text[i], "$ "); i++ {
				want = append(want, b.text[i])
			}
			got := ""
			switch args := strings.Fields(words); {
			case words == "echo $?":
				got = fmt.Sprintln(code)
			case args[0] == "tightrope":
				var both bytes.Buffer // as a terminal shows them
				code = run(args[1:], &both, &both)
				got = both.String()
			default:
				t.Fatalf("%s:%d: only tightrope is run, not %q", name, at, words)
			}
			if missing := unlike(strings.Split(strings.TrimRight(got, "\n"), "\n"), want); missing != "" {
				t.Errorf("%s:%d: $ %s\nprints, with exit code %d, no line %q where it should:\n%s", name, at, words, code, missing, got)
			}
		}
	}
}

const anything = "…" // a line that stands for any number of lines

// unlike is the first line that is wanted and not there; empty: all are.
func unlike(got, want []string) string {
	for i := 0; i < len(want); i++ {
		skip := false
		for i < len(want) && want[i] == anything {
			skip = true
			i++
		}
		if i == len(want) {
			if !skip && len(got) > 0 {
				return "(nothing more) before " + got[0]
			}
			return ""
		}
		for skip && len(got) > 0 && got[0] != want[i] {
			got = got[1:]
		}
		if len(got) == 0 || got[0] != want[i] {
			return want[i]
		}
		got = got[1:]
	}
	if len(got) > 0 {
		return "(nothing more) before " + got[0]
	}
	return ""
}

func TestWhatAnExampleLeavesOutIsMarked(t *testing.T) {
	for _, tt := range []struct {
		got, want string
		alike     bool
	}{
		{"a|b|c", "a|b|c", true},
		{"a|b|c", "a|…|c", true},
		{"a|b|c", "…|b|…", true},
		{"a|b|c", "…", true},
		{"a|b|c", "a|b", false},
		{"a|b|c", "…|b", false},
		{"a|b|c", "a|c", false},
		{"a|b|c", "a|…|b|…|d", false},
		{"a", "a|…", true},
	} {
		if got := unlike(strings.Split(tt.got, "|"), strings.Split(tt.want, "|")); (got == "") != tt.alike {
			t.Errorf("%s for %s: %q", tt.got, tt.want, got)
		}
	}
	text := "<!-- not run: x -->\n```\ntightrope demo\n```\n```console\n$ tightrope lint\n```\n```\nmake\n```\n"
	if b := blocksOf(text); len(b) != 2 || b[0].notIn != "x" || b[1].notIn != "" || b[1].line != 6 {
		t.Errorf("blocks %+v", b)
	}
}
