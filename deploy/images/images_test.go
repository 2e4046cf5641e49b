package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// made is what the tests share: programs, and a layout of them.
var made struct {
	once   sync.Once
	folder string
	err    error
}

// TestMain removes what the tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	if made.folder != "" {
		os.RemoveAll(made.folder)
	}
	os.Exit(code)
}

// binaries is a folder with a small program in the place of each of ours.
func binaries(t *testing.T) string {
	t.Helper()
	made.once.Do(func() {
		if made.folder, made.err = os.MkdirTemp("", "images"); made.err != nil {
			return
		}
		for _, arch := range Architectures {
			made.err = errors.Join(made.err, compile(binary(made.folder, Programs[0], arch), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch))
			for _, name := range Programs[1:] {
				made.err = errors.Join(made.err, os.Link(binary(made.folder, Programs[0], arch), binary(made.folder, name, arch)))
			}
		}
		if made.err == nil {
			o := options
			o.Binaries = made.folder
			_, made.err = Build(filepath.Join(made.folder, "layout"), o)
		}
	})
	if made.err != nil {
		t.Fatal(made.err)
	}
	return made.folder
}

func compile(to string, env ...string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, "./testdata/program")
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

var options = Options{Version: "v1.2.3-4-gabc+dirty", Revision: "abc", Created: time.Unix(1_700_000_000, 0)}

