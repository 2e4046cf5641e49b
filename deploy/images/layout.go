package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// ErrNoLayout is wrapped by errors about a folder that is no OCI layout of our images.
var ErrNoLayout = errors.New("no images")

// Bounds on what is read of a layout: somebody else may have made it.
const (
	maxManifest  = 4 << 20 // bytes, as registries have it
	maxManifests = 1000    // in one index
)

// Layout is a folder with images, as Build writes it.
type Layout struct {
	Dir    string
	Images []Image // in the order of Programs, those that are there

	index v1.ImageIndex
	sboms []v1.Descriptor
}

// Image is one program's image in a layout.
type Image struct {
	Name      string     `json:"name"`
	Version   string     `json:"version"`
	Digest    string     `json:"digest"` // of the index, as sha256:…
	Platforms []Platform `json:"platforms"`
}

// Platform is an image for one architecture.
type Platform struct {
	Platform string `json:"platform"` // linux/amd64
	Digest   string `json:"digest"`   // of the manifest
	Size     int64  `json:"size"`     // bytes to pull
}

// Size is how many bytes all platforms of an image are.
func (i Image) Size() (bytes int64) {
	for _, p := range i.Platforms {
		bytes += p.Size
	}
	return bytes
}

// Beside returns the folder that it is given, or the folder images beside this
// program, which need not be there.
func Beside(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("%w: this program does not know where it is: %w; name the folder with --image-layout", ErrNoLayout, err)
	}
	return filepath.Join(filepath.Dir(self), "images"), nil
}

// Find is Beside for a folder that must be there.
func Find(flag string) (string, error) {
	dir, err := Beside(flag)
	if err != nil || flag != "" {
		return dir, err
	}
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		return "", fmt.Errorf("%w: %s is not there; build them with `make images`, unpack a release's with `tightrope images load FILE`, or name their folder with --image-layout",
			ErrNoLayout, dir)
	}
	return dir, nil
}

// Open reads a layout's manifests, and checks their digests; not those of layers.
func Open(dir string) (*Layout, error) {
	l := &Layout{Dir: dir}
	if err := l.read(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoLayout, dir, err)
	}
	if len(l.Images) == 0 {
		return nil, fmt.Errorf("%w: the OCI layout %s holds none of %s; build it with `make images`", ErrNoLayout, dir, strings.Join(Programs, ", "))
	}
	return l, nil
}

func (l *Layout) read() error {
	file := filepath.Join(l.Dir, "index.json")
	st, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no file index.json in it, so it is no OCI layout; build one with `make images`")
	case err != nil:
		return err
	case st.Size() > maxManifest:
		return fmt.Errorf("index.json has %d bytes, more than %d", st.Size(), maxManifest)
	}
	if l.index, err = layout.ImageIndexFromPath(l.Dir); err != nil {
		return err
	}
	top, err := l.index.IndexManifest()
	if err != nil {
		return fmt.Errorf("index.json: %w", err)
	}
	if len(top.Manifests) > maxManifests {
		return fmt.Errorf("index.json lists %d manifests, more than %d", len(top.Manifests), maxManifests)
	}
	for _, d := range top.Manifests {
		name := d.Annotations[annotationName]
		switch {
		case d.ArtifactType == sbomType:
			l.sboms = append(l.sboms, d)
		case !known(name) || !d.MediaType.IsIndex():
		case slices.ContainsFunc(l.Images, func(i Image) bool { return i.Name == name }):
			return fmt.Errorf("two images are called %s", name)
		default:
			one, err := l.readImage(name, d)
			if err != nil {
				return fmt.Errorf("image %s: %w", name, err)
			}
			l.Images = append(l.Images, one)
		}
	}
	slices.SortFunc(l.Images, func(a, b Image) int { return slices.Index(Programs, a.Name) - slices.Index(Programs, b.Name) })
	return nil
}

func (l *Layout) readImage(name string, d v1.Descriptor) (Image, error) {
	one := Image{Name: name, Version: d.Annotations[annotationVersion], Digest: d.Digest.String()}
	if err := l.check(d); err != nil {
		return one, err
	}
	ix, err := l.index.ImageIndex(d.Digest)
	if err != nil {
		return one, err
	}
	manifests, err := ix.IndexManifest()
	if err != nil {
		return one, err
	}
	if len(manifests.Manifests) > maxManifests {
		return one, fmt.Errorf("its index lists %d manifests, more than %d", len(manifests.Manifests), maxManifests)
	}
	for _, m := range manifests.Manifests {
		if m.Platform == nil || !m.MediaType.IsImage() {
			continue
		}
		if err := l.check(m); err != nil {
			return one, err
		}
		img, err := ix.Image(m.Digest)
		if err != nil {
			return one, err
		}
		manifest, err := img.Manifest()
		if err != nil {
			return one, err
		}
		size := m.Size
		for _, blob := range append(manifest.Layers, manifest.Config) {
			size += blob.Size
			if err := l.there(blob); err != nil {
				return one, err
			}
		}
		one.Platforms = append(one.Platforms, Platform{Platform: m.Platform.OS + "/" + m.Platform.Architecture, Digest: m.Digest.String(), Size: size})
	}
	if len(one.Platforms) == 0 {
		return one, errors.New("it is for no platform")
	}
	return one, nil
}

// there says whether a blob is in the layout, as long as it should be.
func (l *Layout) there(d v1.Descriptor) error {
	if d.Digest.Algorithm != "sha256" || !hex64.MatchString(d.Digest.Hex) { // it becomes a path
		return fmt.Errorf("digest %.80q is none of SHA-256", d.Digest)
	}
	st, err := os.Stat(filepath.Join(l.Dir, "blobs", d.Digest.Algorithm, d.Digest.Hex))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("blob %s is missing; build or load the layout anew", d.Digest)
	case err != nil:
		return err
	case st.Size() != d.Size:
		return fmt.Errorf("blob %s is damaged: it has %d bytes, not %d; build or load the layout anew", d.Digest, st.Size(), d.Size)
	}
	return nil
}

// check compares a manifest with its descriptor.
func (l *Layout) check(d v1.Descriptor) error {
	if err := l.there(d); err != nil {
		return err
	}
	if d.Size > maxManifest {
		return fmt.Errorf("manifest %s has %d bytes, more than %d", d.Digest, d.Size, maxManifest)
	}
	f, err := layout.Path(l.Dir).Blob(d.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	got, _, err := v1.SHA256(f)
	if err != nil {
		return err
	}
	if got != d.Digest {
		return fmt.Errorf("manifest %s is damaged: its digest is %s; build or load the layout anew", d.Digest, got)
	}
	return nil
}

var hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

var notInTag = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// tag is a version as registries accept it.
func tag(version string) string {
	t := strings.TrimLeft(notInTag.ReplaceAllString(version, "-"), ".-")
	if t == "" {
		return "dev"
	}
	return t[:min(len(t), 128)]
}
