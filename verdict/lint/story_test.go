package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// story is one input of testdata/mistakes: a stream of manifests in which every
// line that a finding stands on ends in "# want: <severity> [<rule>]"; without a
// rule it is the one that the file is named after. A finding without a line is
// wanted by a line of its own, "# want: <severity> <rule> <object>". A line
// "# says: <text>" asks for a finding of the file's rule that says so, "# silent: <text>"
// for none. The section named base is read beside each story.
type story struct {
	mistake, name string
	text, base    string
}

func stories(t testing.TB) []story {
	t.Helper()
	files, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories in testdata/mistakes: %v", err)
	}
	var all []story
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		base := ""
		for _, f := range archive.Files {
			s := story{strings.TrimSuffix(filepath.Base(file), ".txtar"), f.Name, string(f.Data), base}
			if f.Name == "base" {
				base = s.text
			} else {
				all = append(all, s)
			}
		}
	}
	return all
}

// check reads the manifests, in which nothing may be wrong, and lints them.
func check(t *testing.T, story, base string) []Finding {
	t.Helper()
	return Check(read(t, story, base))
}

func read(t *testing.T, story, base string) *manifest.Set {
	t.Helper()
	dir := t.TempDir()
	paths := []string{}
	for name, text := range map[string]string{"story.yaml": story, "base.yaml": base} {
		if text == "" {
			continue
		}
		paths = append(paths, filepath.Join(dir, name))
		if err := os.WriteFile(paths[len(paths)-1], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(paths)
	set, err := manifest.Read(paths, nil, manifest.Options{})
	if err != nil {
		t.Fatalf("the strict reader refuses it: %v\n%s", err, story)
	}
	return set
}

var (
	tellsMark = regexp.MustCompile(`(?m)^# (says|silent): (.+)$`)
	mark      = regexp.MustCompile(`# want: (\w+) ?([\w-]*) ?(.*)`)
)

// tells holds what findings say against what the story asks for.
func (s story) tells(t *testing.T, findings []Finding) {
	t.Helper()
	var all strings.Builder
	for _, f := range findings {
		if f.Rule == s.mistake {
			fmt.Fprintln(&all, f)
		}
	}
	for _, m := range tellsMark.FindAllStringSubmatch(s.text, -1) {
		if strings.Contains(all.String(), m[2]) != (m[1] == "says") {
			t.Errorf("%s %q, and this is said:\n%s", m[1], m[2], &all)
		}
	}
}

// wanted lists what the marks of a story ask for.
func (s story) wanted() []string {
	var all []string
	for i, line := range strings.Split(s.text, "\n") {
		m := mark.FindStringSubmatch(line)
		switch {
		case m == nil:
		case m[3] != "":
			all = append(all, fmt.Sprintf("%s %s %s", m[1], m[2], m[3]))
		case m[2] == "":
			all = append(all, fmt.Sprintf("%s %s line %d", m[1], s.mistake, i+1))
		default:
			all = append(all, fmt.Sprintf("%s %s line %d", m[1], m[2], i+1))
		}
	}
	slices.Sort(all)
	return all
}

func place(f Finding) string {
	if f.Position.Line == 0 {
		return fmt.Sprintf("%s %s %s", f.Severity, f.Rule, f.Object)
	}
	return fmt.Sprintf("%s %s line %d", f.Severity, f.Rule, f.Position.Line)
}

// Every finding of the story's mistake and every error has to be wanted, at its
// very line, and every one that is wanted has to be found.
func TestStories(t *testing.T) {
	for _, s := range stories(t) {
		t.Run(s.mistake+"/"+s.name, func(t *testing.T) {
			var got []string
			findings := check(t, s.text, s.base)
			want := s.wanted()
			for _, f := range findings {
				if f.Rule == s.mistake || f.Severity == Error || slices.Contains(want, place(f)) {
					got = append(got, place(f))
				}
			}
			s.tells(t, findings)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", got, want)
				for _, f := range findings {
					t.Log(f)
				}
			}
		})
	}
}

func TestEveryMistakeHasAStoryWithItAndOneWithout(t *testing.T) {
	with, without := map[string]bool{}, map[string]bool{}
	for _, s := range stories(t) {
		if len(s.wanted()) > 0 {
			with[s.mistake] = true
		} else {
			without[s.mistake] = true
		}
	}
	for _, m := range Mistakes() {
		if !with[m.ID] || !without[m.ID] {
			t.Errorf("%s: a story with it: %v, one without: %v", m.ID, with[m.ID], without[m.ID])
		}
		if m.What == "" || m.Source == "" {
			t.Errorf("%s has no doc line or no source", m.ID)
		}
		delete(with, m.ID)
		delete(without, m.ID)
	}
	if len(with)+len(without) > 0 {
		t.Errorf("stories of mistakes that are not listed: %v %v", with, without)
	}
}