// build is a layout of a test's own.
func build(t *testing.T) *Layout {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(binaries(t), "layout"))); err != nil {
		t.Fatal(err)
	}
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTwoBuildsAreTheSameBytes(t *testing.T) {
	o := options
	o.Binaries = binaries(t)
	second, err := Build(filepath.Join(t.TempDir(), "layout"), o)
	if err != nil {
		t.Fatal(err)
	}
	a, b := files(t, build(t).Dir), files(t, second.Dir)
	if len(a) < 1+1+4*2*4 {
		t.Fatalf("a layout of %d files", len(a))
	}
	for name, text := range a {
		if b[name] != text {
			t.Errorf("%s differs", name)
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d and %d files", len(a), len(b))
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		all[strings.TrimPrefix(p, dir)] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// image is one of a layout, read without this package.
func image(t *testing.T, dir, name, arch string) (v1.Descriptor, v1.Image) {
	t.Helper()
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range manifest.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] != name {
			continue
		}
		ix, err := top.ImageIndex(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		platforms, err := ix.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range platforms.Manifests {
			if p.Platform.OS == "linux" && p.Platform.Architecture == arch {
				img, err := ix.Image(p.Digest)
				if err != nil {
					t.Fatal(err)
				}
				return p, img
			}
		}
	}
	t.Fatalf("no image %s for %s", name, arch)
	return v1.Descriptor{}, nil
}

func TestAnImageIsTheProgramAlone(t *testing.T) {
	l := build(t)
	for _, arch := range Architectures {
		_, img := image(t, l.Dir, "agent", arch)
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Architecture != arch || config.OS != "linux" || config.Config.User != "65532:65532" ||
			!slices.Equal(config.Config.Entrypoint, []string{"/agent"}) || !config.Created.Equal(options.Created) {
			t.Errorf("configuration %+v", config)
		}
		manifest, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{"title": "tightrope-agent", "version": options.Version, "revision": "abc",
			"licenses": "Apache-2.0", "created": "2023-11-14T22:13:20Z"} {
			if got := manifest.Annotations["org.opencontainers.image."+key]; got != want {
				t.Errorf("annotation %s is %q, want %q", key, got, want)
			}
		}
		want, err := os.ReadFile(binary(binaries(t), "agent", arch))
		if err != nil {
			t.Fatal(err)
		}
		r := tar.NewReader(mutate.Extract(img))
		h, err := r.Next()
		if err != nil || h.Name != "agent" || h.Mode != 0o755 || h.Uid != 0 || !h.ModTime.Equal(options.Created) {
			t.Fatalf("first entry %+v: %v", h, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the program is another one: %v", err)
		}
		if h, err := r.Next(); err != io.EOF {
			t.Errorf("a second entry %+v: %v", h, err)
		}
	}
}

// What go list says is built in, whatever the linker noted, is in the SBOM.
func TestTheSBOMListsEveryModule(t *testing.T) {
	l := build(t)
	descriptor, _ := image(t, l.Dir, "agent", "arm64")
	d := sbomOf(t, l, descriptor.Digest)
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./testdata/program")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(out)))))
	if len(want) < 4 {
		t.Fatalf("the test's program has the modules %q only", want)
	}
	ids := map[string]bool{}
	for _, p := range d.Packages {
		if ids[p.ID] {
			t.Errorf("two packages are called %s", p.ID)
		}
		ids[p.ID] = true
	}
	for _, module := range append(want, "std", "agent") {
		if !slices.ContainsFunc(d.Packages, func(p spdxPackage) bool { return p.Name == module && p.Version != "" }) {
			t.Errorf("module %s is not in the SBOM", module)
		}
	}
	if len(d.Packages) != len(want)+2 {
		t.Errorf("%d packages, want the program, std and %d modules", len(d.Packages), len(want))
	}
	for _, r := range d.Relationships {
		if r.Element != d.ID && !ids[r.Element] || !ids[r.Related] {
			t.Errorf("relationship %+v leads nowhere", r)
		}
	}
}

// spdx is as much of a document as the tests look at.
type spdx struct {
	ID            string `json:"SPDXID"`
	Packages      []spdxPackage
	Relationships []struct {
		Element string `json:"spdxElementId"`
		Related string `json:"relatedSpdxElement"`
	}
}

type spdxPackage struct {
	ID      string `json:"SPDXID"`
	Name    string
	Version string `json:"versionInfo"`
}

// sbomOf is the document whose subject is a manifest.
func sbomOf(t *testing.T, l *Layout, subject v1.Hash) (d spdx) {
	t.Helper()
	for _, s := range l.sboms {
		img, err := l.index.Image(s.Digest)
		if err != nil {
			t.Fatal(err)
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == nil || m.Subject.Digest != subject {
			continue
		}
		b, err := layout.Path(l.Dir).Bytes(m.Layers[0].Digest)
		if err == nil {
			err = json.Unmarshal(b, &d)
		}
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	t.Fatalf("no SBOM of %s among %d", subject, len(l.sboms))
	return d
}

func TestWhatCannotRunInAnEmptyImageIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, folder string) error
		want   []string
	}{
		"a missing one": {func(_ *testing.T, folder string) error { return os.Remove(binary(folder, "twin", "arm64")) },
			[]string{"twin", "linux/arm64", "make images"}},
		"of another architecture": {func(_ *testing.T, folder string) error {
			return errors.Join(os.Remove(binary(folder, "twin", "arm64")), os.Link(binary(folder, "twin", "amd64"), binary(folder, "twin", "arm64")))
		}, []string{"linux_arm64/twin", "GOARCH=arm64"}},
		"no program of Go": {func(_ *testing.T, folder string) error {
			path := binary(folder, "agent", "amd64")
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755))
		}, []string{"linux_amd64/agent", "SBOM"}},
		"one that needs libraries": {func(t *testing.T, folder string) error {
			path := binary(folder, "agent", "amd64")
			// A position-independent program asks for a loader, and needs no C compiler.
			if err := compile(path, "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-buildmode=pie"); err != nil {
				t.Skip(err)
			}
			return nil
		}, []string{"linux_amd64/agent", "not static", "CGO_ENABLED=0"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options
			o.Binaries = t.TempDir()
			if err := os.CopyFS(o.Binaries, os.DirFS(binaries(t))); err != nil { // also the layout, which is in nobody's way
				t.Fatal(err)
			}
			if err := tt.change(t, o.Binaries); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "layout")
			_, err := Build(dir, o)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v: want %q in it", err, want)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}
