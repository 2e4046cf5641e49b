package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bounds on what Load takes in.
const (
	maxEntries = 10_000
	maxArchive = 8 << 30 // bytes
)

// Save writes the layout as one tar, which is an OCI archive: Load, skopeo, podman
// and containerd read it. The same layout gives the same bytes. With a registry and
// prefix, as registry.example/team, containerd also knows each image by its name and
// digest there, so that nodes onto which the archive is loaded need not pull it.
func (l *Layout) Save(to io.Writer, prefix string) error {
	index, err := l.named(prefix)
	if err != nil {
		return err
	}
	if err := l.save(to, index); err != nil {
		return fmt.Errorf("save the layout %s: %w", l.Dir, err)
	}
	return nil
}

// named is index.json with the images once more, under the names that pods have when
// they were pushed to a registry and prefix; nil: as it is.
func (l *Layout) named(prefix string) ([]byte, error) {
	if prefix == "" {
		return nil, nil
	}
	names, err := l.References(prefix)
	if err != nil {
		return nil, err
	}
	top, err := l.index.IndexManifest()
	if err != nil {
		return nil, err
	}
	top = top.DeepCopy()
	for _, i := range l.Images {
		at := slices.IndexFunc(top.Manifests, func(d v1.Descriptor) bool { return d.Digest.String() == i.Digest })
		again := *top.Manifests[at].DeepCopy()
		again.Annotations = map[string]string{annotationContainerd: names[i.Name]} // no name of ours: Open would count it twice
		top.Manifests = append(top.Manifests, again)
	}
	return json.Marshal(top)
}

// save writes the files of the layout; with another index.json where there is one.
func (l *Layout) save(to io.Writer, index []byte) error {
	w := tar.NewWriter(to)
	err := filepath.WalkDir(l.Dir, func(p string, d fs.DirEntry, err error) error { // in lexical order
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(l.Dir, p)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if !member.MatchString(name) {
			return nil // no part of a layout
		}
		if name == "index.json" && index != nil {
			return addContent(w, name, int64(len(index)), bytes.NewReader(index))
		}
		return add(w, p, name)
	})
	if err == nil {
		err = w.Close()
	}
	return err
}

// SaveFile is Save to a file, which is there whole or not at all.
func (l *Layout) SaveFile(file, prefix string) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return fmt.Errorf("save the layout %s: %w", l.Dir, err)
	}
	defer os.Remove(f.Name()) // gone already where all went well
	err = errors.Join(l.Save(f, prefix), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("save to %s: %w", file, err)
	}
	return nil
}

func add(w *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return addContent(w, name, st.Size(), f)
}

func addContent(w *tar.Writer, name string, size int64, content io.Reader) error {
	h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}

// member is the name of a file of a layout; no other one is written.
var member = regexp.MustCompile(`^(oci-layout|index\.json|blobs/sha256/([0-9a-f]{64}))$`)

// Load unpacks what Save wrote, or any OCI archive of our images, into a layout at
// dir, which replaces a layout that is there. It checks every blob against its name.
func Load(from io.Reader, dir string) (*Layout, error) {
	if err := replaceable(dir); err != nil {
		return nil, err
	}
	err := replace(dir, func(fresh string) error {
		if err := unpack(tar.NewReader(io.LimitReader(from, maxArchive)), fresh); err != nil {
			return err
		}
		_, err := Open(fresh)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load images: %w", err)
	}
	return Open(dir)
}

func unpack(r *tar.Reader, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	for n := 0; ; n++ {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF) && n > 0:
			return nil
		case err != nil:
			return fmt.Errorf("this is no OCI archive, or it was cut off: %w; `tightrope images save` writes one", err)
		case n == maxEntries:
			return fmt.Errorf("the archive has more than %d entries", maxEntries)
		}
		name := strings.TrimPrefix(path.Clean(h.Name), "/")
		parts := member.FindStringSubmatch(name)
		switch {
		case h.Typeflag == tar.TypeDir:
			continue // those that are needed are there
		case h.Typeflag != tar.TypeReg || parts == nil:
			return fmt.Errorf("the archive has an entry %.100q, which no OCI layout has; `tightrope images save` writes one", h.Name)
		}
		if err := writeMember(filepath.Join(dir, filepath.FromSlash(name)), parts[2], r); err != nil {
			return fmt.Errorf("entry %s: %w", name, err)
		}
	}
}

// writeMember writes one file, and for a blob compares its digest.
func writeMember(file, digest string, content io.Reader) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), content)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the archive was cut off: %w", err)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); digest != "" && got != digest {
		return fmt.Errorf("its digest is %s: the archive is damaged", got)
	}
	return nil
}
