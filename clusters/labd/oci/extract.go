package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// extract writes the files of an image below dir. os.Root keeps every path in it,
// also where a link of the image leads out.
func (s *source) extract(files io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	r := tar.NewReader(files)
	var links []*tar.Header // a later layer comes first, so what they lead to may be missing yet
	for n := 0; ; n++ {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return s.link(root, links)
		case err != nil:
			return fmt.Errorf("its layers: %w", err)
		case n == maxEntries:
			return fmt.Errorf("it has more than %d files", maxEntries)
		}
		if h.Typeflag == tar.TypeLink {
			links = append(links, h)
			continue
		}
		if err := s.write(root, h, r); err != nil {
			return fmt.Errorf("its file %.200q: %w", h.Name, err)
		}
	}
}

func (s *source) link(root *os.Root, links []*tar.Header) error {
	for _, h := range links {
		name := inRoot(h.Name)
		err := root.MkdirAll(path.Dir(name), 0o755)
		if err == nil {
			err = root.Link(inRoot(h.Linkname), name)
		}
		if err != nil {
			return fmt.Errorf("its file %.200q: %w", h.Name, err)
		}
	}
	return nil
}

// inRoot is a name of an archive as os.Root takes it.
func inRoot(name string) string { return path.Clean(strings.TrimLeft(name, "/")) }

// write writes one entry. Set-user-ID bits are left out, and owners: a lab has one user.
func (s *source) write(root *os.Root, h *tar.Header, content io.Reader) error {
	name := inRoot(h.Name)
	if name == "." {
		return nil
	}
	mode := h.FileInfo().Mode().Perm()
	if h.Typeflag == tar.TypeDir {
		if err := root.MkdirAll(name, 0o755); err != nil {
			return err
		}
		return root.Chmod(name, mode|0o700)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		return s.writeFile(root, name, mode, h.Size, content)
	}
	return fmt.Errorf("an entry of type %q: files, folders and links only", h.Typeflag)
}

func (s *source) writeFile(root *os.Root, name string, mode fs.FileMode, size int64, content io.Reader) error {
	if s.left -= size; s.left < 0 {
		return fmt.Errorf("the images have more than %d MiB", maxUnpacked>>20)
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content) // size bytes at most: tar ends there
	return errors.Join(err, f.Chmod(mode), f.Close())
}
