package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// platformImage is one program for one architecture.
type platformImage struct {
	platform v1.Platform
	image    v1.Image
	sbom     v1.Image // its subject is image
}

func (p program) pack(o Options) (out platformImage, err error) {
	out.platform = v1.Platform{OS: linux, Architecture: p.arch}
	layer, err := p.layer(o.Created)
	if err == nil {
		out.image, err = p.image(layer, o)
	}
	if err == nil {
		out.sbom, err = p.sbomImage(out.image, o)
	}
	if err != nil {
		return out, fmt.Errorf("image %s for %s: %w", p.name, out.platform, err)
	}
	return out, nil
}

// layer holds the program alone, as /NAME.
func (p program) layer(created time.Time) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: p.name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(p.content)), ModTime: created, Format: tar.FormatUSTAR}
	if err := w.WriteHeader(h); err != nil {
		return nil, err
	}
	if _, err := w.Write(p.content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
}

func (p program) image(layer v1.Layer, o Options) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	config := &v1.ConfigFile{
		Architecture: p.arch, OS: linux, Created: v1.Time{Time: o.Created},
		Config: v1.Config{User: fmt.Sprintf("%d:%d", User, User), Entrypoint: []string{"/" + p.name}, WorkingDir: "/",
			Labels: o.annotations(p.name)},
		RootFS: v1.RootFS{Type: "layers"},
	}
	img, err := mutate.ConfigFile(base, config)
	if err != nil {
		return nil, err
	}
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer,
		History: v1.History{Created: v1.Time{Time: o.Created}, CreatedBy: "tightrope images build", Comment: p.info.GoVersion}})
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(img, o.annotations(p.name)).(v1.Image), nil
}

// annotations are those of an image's index and manifests, and its labels.
func (o Options) annotations(name string) map[string]string {
	all := map[string]string{
		"org.opencontainers.image.title":       "tightrope-" + name,
		"org.opencontainers.image.description": purposes[name],
		"org.opencontainers.image.source":      project,
		"org.opencontainers.image.url":         project,
		"org.opencontainers.image.licenses":    licence,
		"org.opencontainers.image.created":     o.Created.Format(time.RFC3339),
		annotationVersion:                      o.Version,
	}
	if o.Revision != "" {
		all["org.opencontainers.image.revision"] = o.Revision
	}
	return all
}

// sbomImage is an artifact with the SBOM as its only layer, which says of which
// manifest it is.
func (p program) sbomImage(of v1.Image, o Options) (v1.Image, error) {
	text, err := p.sbom(o)
	if err != nil {
		return nil, err
	}
	subject, err := partial.Descriptor(of)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), sbomType)
	img, err := mutate.Append(base, mutate.Addendum{Layer: static.NewLayer(text, sbomType), MediaType: sbomType})
	if err != nil {
		return nil, err
	}
	img = mutate.Annotations(img, map[string]string{
		"org.opencontainers.image.title":   "tightrope-" + p.name + "-" + p.arch + ".spdx.json",
		"org.opencontainers.image.created": o.Created.Format(time.RFC3339),
	}).(v1.Image)
	return mutate.Subject(img, v1.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size}).(v1.Image), nil
}

// index is the image of a program, for every architecture.
func index(name string, parts []platformImage, o Options) v1.ImageIndex {
	ix := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range parts {
		ix = mutate.AppendManifests(ix, mutate.IndexAddendum{Add: p.image, Descriptor: v1.Descriptor{Platform: &p.platform}})
	}
	return mutate.Annotations(ix, o.annotations(name)).(v1.ImageIndex)
}
