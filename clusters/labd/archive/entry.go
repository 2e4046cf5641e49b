package archive

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

// InRoot is a name of an archive as os.Root takes it.
func InRoot(name string) string { return path.Clean(strings.TrimLeft(name, "/")) }

// Unpack writes one entry of an archive below root, in the place of what has its name: a
// file, a directory or a symbolic link. os.Root refuses names and links that lead out.
// Set-user-ID bits are left out, and owners: a lab has one user. The content of a file
// has h.Size bytes at most.
func Unpack(root *os.Root, h *tar.Header, content io.Reader) error {
	name := InRoot(h.Name)
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
		return writeFile(root, name, mode, content)
	}
	return fmt.Errorf("an entry of type %q: files, directories and symbolic links only", h.Typeflag)
}

func writeFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
