package release

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/deploy/images"
)

// layout is an OCI layout of small programs, of a version.
func layout(t *testing.T, version string) string {
	t.Helper()
	folder := t.TempDir()
	for _, arch := range images.Architectures {
		dir := filepath.Join(folder, "linux_"+arch)
		err := compile(filepath.Join(binaries(t), "source"), filepath.Join(dir, "any"), programs["agent"], "linux/"+arch, "-trimpath")
		for _, name := range images.Programs {
			err = errors.Join(err, os.Link(filepath.Join(dir, "any"), filepath.Join(dir, name)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "layout")
	if _, err := images.Build(to, images.Options{Binaries: folder, Version: version}); err != nil {
		t.Fatal(err)
	}
	return to
}

// The images of a release are what `tightrope images load` makes of its file, digest by
// digest; those of another version are not taken.
func TestTheImagesOfAReleaseCanBeLoaded(t *testing.T) {
	o := options(t)
	o.Lab, o.Platforms, o.Images = nil, []string{"linux/amd64"}, layout(t, o.Version)
	const name = "tightrope_v1.2.3-rc.1_images.tar"
	all := makeIn(t, o)
	if !strings.Contains(string(all[sums]), "  "+name+"\n") {
		t.Errorf("%s is not in %s:\n%s", name, sums, all[sums])
	}
	loaded, err := images.Load(bytes.NewReader(all[name]), filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	built, err := images.Open(o.Images)
	if err != nil || built.Digests() != loaded.Digests() {
		t.Errorf("%v: loaded %s, want %s", err, loaded.Digests(), built.Digests())
	}
	o.Version = "v1.2.4"
	if _, err := Make(filepath.Join(t.TempDir(), "dist"), o); err == nil || !strings.Contains(err.Error(), `is of version "v1.2.3-rc.1"`) {
		t.Errorf("images of another version: %v", err)
	}
}
