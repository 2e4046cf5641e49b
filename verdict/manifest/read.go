package manifest

import (
	"io"
)

// Options tune reading. The zero value works.
type Options struct {
	Namespace string // of objects that state none; empty means default, as kubectl has it
	MaxFile   int64  // bytes of one file; 0 means 32 MiB
	MaxTotal  int64  // bytes of all files; 0 means 256 MiB
}

// Read reads files, directories (with those below them) and, for the path "-",
// stdin. All problems found are in the *Error; an error of another type does
// not occur. No path at all is an error too.
func Read(paths []string, stdin io.Reader, o Options) (*Set, error) { return nil, nil }
