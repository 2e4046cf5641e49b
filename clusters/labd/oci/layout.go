package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

const (
	annotationName       = "org.opencontainers.image.ref.name"
	annotationContainerd = "io.containerd.image.name"
)

// source is a layout, and what is left of the bounds.
type source struct {
	dir  string
	arch string
	left int64 // bytes that may still be unpacked
}

// Unpack unpacks every image that the layout at dir gives a name, each into a folder
// of its own below into, which must be there. It fails as a whole: a lab with some of
// the images is not the one that was asked for.
func Unpack(dir, into, arch string) ([]Image, error) {
	s := &source{dir: dir, arch: arch, left: maxUnpacked}
	top, err := readBounded(filepath.Join(dir, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no file index.json in it, so it is no OCI layout; `make images` makes one")
	}
	if err != nil {
		return nil, err
	}
	index, err := parse[v1.IndexManifest](top)
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	if len(index.Manifests) > maxImages {
		return nil, fmt.Errorf("index.json lists %d manifests, more than %d", len(index.Manifests), maxImages)
	}
	var all []Image
	for _, d := range index.Manifests {
		name := nameOf(d)
		if name == "" {
			continue // an SBOM, or a signature
		}
		for _, other := range all {
			if other.Name == name {
				return nil, fmt.Errorf("two images are called %.200q", name)
			}
		}
		one, err := s.unpack(d, into)
		if err != nil {
			return nil, fmt.Errorf("image %.200q: %w", name, err)
		}
		one.Name = name
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("it has no image with a name: the annotation %s or %s", annotationContainerd, annotationName)
	}
	return all, nil
}

// reference is a name with a registry or without, and perhaps a tag.
var reference = regexp.MustCompile(`^([a-z0-9][a-z0-9._/-]*(?::[0-9]+/[a-z0-9._/-]+)?)(?::[A-Za-z0-9_.-]+)?$`)

// nameOf is the name that a layout gives an image, without its tag; empty: none.
func nameOf(d v1.Descriptor) string {
	for _, key := range []string{annotationContainerd, annotationName} {
		if parts := reference.FindStringSubmatch(d.Annotations[key]); parts != nil {
			return parts[1]
		}
	}
	return ""
}

// unpack unpacks one image, which a descriptor of the layout names.
func (s *source) unpack(d v1.Descriptor, into string) (one Image, err error) {
	manifest, index := d, v1.Hash{}
	if d.MediaType.IsIndex() {
		index = d.Digest
		one.Digests = append(one.Digests, d.Digest.String())
		if manifest, err = s.choose(d); err != nil {
			return one, err
		}
	}
	one.Digests = append(one.Digests, manifest.Digest.String())
	c, err := s.verify(manifest)
	if err != nil {
		return one, err
	}
	if c.OS != "linux" || c.Architecture != s.arch {
		return one, fmt.Errorf("its manifest %s is for %.40s/%.40s, and this machine is linux/%s", manifest.Digest, c.OS, c.Architecture, s.arch)
	}
	one.Entrypoint, one.Cmd, one.Env, one.WorkingDir = c.Config.Entrypoint, c.Config.Cmd, c.Config.Env, c.Config.WorkingDir
	if one.UID, err = uid(c.Config.User); err != nil {
		return one, err
	}
	img, err := s.image(index, manifest.Digest)
	if err != nil {
		return one, err
	}
	one.Files = filepath.Join(into, manifest.Digest.Hex)
	if err := os.Mkdir(one.Files, 0o755); errors.Is(err, fs.ErrExist) {
		return one, fmt.Errorf("another image of the layout is the same manifest %s", manifest.Digest)
	} else if err != nil {
		return one, err
	}
	files := mutate.Extract(img)
	defer files.Close()
	before := s.left
	if err := s.extract(files, one.Files); err != nil {
		return one, err
	}
	one.Size = before - s.left
	return one, nil
}

// choose is the manifest of an index that is for this machine.
func (s *source) choose(d v1.Descriptor) (v1.Descriptor, error) {
	raw, err := s.manifest(d)
	if err != nil {
		return d, err
	}
	index, err := parse[v1.IndexManifest](raw)
	if err != nil {
		return d, fmt.Errorf("its index: %w", err)
	}
	var others []string
	for _, m := range index.Manifests {
		if m.Platform == nil || !m.MediaType.IsImage() {
			continue
		}
		if m.Platform.OS == "linux" && m.Platform.Architecture == s.arch {
			return m, nil
		}
		others = append(others, fmt.Sprintf("%.40s/%.40s", m.Platform.OS, m.Platform.Architecture))
	}
	return d, fmt.Errorf("it is for %s, and this machine is linux/%s", strings.Join(others[:min(len(others), 10)], ", "), s.arch)
}

// verify compares a manifest and all that it names with their digests, and returns
// the configuration.
func (s *source) verify(d v1.Descriptor) (c config, err error) {
	raw, err := s.manifest(d)
	if err != nil {
		return c, err
	}
	m, err := parse[v1.Manifest](raw)
	if err != nil {
		return c, fmt.Errorf("its manifest: %w", err)
	}
	for _, layer := range m.Layers {
		if err := s.compare(layer.Digest, io.Discard); err != nil {
			return c, fmt.Errorf("a layer: %w", err)
		}
	}
	raw, err = s.manifest(m.Config)
	if err != nil {
		return c, fmt.Errorf("its configuration: %w", err)
	}
	return parse[config](raw)
}

// manifest reads a blob that is JSON.
func (s *source) manifest(d v1.Descriptor) ([]byte, error) {
	if d.Size > maxManifest {
		return nil, fmt.Errorf("blob %s has %d bytes, more than %d", d.Digest, d.Size, maxManifest)
	}
	var b strings.Builder
	if err := s.compare(d.Digest, &limited{&b, maxManifest}); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// limited refuses more than so many bytes.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errors.New("more bytes than a manifest may have")
	}
	return l.to.Write(p)
}

// compare copies a blob and fails if it is another one than its name says.
func (s *source) compare(h v1.Hash, to io.Writer) error {
	if h.Algorithm != "sha256" || !hex64.MatchString(h.Hex) { // it becomes a path
		return fmt.Errorf("digest %.80q is none of SHA-256", h.String())
	}
	f, err := openRegular(filepath.Join(s.dir, "blobs", h.Algorithm, h.Hex))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(sum, to), f); err != nil {
		return fmt.Errorf("blob %s: %w", h, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != h.Hex {
		return fmt.Errorf("blob %s is damaged: its digest is sha256:%s", h, got)
	}
	return nil
}

var hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// openRegular opens a file that cannot block or lead elsewhere, as a pipe or a device would.
func openRegular(path string) (*os.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	return os.Open(path)
}

func readBounded(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(b) > maxManifest {
		err = fmt.Errorf("%s has more than %d bytes", path, maxManifest)
	}
	return b, err
}

// image is one whose blobs have been compared.
func (s *source) image(index, manifest v1.Hash) (v1.Image, error) {
	top, err := layout.ImageIndexFromPath(s.dir)
	if err != nil {
		return nil, err
	}
	if index != (v1.Hash{}) {
		if top, err = top.ImageIndex(index); err != nil {
			return nil, err
		}
	}
	return top.Image(manifest)
}

// uid is the number of an image's user: names need a passwd of the image's.
func uid(user string) (int64, error) {
	name, _, _ := strings.Cut(user, ":")
	if name == "" || name == "root" {
		return 0, nil
	}
	n, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("its user is %.40q: the lab knows users by number only", user)
	}
	return int64(n), nil
}
