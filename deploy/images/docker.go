package images

import (
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Loaded are the images as pods name them on nodes onto which SaveDocker's archive was
// loaded: by program, with the version as tag. A version is built once, and the nodes
// are new, so the tag says which image it is.
func (l *Layout) Loaded() map[string]string {
	out := map[string]string{}
	for _, i := range l.Images {
		out[i.Name] = namespace + "/" + i.Name + ":" + tag(i.Version)
	}
	return out
}

// SaveDocker writes the images for one architecture as docker save does, which docker
// load, podman load and kind load image-archive read.
func (l *Layout) SaveDocker(to io.Writer, arch string) error {
	all, names := map[name.Tag]v1.Image{}, l.Loaded()
	for _, i := range l.Images {
		loaded, err := name.NewTag(names[i.Name], name.StrictValidation)
		if err != nil {
			return fmt.Errorf("image %s: %w", i.Name, err)
		}
		image, err := l.image(i, "linux/"+arch)
		if err != nil {
			return fmt.Errorf("image %s: %w", i.Name, err)
		}
		all[loaded] = image
	}
	if err := tarball.MultiWrite(all, to); err != nil {
		return fmt.Errorf("save the images of %s for %s: %w", l.Dir, arch, err)
	}
	return nil
}

// image is the one for a platform.
func (l *Layout) image(i Image, platform string) (v1.Image, error) {
	for _, p := range i.Platforms {
		if p.Platform != platform {
			continue
		}
		index, err := v1.NewHash(i.Digest)
		if err != nil {
			return nil, err
		}
		ix, err := l.index.ImageIndex(index)
		if err != nil {
			return nil, err
		}
		digest, err := v1.NewHash(p.Digest)
		if err != nil {
			return nil, err
		}
		return ix.Image(digest)
	}
	return nil, errors.New("the layout has it not for " + platform)
}
