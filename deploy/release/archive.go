package release

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// member is one file of an archive.
type member struct {
	name string // in the archive
	file string // on disk
	mode int64
}

// writeArchive packs members in their order into a new file: as zip or as tar.gz, as
// the file's name says.
func writeArchive(file string, members []member, created time.Time) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	write := writeTar
	if strings.HasSuffix(file, ".zip") {
		write = writeZip
	}
	if err := errors.Join(write(f, members, created), f.Close()); err != nil {
		return fmt.Errorf("archive %s: %w", file, err)
	}
	return nil
}

func writeTar(to io.Writer, members []member, created time.Time) error {
	packed := gzip.NewWriter(to) // its header has neither a name nor a time
	w := tar.NewWriter(packed)
	for _, m := range members {
		err := m.copy(func(size int64) (io.Writer, error) {
			return w, w.WriteHeader(&tar.Header{Name: m.name, Typeflag: tar.TypeReg, Mode: m.mode, Size: size, ModTime: created,
				Uname: "root", Gname: "root", Format: tar.FormatUSTAR})
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), packed.Close())
}

func writeZip(to io.Writer, members []member, created time.Time) error {
	w := zip.NewWriter(to)
	for _, m := range members {
		err := m.copy(func(int64) (io.Writer, error) {
			h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: created}
			h.SetMode(os.FileMode(m.mode))
			return w.CreateHeader(h)
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// copy writes the file's content behind what begin writes.
func (m member) copy(begin func(size int64) (io.Writer, error)) error {
	f, size, err := open(m.file)
	if err != nil {
		return err
	}
	defer f.Close()
	to, err := begin(size)
	if err != nil {
		return err
	}
	if n, err := io.Copy(to, io.LimitReader(f, size+1)); err != nil {
		return fmt.Errorf("%s: %w", m.file, err)
	} else if n != size {
		return fmt.Errorf("%s changed while it was read", m.file)
	}
	return nil
}
