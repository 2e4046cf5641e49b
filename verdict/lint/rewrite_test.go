package lint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// rewritten corrects the files of a set in memory and holds the result against
// what it was. It returns the files as they are afterwards, and how many
// documents were corrected.
func rewritten(t *testing.T, set *manifest.Set, files map[string][]byte, from Severity) (map[string][]byte, []Correction) {
	t.Helper()
	all, err := Rewrites(set, from, func(file string) ([]byte, error) {
		if raw, ok := files[file]; ok {
			return raw, nil
		}
		return nil, os.ErrNotExist
	})
	if err != nil {
		t.Fatalf("nothing could be written: %v", err)
	}
	after, done := maps.Clone(files), []Correction{}
	for _, r := range all {
		for _, c := range r.Left {
			if c.Left == "" || len(c.Rules) == 0 {
				t.Errorf("%s is left without a reason or a rule: %+v", c.Object, c)
			}
		}
		if (r.Text != nil) != (len(r.Done) > 0) {
			t.Errorf("%s: %d corrections and a text of %d bytes", r.File, len(r.Done), len(r.Text))
		}
		if r.Text != nil {
			onlyNamedChange(t, set, r)
			after[r.File], done = r.Text, append(done, r.Done...)
		}
	}
	return after, done
}

// streamed reads a whole file with the YAML library alone, which finds the
// documents in it in its own way.
func streamed(raw []byte) ([]*yaml.Node, error) {
	var all []*yaml.Node
	for reader := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var n yaml.Node
		err := reader.Decode(&n)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if body := content(&n); body != nil && body.ShortTag() != "!!null" {
			all = append(all, body)
		}
	}
}

// onlyNamedChange holds a file against what it was: as many documents, those
// that have no correction the same, and the others the same objects.
func onlyNamedChange(t *testing.T, set *manifest.Set, r Rewrite) {
	t.Helper()
	before, err := streamed(r.Was)
	if err != nil {
		return // the library reads it in parts only, as a stream of JSON
	}
	after, err := streamed(r.Text)
	if err != nil || len(before) != len(after) {
		t.Fatalf("%s had %d documents and has %d (%v)\n%s\n---------- was\n%s", r.File, len(before), len(after), err, r.Text, r.Was)
	}
	changed := 0
	for i := range before {
		if !manifest.Same(before[i], after[i]) {
			changed++
			if got, want := identity(after[i]), identity(before[i]); got != want {
				t.Errorf("%s became %s", want, got)
			}
		}
	}
	if changed == 0 || changed > len(r.Done) {
		t.Errorf("%d documents changed for %d corrections\n%s\n---------- was\n%s", changed, len(r.Done), r.Text, r.Was)
	}
	for _, o := range set.Objects.NetworkPolicies {
		text, _ := o.Text()
		named := slices.ContainsFunc(r.Done, func(c Correction) bool { return bytes.Contains(text, []byte(c.Object.Name)) })
		if o.File == r.File && !named && !bytes.Contains(r.Text, text) {
			t.Errorf("%s has no correction and is not there as it was\n%s", o.Source, r.Text)
		}
	}
}

func identity(n *yaml.Node) string {
	var o struct {
		APIVersion, Kind string
		Metadata         struct{ Namespace, Name string }
	}
	_ = n.Decode(&o)
	return fmt.Sprint(o)
}

// sameButNamed wants the same objects in two sets, and the policies without a
// correction unchanged.
func sameButNamed(t *testing.T, before, after *manifest.Set, corrected []Correction) {
	t.Helper()
	if len(after.Objects.NetworkPolicies) != len(before.Objects.NetworkPolicies) || len(after.Objects.Rollouts) != len(before.Objects.Rollouts) || len(after.Workloads) != len(before.Workloads) {
		t.Errorf("objects got lost: %d policies became %d", len(before.Objects.NetworkPolicies), len(after.Objects.NetworkPolicies))
		return
	}
	named := map[string]bool{}
	for _, c := range corrected {
		named[c.Object.String()] = true
	}
	for i, o := range before.Objects.NetworkPolicies {
		now := after.Objects.NetworkPolicies[i]
		if o.String() != now.String() || !named[o.String()] && !reflect.DeepEqual(o.Object, now.Object) {
			t.Errorf("%s became %s, or another policy", o.Source, now.Source)
		}
	}
}

func readFiles(t *testing.T, files map[string][]byte) *manifest.Set {
	t.Helper()
	t.Chdir(t.TempDir())
	var names []string
	for name, raw := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, raw, 0o644); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	set, err := manifest.Read(names, nil, manifest.Options{})
	if err != nil {
		t.Errorf("cannot be read: %v", err)
		return nil
	}
	return set
}

// printedAsWritten holds what --fix prints against what --write writes.
func printedAsWritten(t *testing.T, before, after *manifest.Set) {
	t.Helper()
	for _, c := range Correct(before, Warning) {
		if c.YAML == "" {
			t.Errorf("%s is not printed: %s", c.Object, c.Left)
			continue
		}
		got, err := manifest.Parse([]byte(c.YAML))
		source, ok := after.Source(c.Object.Kind, c.Object.Namespace, c.Object.Name)
		if err != nil || ok && c.Left == "" && source.Fixed() == "" && !manifest.Same(got, source.Node()) {
			t.Errorf("%s is printed as another than it is written (%v)\n%s", c.Object, err, c.YAML)
		}
	}
}

// Cases that people reported, in manifests as they write them: each folder is
// corrected as a whole.
func TestReportedCasesStayWhatTheyAre(t *testing.T) {
	archives, err := filepath.Glob("testdata/reports/*.txtar")
	if err != nil || len(archives) < 50 {
		t.Fatalf("%d cases in testdata/reports: %v", len(archives), err)
	}
	corrected := 0
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		folders := map[string]map[string][]byte{}
		for _, f := range archive.Files {
			folder := filepath.Dir(f.Name)
			if folders[folder] == nil {
				folders[folder] = map[string][]byte{}
			}
			folders[folder][f.Name] = f.Data
		}
		for folder, files := range folders {
			if files[folder+"/rollout.yaml"] != nil { // it rolls out into what the base has
				maps.Copy(files, folders["base"])
			}
			t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar")+"/"+folder, func(t *testing.T) {
				before := readFiles(t, files)
				if before == nil {
					return
				}
				after, done := rewritten(t, before, files, Warning)
				corrected += len(done)
				for _, f := range Check(before) {
					if f.New {
						corrected++ // a policy to add, for which no document changes
					}
				}
				if now := readFiles(t, after); now != nil {
					sameButNamed(t, before, now, done)
					printedAsWritten(t, before, now)
				}
			})
		}
	}
	if corrected < 25 {
		t.Errorf("only %d documents were corrected", corrected)
	}
}

// A file that is another one by the time it is written is left alone.
func TestAFileThatChangedIsNotWritten(t *testing.T) {
	set := readFiles(t, map[string][]byte{"a.yaml": []byte(manyMistakes), "b.yaml": []byte(manyPods)})
	for name, now := range map[string]string{"a line more": "# new\n" + manyMistakes, "gone": ""} {
		t.Run(name, func(t *testing.T) {
			got, err := Rewrites(set, Warning, func(string) ([]byte, error) { return []byte(now), nil })
			if !errors.Is(err, manifest.ErrMoved) || got != nil || !strings.HasPrefix(err.Error(), "a.yaml: NetworkPolicy ai/gateway: ") {
				t.Errorf("got %v and %v", got, err)
			}
		})
	}
}
