package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/deploy/images"
)

// A folder that another version has left beside the program is not what it installs: a
// release knows its own digests, and any other program takes images of its version.
func TestImagesAreThoseOfThisVersion(t *testing.T) {
	const registry = "registry.example/team"
	layout := smallImages(t) // of v1
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(self), "images")
	if err := os.Symlink(layout, beside); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(beside) })
	stamp, released := lab.Stamp, images.Released
	t.Cleanup(func() { lab.Stamp, images.Released = stamp, released })
	theirs, err := images.References(layout, registry)
	if err != nil {
		t.Fatal(err)
	}
	const zeros = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	own, digests := map[string]string{}, ""
	for _, name := range images.Programs {
		own[name] = registry + "/" + name + zeros
		digests += "," + name + "=" + zeros[1:]
	}
	for _, tt := range []struct {
		name, version, released, named string
		want                           map[string]string // nil: refused
	}{
		{"a release beside older images", "v2", digests[1:], "", own},
		{"a release beside its own images", "v1", digests[1:], "", own},
		{"a release, and images that are named", "v2", digests[1:], layout, theirs},
		{"a build beside its own images", "v1", "", "", theirs},
		{"a build beside older images", "v2", "", "", nil},
		{"a build, and older images that are named", "v2", "", layout, theirs},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lab.Stamp, images.Released = tt.version, tt.released
			got, err := pushed(tt.named, registry)
			if tt.want == nil {
				if !errors.Is(err, images.ErrNoLayout) {
					t.Fatalf("%v: %v", got, err)
				}
				contains(t, err.Error(), "is of version v1", "this program is v2", "--image-layout")
				if _, _, err := new(hostOptions).archive(); !errors.Is(err, images.ErrNoLayout) {
					t.Errorf("they would be loaded onto kind's nodes: %v", err)
				}
			} else if err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("%v: %v, want %v", err, got, tt.want)
			}
		})
	}
}
