package scenarios

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files; commit only what you can explain")

// fromLibrary finds bases as Load does, but never a file outside the library.
func fromLibrary(base string) (string, []byte, error) {
	if isPath(base) || !slices.Contains(Library(), base) {
		return "", nil, errors.New("no such scenario")
	}
	return read(base)
}

func TestBadInputIsExplained(t *testing.T) {
	good, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse("good.yaml", good, fromLibrary); err != nil {
		t.Fatalf("the good case is refused: %v", err)
	}
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d stories found, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			story, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parse("bad.yaml", badInput(t, story, string(good)), fromLibrary)
			if err == nil {
				t.Fatalf("%sloaded without an error", story.Comment)
			}
			if !errors.As(err, new(Problems)) {
				t.Errorf("%T is not Problems, so nobody can tell that the input is bad", err)
			}
			got, want := err.Error()+"\n", &story.Files[len(story.Files)-1].Data
			if *update {
				*want = []byte(got)
				if err := os.WriteFile(file, txtar.Format(story), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(*want) {
				t.Errorf("%sgot:\n%swant:\n%s", story.Comment, got, *want)
			}
		})
	}
}

// badInput is a whole file of the story's own, or the good one with an edit.
func badInput(t *testing.T, story *txtar.Archive, good string) []byte {
	t.Helper()
	files := fstest.MapFS{}
	for _, f := range story.Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	if whole, ok := files["scenario.yaml"]; ok {
		return whole.Data
	}
	edit := func(name string) string { return strings.TrimSuffix(string(files[name].Data), "\n") }
	if n := strings.Count(good, edit("replace")); n != 1 {
		t.Fatalf("%q is %d times in good.yaml, and an edit needs exactly one place", edit("replace"), n)
	}
	return []byte(strings.Replace(good, edit("replace"), edit("with"), 1))
}

func TestLoadByNameAndByPath(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write("good.yaml", string(good))
	derived := write("derived.yaml", `apiVersion: tightrope.dev/v1alpha1
kind: Scenario
metadata: {name: derived}
spec:
  base: ./good.yaml
  fault: {removeRule: {policy: back/store, direction: Ingress, port: 9050}}
  expect: {result: RolledBack, cuts: [app→store]}
`)
	s, err := Load(derived)
	if err != nil {
		t.Fatal(err)
	}
	if ro := s.Rollout(); ro.Name != "derived" || ro.Namespace != "back" || ro.Spec.Suites[0].Name != "small" || len(ro.Spec.Policies.Inline[0].Spec.Ingress) != 0 {
		t.Errorf("rollout %s/%s %+v", ro.Namespace, ro.Name, ro.Spec)
	}
	if s.Suite().Name != "small" {
		t.Errorf("suite %s: it is the base's, so that both run on one platform", s.Suite().Name)
	}
	for _, tt := range []struct{ input, want string }{
		{"no-such", "the library has gw-forgot-dns, observability-blackout, tighten-what-is-there, tightened-in-waves, zero-trust-ai-platform"},
		{filepath.Join(dir, "gone.yaml"), "no such file"},
		{dir, "is a directory"},
		{write("long.yaml", strings.Repeat("#", maxFile+1)), "is longer than 1048576 bytes"},
		{write("empty.yaml", "# nothing\n"), "is empty"},
		{write("deep.yaml", strings.Repeat("[", 100_000)), "is not YAML"},
	} {
		if _, err := Load(tt.input); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Load(%.60q): %v, want %q in it", tt.input, err, tt.want)
		}
	}
}

func TestTheLibraryNamesItsFilesAfterTheirScenarios(t *testing.T) {
	names := Library()
	if len(names) == 0 {
		t.Fatal("the library is empty")
	}
	for _, name := range names {
		s, err := Load(name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if s.Metadata.Name != name || s.Spec.Title == "" || s.Spec.Description == "" {
			t.Errorf("%s: name %q, title %q, description %q", s.File(), s.Metadata.Name, s.Spec.Title, s.Spec.Description)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, name := range Library() {
		_, raw, err := read(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("spec: {rollout: {policies: {inline: [{spec: {podSelector: {matchExpressions: [{}]}}}]}}}"))
	f.Add([]byte("spec:\n  ? [a]\n  : b\n  <<: {base: x}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parse("fuzz.yaml", raw, fromLibrary)
		if err != nil {
			if s != nil {
				t.Error("an error and a scenario: somebody will use it")
			}
			for _, r := range err.Error() {
				if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 {
					t.Errorf("the error holds the control character %U: %q", r, err)
				}
			}
			return
		}
		if _, err := s.Manifests(""); err != nil {
			t.Errorf("it was loaded and cannot be rendered: %v", err)
		}
		s.Suite()
		s.Rollout()
	})
}
