package tightrope

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the package map into CONTRIBUTING.md")

var (
	citation = regexp.MustCompile(`([\w-]+\.md),? §\s*(\d+)`)
	section  = regexp.MustCompile(`(?m)^#+ (\d+)\. `)
)

// A comment that cites a section sends its reader to a page of docs.
func TestCitedSectionsExist(t *testing.T) {
	pages, cited := map[string]map[string]bool{}, 0
	for _, s := range sources(t) {
		for _, group := range s.ast.Comments {
			for _, c := range citation.FindAllStringSubmatch(strings.Join(strings.Fields(group.Text()), " "), -1) {
				cited++
				if pages[c[1]] == nil {
					pages[c[1]] = sections(t, c[1])
				}
				if !pages[c[1]][c[2]] {
					t.Errorf("%s cites %s §%s: docs/%s has no heading \"## %s. …\"", s.fset.Position(group.Pos()), c[1], c[2], c[1], c[2])
				}
			}
		}
	}
	if cited == 0 {
		t.Error("no comment cites a section: the pattern matches nothing")
	}
}

// sections are the numbers of a page's headings, none where there is no such page.
func sections(t *testing.T, page string) map[string]bool {
	t.Helper()
	numbers := map[string]bool{}
	text, err := os.ReadFile(filepath.Join("docs", page))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, m := range section.FindAllSubmatch(text, -1) {
		numbers[string(m[1])] = true
	}
	return numbers
}

// Links between pages, and to files of the repository, lead somewhere.
func TestLinksOfPagesLeadSomewhere(t *testing.T) {
	link, seen := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`), 0
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		pages, _ := filepath.Glob(pattern)
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllSubmatch(text, -1) {
				target := string(m[1])
				if strings.Contains(target, "://") {
					continue
				}
				seen++
				if _, err := os.Stat(filepath.Join(filepath.Dir(page), target)); err != nil {
					t.Errorf("%s links to %s, which is not there", page, target)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no page links to a file: the pattern matches nothing")
	}
}

const (
	mapBegin = "<!-- package map: go test . -run PackageMap -update -->\n"
	mapEnd   = "<!-- end of the package map -->\n"
)

// The map that people read is the table that TestImportsFollowTheTable holds.
func TestContributingHasThePackageMap(t *testing.T) {
	const page = "CONTRIBUTING.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), mapBegin)
	had, after, ends := strings.Cut(rest, mapEnd)
	if !begins || !ends {
		t.Fatalf("%s has no package map between %q and %q", page, mapBegin, mapEnd)
	}
	want := packageMap()
	if *update {
		if err := os.WriteFile(page, []byte(before+mapBegin+want+mapEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if had != want {
		t.Errorf("the package map of %s is not the table of arch_test.go: run go test . -run PackageMap -update", page)
	}
}

// packageMap is the table in Markdown.
func packageMap() string {
	var b strings.Builder
	b.WriteString("| folder | verb | may import, of ours |\n| --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(table)) {
		row := table[name]
		imports := "–"
		if slices.Contains(row.imports, everything) {
			imports = "everything but `cmd`"
		} else if len(row.imports) > 0 {
			imports = "`" + strings.Join(slices.Sorted(slices.Values(row.imports)), "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, row.verb, imports)
	}
	return b.String()
}
