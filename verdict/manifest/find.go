package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/verdict/kustomize"
)

// Bounds of what is looked for in directories.
const (
	maxFiles  = 50_000
	maxFolder = 64 // levels
)

const kustomizes = "is kustomize's own and is skipped"

// finder finds files and gives their bytes to the reading. It is all the IO there is.
type finder struct {
	*reading
	stdin io.Reader
	seen  map[string]bool // files and directories, by their real path
	named bool            // what is read was named, not found in a directory

	kustomized map[string]bool        // directories whose files kustomize reads; nil: none is built
	refused    map[string]bool        // kustomizations that could not be built
	origins    map[string][]*document // of what is built, by file
}

// find reads what a path names.
func (f *finder) find(path string) {
	f.named = true
	if path == "-" {
		f.stream("-", f.stdin)
		return
	}
	switch info, err := os.Stat(path); {
	case err != nil:
		f.failed(path, err)
	case info.IsDir() && f.built(path):
		f.directory(path, 0)
		f.kustomized = nil
	case info.IsDir():
		f.directory(path, 0)
	case kustomize.IsFile(filepath.Base(path)) && f.built(filepath.Dir(path)):
		f.kustomized = nil
	default:
		f.file(path)
	}
}

func (f *finder) failed(path string, err error) {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	f.problem(Position{File: path}, "", "cannot be read: %v", err)
}

// first reports whether a path leads to something new: a link that leads back
// would have no end, and an object that is read twice would be a duplicate.
func (f *finder) first(path string) bool {
	full, err := filepath.EvalSymlinks(path)
	if err == nil {
		full, err = filepath.Abs(full)
	}
	switch {
	case err != nil:
		f.failed(path, err)
		return false
	case f.seen[full]:
		f.note(Position{File: path}, "", "leads to what was read already")
		return false
	}
	f.seen[full] = true
	return true
}

func (f *finder) directory(path string, depth int) {
	if depth > maxFolder {
		f.problem(Position{File: path}, "", "more than %d directories deep", maxFolder)
		return
	}
	if !f.first(path) || f.kustomized[filepath.Clean(path)] {
		return
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		f.failed(path, err)
		return
	}
	f.noteBuilt(path, entries)
	for _, e := range entries {
		f.named = false
		f.entry(filepath.Join(path, e.Name()), e, depth, hasChart(entries))
	}
}

// entry reads one entry of a directory. What is neither a directory nor named
// like a manifest is nobody's business, and not even noted.
func (f *finder) entry(path string, e fs.DirEntry, depth int, chart bool) {
	folder := e.IsDir()
	if e.Type()&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		if err != nil && isManifest(e.Name()) {
			f.failed(path, err)
			return
		}
		folder = err == nil && info.IsDir()
	}
	switch {
	case strings.HasPrefix(e.Name(), "."):
	case chart && isHelms(e.Name()):
	case folder:
		f.directory(path, depth+1)
	case isManifest(e.Name()) && (!kustomize.IsFile(e.Name()) || kustomize.Foreign(path)):
		f.file(path)
	}
}

// noteBuilt says of a directory that something else makes manifests of it, which
// is not done here.
func (f *finder) noteBuilt(path string, entries []fs.DirEntry) {
	if hasChart(entries) {
		f.note(Position{File: path}, "", "is a Helm chart: its templates and values are skipped; pipe the output of helm template %s into -f - instead", strict.Show(path))
	}
	for _, e := range entries {
		if file := filepath.Join(path, e.Name()); kustomize.IsFile(e.Name()) && !f.refused[filepath.Clean(file)] && !kustomize.Foreign(file) {
			f.note(Position{File: file}, "", kustomizes+"; pipe the output of kustomize build %s into -f - instead if it changes the manifests", strict.Show(path))
		}
	}
}

func hasChart(entries []fs.DirEntry) bool {
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "Chart.yaml" })
}

// isHelms reports whether something beside a Chart.yaml is Helm's.
func isHelms(name string) bool {
	return name == "Chart.yaml" || name == "templates" || name == "charts" || strings.HasPrefix(name, "values")
}

func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// file reads a regular file. It looks at what was opened, because a path may
// lead elsewhere by then, and opens without waiting, because a pipe that nobody
// writes to would keep it for ever.
func (f *finder) file(path string) {
	if !f.first(path) {
		return
	}
	if f.files++; f.files > maxFiles {
		if f.files == maxFiles+1 {
			f.problem(Position{File: path}, "", "there are more than %d files: name fewer", maxFiles)
		}
		return
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		f.failed(path, err)
		return
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		f.failed(path, err)
	case !info.Mode().IsRegular():
		f.problem(Position{File: path}, "", "is %s, not a file: name a file, or send what it holds to stdin and name -", describeMode(info.Mode()))
	case info.Size() > f.options.MaxFile:
		f.tooLong(path, info.Size())
	default:
		f.bytes(path, file)
	}
}

func describeMode(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special"
}

func (f *finder) stream(name string, stream io.Reader) {
	f.files++
	if stream == nil {
		f.problem(Position{File: name}, "", "there is no such stream to read")
		return
	}
	f.bytes(name, stream)
}

func (f *finder) bytes(name string, from io.Reader) {
	raw, err := io.ReadAll(io.LimitReader(from, f.options.MaxFile+1))
	f.total += int64(len(raw))
	switch {
	case err != nil:
		f.failed(name, err)
	case int64(len(raw)) > f.options.MaxFile:
		f.tooLong(name, 0)
	case f.total > f.options.MaxTotal:
		f.problem(Position{File: name}, "", "with it the input is longer than %s: name fewer files", size(f.options.MaxTotal))
	default:
		f.parse(name, raw, f.named)
	}
}

func (f *finder) tooLong(name string, length int64) {
	is := "is longer than"
	if length > 0 {
		is = fmt.Sprintf("has %s, more than", size(length))
	}
	f.problem(Position{File: name}, "", "%s the %s that one file may have: split it", is, size(f.options.MaxFile))
}

func size(bytes int64) string {
	switch {
	case bytes%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes > 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", bytes)
}
