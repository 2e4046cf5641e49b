package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/tightrope-dev/tightrope/clusters/labd/archive"
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
		name := archive.InRoot(h.Name)
		err := root.MkdirAll(path.Dir(name), 0o755)
		if err == nil {
			err = root.Link(archive.InRoot(h.Linkname), name)
		}
		if err != nil {
			return fmt.Errorf("its file %.200q: %w", h.Name, err)
		}
	}
	return nil
}

// write writes one entry, if the images may still have as many bytes.
func (s *source) write(root *os.Root, h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeReg {
		if s.left -= h.Size; s.left < 0 {
			return fmt.Errorf("the images have more than %d MiB", maxUnpacked>>20)
		}
	}
	return archive.Unpack(root, h, content)
}
