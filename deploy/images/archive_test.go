package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASavedLayoutIsLoadedAsItWas(t *testing.T) {
	l := build(t)
	if err := os.WriteFile(filepath.Join(l.Dir, "blobs", "stray"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := errors.Join(l.Save(&first, ""), l.Save(&second, "")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives differ")
	}
	dir := filepath.Join(t.TempDir(), "a", "layout")
	loaded, err := Load(&first, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := files(t, l.Dir)
	delete(want, "/blobs/stray")
	if got := files(t, loaded.Dir); !maps.Equal(got, want) {
		t.Errorf("%d files, want %d as they were", len(got), len(want))
	}
	if _, err := Load(&second, dir); err != nil {
		t.Errorf("over itself: %v", err)
	}
}

// containerd looks a pod's image up by the name and digest that the pod has. Load takes
// such an archive as any other.
func TestAnArchiveForNodesHasTheNamesThatPodsHave(t *testing.T) {
	l := build(t)
	var archive bytes.Buffer
	if err := l.Save(&archive, "registry.example/team"); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(&archive, filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	top, err := loaded.index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{} // digests
	for _, d := range top.Manifests {
		if name := d.Annotations[annotationContainerd]; name != "" {
			names[name] = d.Digest.String()
		}
	}
	want, err := l.References("registry.example/team")
	if err != nil {
		t.Fatal(err)
	}
	for i, image := range loaded.Images {
		if image.Digest != l.Images[i].Digest || names[want[image.Name]] != image.Digest || names[l.Loaded()[image.Name]] != image.Digest {
			t.Errorf("image %s of %v", image.Name, names)
		}
	}
	if len(loaded.Images) != len(Programs) || len(names) != 2*len(Programs) {
		t.Errorf("%d images with names %v", len(loaded.Images), names)
	}
	if err := l.Save(&archive, "https://registry.example"); err == nil || !strings.Contains(err.Error(), "REGISTRY/PREFIX") {
		t.Errorf("%v", err)
	}
}

func TestABadArchiveChangesNothing(t *testing.T) {
	var good bytes.Buffer
	if err := build(t).Save(&good, ""); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good.Bytes())
	layer := bytes.Index(damaged, []byte{0x1f, 0x8b, 8}) // gzip's first bytes; of a manifest Open looks at the digest
	damaged[layer+100] ^= 1
	for name, tt := range map[string]struct {
		archive []byte
		want    string
	}{
		"nothing":                 {nil, "no OCI archive"},
		"not a tar":               {[]byte(strings.Repeat("x", 2000)), "no OCI archive"},
		"cut off":                 {good.Bytes()[:good.Len()/2], "cut off"},
		"a changed blob":          {damaged, "damaged"},
		"a way out":               {entry(t, tar.Header{Name: "../../evil", Typeflag: tar.TypeReg}), `"../../evil"`},
		"a blob with a way out":   {entry(t, tar.Header{Name: "blobs/sha256/../../../evil", Typeflag: tar.TypeReg}), "evil"},
		"a link for a folder":     {entry(t, tar.Header{Name: "blobs", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}), `"blobs"`},
		"a link for a file":       {entry(t, tar.Header{Name: "index.json", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}), `"index.json"`},
		"a device":                {entry(t, tar.Header{Name: "index.json", Typeflag: tar.TypeChar}), `"index.json"`},
		"the same file twice":     {append(entry(t, tar.Header{Name: "index.json", Typeflag: tar.TypeReg})[:512], entry(t, tar.Header{Name: "index.json", Typeflag: tar.TypeReg})...), "index.json"},
		"a layout without images": {entry(t, tar.Header{Name: "oci-layout", Typeflag: tar.TypeReg}), "index.json"},
	} {
		t.Run(name, func(t *testing.T) {
			l := build(t)
			before := files(t, l.Dir)
			_, err := Load(bytes.NewReader(tt.archive), l.Dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v: want %s in it", err, tt.want)
			}
			if !maps.Equal(files(t, l.Dir), before) {
				t.Error("the layout that was there is another one")
			}
			if beside, _ := os.ReadDir(filepath.Dir(l.Dir)); len(beside) != 1 {
				t.Errorf("left behind: %v", beside)
			}
		})
	}
}

func entry(t *testing.T, h tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.WriteHeader(&h), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
