package archive

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// job is what one call of tar asks for.
type job struct {
	create, extract bool
	file            string // only - is accepted
	dir             string // of -C; empty is the working directory
	paths           []string
}

func tarMain(args []string) int {
	j, err := parse(args)
	if err == nil {
		err = j.run(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tar:", err)
		return 2
	}
	return 0
}

// parse reads options as tar does: the first word may come without its dash.
func parse(args []string) (j job, err error) {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = append([]string{"-" + args[0]}, args[1:]...)
	}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--no-same-owner", word == "--no-same-permissions":
		case strings.HasPrefix(word, "--"), word == "-":
			return j, fmt.Errorf("the lab's tar has no option %s", word)
		case strings.HasPrefix(word, "-"):
			if args, err = j.letters(word[1:], args); err != nil {
				return j, err
			}
		default:
			j.paths = append(j.paths, word)
		}
	}
	switch {
	case j.create == j.extract:
		return j, errors.New("the lab's tar wants one of c and x")
	case j.file != "-":
		return j, errors.New("the lab's tar reads and writes streams only: f - is needed")
	}
	return j, nil
}

// letters takes a word of one-letter options, and what follows it for their arguments.
func (j *job) letters(word string, rest []string) ([]string, error) {
	for _, letter := range word {
		switch letter {
		case 'c':
			j.create = true
		case 'x':
			j.extract = true
		case 'f', 'C':
			if len(rest) == 0 {
				return nil, fmt.Errorf("option %c wants an argument", letter)
			}
			if letter == 'f' {
				j.file = rest[0]
			} else {
				j.dir = rest[0]
			}
			rest = rest[1:]
		case 'm', 'p', 'o': // times are not restored, nor owners: there is one user
		default:
			return nil, fmt.Errorf("the lab's tar has no option %c", letter)
		}
	}
	return rest, nil
}

func (j job) run(in io.Reader, out io.Writer) error {
	dir := filepath.Clean(j.dir)
	if j.extract {
		return extract(bufio.NewReader(in), dir)
	}
	buffered := bufio.NewWriterSize(out, 64<<10)
	w := tar.NewWriter(buffered)
	for _, p := range j.paths {
		if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		if err := pack(w, p); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), buffered.Flush())
}

// pack adds a file or a tree, without following links. Names lose their leading
// slashes. Sockets and devices are left out.
func pack(w *tar.Writer, root string) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		link := ""
		switch {
		case st.Mode()&fs.ModeSymlink != 0:
			if link, err = os.Readlink(p); err != nil {
				return err
			}
		case !st.Mode().IsRegular() && !st.IsDir():
			return nil
		}
		h, err := tar.FileInfoHeader(st, link)
		if err != nil {
			return err
		}
		h.Name = strings.TrimLeft(p, "/")
		if st.IsDir() {
			h.Name += "/"
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if !st.Mode().IsRegular() {
			return nil
		}
		return packContent(w, p, h.Size)
	})
}

func packContent(w io.Writer, file string, size int64) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(w, f, size); err != nil { // what is written to it meanwhile is not in the archive
		return fmt.Errorf("%s: %w; it became shorter while it was read", file, err)
	}
	return nil
}

// extract writes what an archive holds below dir. Names and links that lead out of
// it are errors.
func extract(in io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		switch {
		case err == io.EOF:
			_, err = io.Copy(io.Discard, in) // the padding: the other side must be able to write it
			return err
		case err != nil:
			return err
		}
		if err := Unpack(root, h, r); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}
