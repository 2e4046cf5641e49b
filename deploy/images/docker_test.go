package images

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// What is loaded onto nodes is what the layout has for their architecture, under the
// names that pods are given.
func TestADockerArchiveHoldsTheImagesOfOneArchitecture(t *testing.T) {
	l := build(t)
	names := l.Loaded()
	for _, arch := range Architectures {
		var archive bytes.Buffer
		if err := l.SaveDocker(&archive, arch); err != nil {
			t.Fatal(err)
		}
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
		for _, i := range l.Images {
			tag, err := name.NewTag(names[i.Name])
			if err != nil {
				t.Fatal(err)
			}
			image, err := tarball.Image(open, &tag)
			if err != nil {
				t.Fatalf("%s for %s: %v", names[i.Name], arch, err)
			}
			config, err := image.ConfigFile()
			if err != nil || config.Architecture != arch {
				t.Errorf("%s is for %q, want %s: %v", i.Name, config.Architecture, arch, err)
			}
		}
	}
	if err := l.SaveDocker(io.Discard, "s390x"); err == nil {
		t.Error("there is an image for s390x, which nobody built")
	}
}
