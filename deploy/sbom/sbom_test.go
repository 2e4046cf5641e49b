package sbom

import (
	"encoding/json"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// example is an archive of two programs that share a module.
func example() Document {
	program := func(name string, deps ...*debug.Module) Program {
		return Program{Name: name, Platform: "linux/arm64", Digest: name + "-digest",
			Info: &debug.BuildInfo{GoVersion: "go1.26.1 X:none", Path: "tightrope/" + name, Main: debug.Module{Path: "tightrope"}, Deps: deps}}
	}
	shared := &debug.Module{Path: "example.org/shared", Version: "v1.0.0", Sum: "h1:shared="}
	old := &debug.Module{Path: "example.org/old", Version: "v1.0.0",
		Replace: &debug.Module{Path: "example.org/new", Version: "v2.0.0", Sum: "h1:new="}}
	return Document{Name: "bundle", Version: "v1.2.3", Created: time.Unix(1_700_000_000, 0), Archive: "bundle.tar.gz", Digest: "archive-digest",
		Programs: []Program{program("one", shared), program("two", old, shared)}}
}

func decode(t *testing.T, d Document) document {
	t.Helper()
	text, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var out document
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// An archive contains its programs, each depends on its own modules, and a module of
// two programs is one package.
func TestAnArchiveContainsItsPrograms(t *testing.T) {
	d := decode(t, example())
	ids := map[string]string{documentID: "document"}
	for _, p := range d.Packages {
		if ids[p.ID] != "" {
			t.Errorf("two packages are called %s", p.ID)
		}
		ids[p.ID] = p.Name
	}
	var got []string
	for _, r := range d.Relationships {
		if ids[r.Element] == "" || ids[r.Related] == "" {
			t.Errorf("%+v leads nowhere", r)
		}
		got = append(got, ids[r.Element]+" "+r.Type+" "+ids[r.Related])
	}
	want := []string{
		"document DESCRIBES bundle.tar.gz",
		"one CONTAINS tightrope", "one DEPENDS_ON std", "one DEPENDS_ON example.org/shared", "bundle.tar.gz CONTAINS one",
		"two CONTAINS tightrope", "two DEPENDS_ON std", "two DEPENDS_ON example.org/new", "two DEPENDS_ON example.org/shared", "bundle.tar.gz CONTAINS two",
	}
	if !slices.Equal(got, want) {
		t.Errorf("relationships\n%q\nwant\n%q", got, want)
	}
	if sum := d.Packages[0].Checksums; len(sum) != 1 || sum[0].Value != "archive-digest" {
		t.Errorf("the archive's checksum is %+v", sum)
	}
	if d.Namespace != "https://tightrope.dev/spdx/bundle-archive-digest" || d.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("namespace %s, created %s", d.Namespace, d.CreationInfo.Created)
	}
}

func TestOneProgramNeedsNoArchive(t *testing.T) {
	o := example()
	o.Archive, o.Digest, o.Programs = "", "", o.Programs[:1]
	d := decode(t, o)
	if r := d.Relationships[len(d.Relationships)-1]; r.Type != "DESCRIBES" || r.Related != "SPDXRef-Program-one" || d.Namespace != "https://tightrope.dev/spdx/bundle-one-digest" {
		t.Errorf("%+v in %s", r, d.Namespace)
	}
	for name, programs := range map[string][]Program{"two without an archive": example().Programs, "none": nil} {
		o.Programs = programs
		if text, err := o.JSON(); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}
