package lint

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// schema is that of OASIS, docs.oasis-open.org/sarif/sarif/v2.1.0/errata01.
// It is compiled with the package: every log is held against it.
var schema, schemaErr = jsonschema.NewCompiler().Compile("testdata/sarif-schema-2.1.0.json")

// logged holds a log against the schema and gives it back as its run was written.
func logged(t *testing.T, log *SARIFLog) sarifRun {
	t.Helper()
	if schemaErr != nil {
		t.Fatal(schemaErr)
	}
	raw, err := json.Marshal(log)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	var back SARIFLog
	if err := json.Unmarshal(raw, &back); err != nil || len(back.Runs) != 1 {
		t.Fatalf("%v: %d runs", err, len(back.Runs))
	}
	return back.Runs[0]
}

// A schema that everything fits would show nothing.
func TestTheSchemaRefusesALevelThatThereIsNot(t *testing.T) {
	if schemaErr != nil {
		t.Fatal(schemaErr)
	}
	for text, want := range map[string]bool{"error": true, "fatal": false} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": [{"message": {"text": "m"}, "level": "` + text + `"}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Each finding of the stories is a result of a valid log; applying the fix of a
// result to its file, as a reviewer's tool does, takes the finding away.
func TestAFixOfALogTakesItsFindingAway(t *testing.T) {
	fixes := 0
	for _, s := range stories(t) {
		t.Run(s.mistake+"/"+s.name, func(t *testing.T) {
			set := read(t, s.text, s.base)
			findings, root := Check(set), ""
			for _, f := range findings {
				root = filepath.Dir(f.Position.File)
			}
			run := logged(t, SARIF(findings, SARIFOptions{Version: "test", Notes: []string{"a note"}, Fixes: Replacements(set),
				Relative: func(file string) string { return filepath.Base(file) }}))
			results := run.Results
			if len(results) != len(findings) {
				t.Fatalf("%d results for %d findings", len(results), len(findings))
			}
			for i, r := range results {
				if r.RuleID != findings[i].Rule || run.Tool.Driver.Rules[r.RuleIndex].ID != findings[i].Rule {
					t.Errorf("result %d is of rule %s, not %s", i, r.RuleID, findings[i].Rule)
				}
				for _, fix := range r.Fixes {
					fixes++
					undone(t, root, findings[i], fix)
				}
			}
		})
	}
	if fixes < 20 {
		t.Errorf("only %d fixes", fixes)
	}
}

// undone applies a fix in a copy and looks for the finding again.
func undone(t *testing.T, root string, f Finding, fix sarifFix) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	change := fix.Changes[0]
	file := filepath.Join(dir, change.Artifact.URI)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	region := change.Replacements[0].Deleted
	from, to := offsetIn(t, string(raw), region.StartLine, region.StartColumn), offsetIn(t, string(raw), region.EndLine, region.EndColumn)
	text := string(raw)[:from] + change.Replacements[0].Inserted.Text + string(raw)[to:]
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := manifest.Read([]string{dir}, nil, manifest.Options{Use: manifest.ForLint})
	if err != nil {
		t.Fatalf("%s: its fix leaves what cannot be read: %v\n%s", f, err, text)
	}
	if slices.ContainsFunc(Check(set), func(g Finding) bool { return g.Rule == f.Rule && g.Object == f.Object && g.What == f.What }) {
		t.Errorf("it is still there after its fix: %s\n%s", f, text)
	}
}

// offsetIn is the offset of a place in a text, lines and UTF-16 columns counted from 1.
func offsetIn(t *testing.T, text string, line, column int) int {
	t.Helper()
	at := 0
	for range line - 1 {
		n := strings.IndexByte(text[at:], '\n')
		if n < 0 {
			t.Fatalf("there is no line %d in\n%s", line, text)
		}
		at += n + 1
	}
	for _, r := range text[at:] {
		if column <= 1 {
			break
		}
		column -= len(utf16.Encode([]rune{r}))
		at += len(string(r))
	}
	return at
}

// A finding keeps its fingerprint where lines move, has one of its own, and a
// suppressed one is marked.
func TestFingerprintsStayAndSuppressionsAreMarked(t *testing.T) {
	prints := func(text string) (all []string, suppressed int) {
		run := logged(t, SARIF(check(t, text, gatewayAndModel), SARIFOptions{}))
		for _, r := range run.Results {
			all = append(all, r.Fingerprints["tightrope/v1"])
			suppressed += len(r.Suppressions)
		}
		return all, suppressed
	}
	before, none := prints(forgetful)
	moved, _ := prints("# one line more\n" + forgetful)
	if len(before) < 2 || !slices.Equal(before, moved) || none != 0 {
		t.Errorf("%v, moved %v; %d suppressed", before, moved, none)
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(before))); len(unique) != len(before) {
		t.Errorf("not unique: %v", before)
	}
	ignored := strings.Replace(forgetful, "{}", "{tightrope.dev/lint-ignore: dns-forgotten}", 1)
	if _, n := prints(ignored); n != 1 {
		t.Errorf("%d findings are suppressed, want 1", n)
	}
}

func TestFilesAreNamedByURIs(t *testing.T) {
	for file, want := range map[string]string{
		"./deploy/a b.yaml": "deploy/a%20b.yaml", "a:b/c.yaml": "./a:b/c.yaml", "/srv/a.yaml": "file:///srv/a.yaml", "../x.yaml": "../x.yaml",
	} {
		if got := (SARIFOptions{}).artifact(file).URI; got != want {
			t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
	if r := (Finding{Rule: "egress-closed", Position: Position{File: "-", Line: 3}}).sarif(SARIFOptions{}); r.Locations[0].Physical != nil {
		t.Error("standard input is no file")
	}
}
