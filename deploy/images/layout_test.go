package images

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestOnlyALayoutIsReplaced(t *testing.T) {
	l := build(t)
	o := options
	o.Binaries, o.Version = binaries(t), "v2"
	again, err := Build(l.Dir, o)
	if err != nil || again.Images[0].Version != "v2" || again.Images[0].Digest == l.Images[0].Digest {
		t.Errorf("the second build: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(l.Dir)); len(entries) != 1 {
		t.Errorf("beside the layout there is more: %v", entries)
	}
	home := t.TempDir()
	precious := filepath.Join(home, "thesis.txt")
	if err := os.WriteFile(precious, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(home, o); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("a folder with other files: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

func TestReferencesHaveTheDigestsOfTheLayout(t *testing.T) {
	l := build(t)
	refs, err := References(l.Dir, "registry.example/team/")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range l.Images {
		if want := "registry.example/team/" + i.Name + "@" + i.Digest; refs[i.Name] != want {
			t.Errorf("%s is %s, want %s", i.Name, refs[i.Name], want)
		}
	}
	if len(refs) != len(Programs) {
		t.Errorf("references %v", refs)
	}
	for _, prefix := range []string{"", "https://registry.example/team", "team", "registry.example/Team", "registry.example/team:1"} {
		if _, err := References(l.Dir, prefix); err == nil || !strings.Contains(err.Error(), "REGISTRY/PREFIX") {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	if _, err := References(l.Dir, "localhost:5000/a"); err != nil {
		t.Error(err)
	}
	if _, err := References(t.TempDir(), "registry.example/team"); !errors.Is(err, ErrNoLayout) || !strings.Contains(err.Error(), "make images") {
		t.Errorf("no layout: %v", err)
	}
}

func TestADamagedLayoutIsNotUsed(t *testing.T) {
	l := build(t)
	hash, err := v1.NewHash(l.Images[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(l.Dir, "blobs", "sha256", hash.Hex)
	text, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, bytes.Replace(text, []byte("arm64"), []byte("amd64"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(l.Dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a changed index: %v", err)
	}
	index := filepath.Join(l.Dir, "index.json")
	for name, text := range map[string]string{
		"a path for a digest": `{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":1,"digest":"sha256:../../../../etc/passwd","annotations":{"org.opencontainers.image.ref.name":"agent"}}]}`,
		"no images":           `{"manifests":[]}`,
		"no JSON":             `x`,
		"more than is read":   strings.Repeat(" ", maxManifest+1),
	} {
		if err := os.WriteFile(index, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(l.Dir); !errors.Is(err, ErrNoLayout) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAVersionBecomesATag(t *testing.T) {
	for version, want := range map[string]string{"v1.2.3": "v1.2.3", "v1+dirty": "v1-dirty", ".x": "x", "": "dev", strings.Repeat("a", 200): strings.Repeat("a", 128)} {
		if got := tag(version); got != want {
			t.Errorf("%q is %q, want %q", version, got, want)
		}
	}
}
