package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// file is one entry of a layer.
type file struct {
	tar.Header
	text string
}

func regular(name, text string) file {
	return file{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o4755}, text}
}

func link(name, to string) file {
	return file{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}, ""}
}

// picture is an image for one architecture, of layers.
func picture(t *testing.T, arch string, layers ...[]file) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{OS: "linux", Architecture: arch,
		Config: v1.Config{User: "65532:65532", Entrypoint: []string{"/tool", "serve"}, Cmd: []string{"--fast"}, Env: []string{"A=b"}, WorkingDir: "/work"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range layers {
		raw := packed(t, files)
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
			tarball.WithMediaType(types.OCILayer))
		if err == nil {
			img, err = mutate.AppendLayers(img, layer)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func packed(t *testing.T, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		f.Size = int64(len(f.text))
		err := w.WriteHeader(&f.Header)
		if err == nil {
			_, err = io.WriteString(w, f.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// laidOut is a layout with one image, of an index, called tightrope.dev/tool.
func laidOut(t *testing.T, images ...v1.Image) (dir string, index v1.Hash) {
	t.Helper()
	ix := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		c, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		ix = mutate.AppendManifests(ix, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: c.OS, Architecture: c.Architecture}}})
	}
	dir = filepath.Join(t.TempDir(), "layout")
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendIndex(ix, layout.WithAnnotations(map[string]string{annotationContainerd: "tightrope.dev/tool:v1"}))
	}
	if err == nil {
		index, err = ix.Digest()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, index
}

func TestAnImageIsUnpackedForItsArchitecture(t *testing.T) {
	tool := []file{regular("tool", "amd64"), regular("etc/passwd", "x"), regular("old", "gone")}
	over := []file{regular(".wh.old", ""), link("bin/tool", "/tool"), {tar.Header{Name: "again", Typeflag: tar.TypeLink, Linkname: "tool"}, ""}}
	amd := picture(t, "amd64", tool, over)
	dir, index := laidOut(t, picture(t, "arm64", []file{regular("tool", "arm64")}), amd)
	into := t.TempDir()
	got, err := Unpack(dir, into, "amd64")
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v: %v", got, err)
	}
	one := got[0]
	manifest, err := amd.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if one.Name != "tightrope.dev/tool" || !slices.Equal(one.Digests, []string{index.String(), manifest.String()}) || one.UID != 65532 ||
		!slices.Equal(one.Entrypoint, []string{"/tool", "serve"}) || !slices.Equal(one.Cmd, []string{"--fast"}) ||
		!slices.Equal(one.Env, []string{"A=b"}) || one.WorkingDir != "/work" || one.Size != int64(len("amd64")+len("x")) {
		t.Errorf("%+v", one)
	}
	for name, want := range map[string]string{"tool": "amd64", "again": "amd64", "etc/passwd": "x"} {
		if b, err := os.ReadFile(filepath.Join(one.Files, name)); err != nil || string(b) != want {
			t.Errorf("%s holds %q: %v", name, b, err)
		}
	}
	if st, err := os.Stat(filepath.Join(one.Files, "tool")); err != nil || st.Mode() != 0o755 {
		t.Errorf("mode %v: %v; a set-user-ID bit stays behind", st.Mode(), err)
	}
	if to, err := os.Readlink(filepath.Join(one.Files, "bin/tool")); err != nil || to != "/tool" {
		t.Errorf("link to %q: %v", to, err)
	}
	if _, err := os.Lstat(filepath.Join(one.Files, "old")); err == nil {
		t.Error("a file that a later layer took away is there")
	}
	if _, err := Unpack(dir, t.TempDir(), "riscv64"); err == nil || !strings.Contains(err.Error(), "linux/arm64, linux/amd64") {
		t.Errorf("another machine: %v", err)
	}
}

// Whatever an image holds, nothing is written outside of its folder.
func TestNothingLeavesTheFolder(t *testing.T) {
	outside := t.TempDir()
	for name, files := range map[string][]file{
		"a path up":           {regular("../evil", "x")},
		"a long path up":      {regular("a/../../../evil", "x")},
		"through a link up":   {link("out", ".."), regular("out/evil", "x")},
		"through a link away": {link("out", outside), regular("out/evil", "x")},
		"a hard link up":      {{tar.Header{Name: "stolen", Typeflag: tar.TypeLink, Linkname: "../secret"}, ""}},
		"a hard link away":    {{tar.Header{Name: "stolen", Typeflag: tar.TypeLink, Linkname: "/secret"}, ""}},
		"a hard link through": {link("out", ".."), {tar.Header{Name: "stolen", Typeflag: tar.TypeLink, Linkname: "out/secret"}, ""}},
		"a device":            {{tar.Header{Name: "null", Typeflag: tar.TypeChar}, ""}},
		"a pipe":              {{tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}, ""}},
		"a folder up":         {{tar.Header{Name: "../evil", Typeflag: tar.TypeDir, Mode: 0o777}, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			into := filepath.Join(parent, "into")
			if err := errors.Join(os.Mkdir(into, 0o755), os.WriteFile(filepath.Join(into, "secret"), []byte("secret"), 0o600),
				os.WriteFile(filepath.Join(parent, "secret"), []byte("secret"), 0o600)); err != nil {
				t.Fatal(err)
			}
			dir, _ := laidOut(t, picture(t, "amd64", files))
			got, err := Unpack(dir, into, "amd64")
			alone := filepath.Join(into, "alone") // without what the library leaves out
			if err := os.Mkdir(alone, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := (&source{left: 100}).extract(bytes.NewReader(packed(t, files)), alone); err == nil {
				t.Error("the archive alone was unpacked")
			}
			if len(got) > 0 {
				for _, stolen := range []string{"stolen", "null", "pipe"} {
					if _, err := os.Lstat(filepath.Join(got[0].Files, stolen)); err == nil {
						t.Errorf("%s is in the image", stolen)
					}
				}
			} else if err == nil {
				t.Error("neither images nor an error")
			}
			for _, folder := range []string{parent, into, outside, filepath.Dir(parent)} {
				if _, err := os.Lstat(filepath.Join(folder, "evil")); err == nil {
					t.Errorf("there is a file in %s", folder)
				}
			}
		})
	}
}

func TestADamagedLayoutIsRefused(t *testing.T) {
	img := picture(t, "amd64", []file{regular("tool", strings.Repeat("x", 1000))})
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	_, index := laidOut(t, img)
	for what, h := range map[string]v1.Hash{"the layer": manifest.Layers[0].Digest, "the configuration": manifest.Config.Digest, "the manifest": digest, "the index": index} {
		dir, _ := laidOut(t, img)
		path := filepath.Join(dir, "blobs", h.Algorithm, h.Hex)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-1] ^= 1
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := Unpack(dir, t.TempDir(), "amd64"); err == nil || !strings.Contains(err.Error(), h.String()) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s is another one: %+v, %v", what, got, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(dir, t.TempDir(), "amd64"); err == nil || !strings.Contains(err.Error(), h.Hex) {
			t.Errorf("%s is gone: %v", what, err)
		}
	}
	dir, _ := laidOut(t, img)
	for name, text := range map[string]string{
		"index.json lists": `{"manifests":[` + strings.Repeat(`{},`, maxImages) + `{}]}`,
		"no image":         `{"manifests":[]}`,
		"index.json":       `[`,
		"hash":             `{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:../../../../etc/passwd","annotations":{"io.containerd.image.name":"a"}}]}`,
		"more than":        strings.Repeat(" ", maxManifest+1),
	} {
		if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(dir, t.TempDir(), "amd64"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q: %v", name, err)
		}
	}
	if _, err := Unpack(t.TempDir(), t.TempDir(), "amd64"); err == nil || !strings.Contains(err.Error(), "no OCI layout") {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestAnImageThatIsTooLargeIsRefused(t *testing.T) {
	s := &source{left: 10}
	dir := t.TempDir()
	if err := s.extract(bytes.NewReader(packed(t, []file{regular("a", "123456"), regular("b", "123456")})), dir); err == nil || !strings.Contains(err.Error(), `"b"`) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "b")); err == nil {
		t.Error("the file that is too much is there")
	}
}

func TestNames(t *testing.T) {
	for annotation, want := range map[string]string{"agent": "agent", "tightrope.dev/agent:v1": "tightrope.dev/agent", "localhost:5000/a/b:v1": "localhost:5000/a/b",
		"localhost:5000/a": "localhost:5000/a", "../x": "", "": "", "A b": ""} {
		if got := nameOf(v1.Descriptor{Annotations: map[string]string{annotationName: annotation}}); got != want {
			t.Errorf("%q is called %q, want %q", annotation, got, want)
		}
	}
	for user, want := range map[string]int64{"": 0, "root": 0, "0": 0, "65532:65532": 65532, "nobody": -1, "-1": -1, "9999999999": -1} {
		if got, err := uid(user); err == nil && got != want || err != nil && want != -1 {
			t.Errorf("user %q is %d: %v", user, got, err)
		}
	}
}
