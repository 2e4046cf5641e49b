// Command testsum reads `go test -json` and prints what a person needs: a line per
// package as it ends; then the seconds of each package, the slowest tests, the
// skipped tests with their reasons, and last the tests that failed with their
// output. All that the tests print goes to a log as well. It exits 1 when a test or
// a package failed, when a package began and never ended, and when nothing ran.
//
//	go test -json ./... | testsum -log reports/test.log
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	path := flag.String("log", "", "file that gets all output of the tests; empty: none")
	flag.Parse()
	failed, err := run(os.Stdin, os.Stdout, *path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

// run reports whether the tests failed. An error is about reading and writing.
func run(in io.Reader, out io.Writer, path string) (failed bool, err error) {
	log, err := openLog(path)
	if err != nil {
		return false, err
	}
	s := newSummary(out)
	err = errors.Join(s.read(in, log), log.Close())
	if path != "" {
		defer fmt.Fprintln(out, "all output:", path)
	}
	return !s.close(), err
}

type discard struct{ io.Writer }

func (discard) Close() error { return nil }

func openLog(path string) (io.WriteCloser, error) {
	if path == "" {
		return discard{io.Discard}, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("folder of the log: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create the log: %w", err)
	}
	return f, nil
}

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64 // seconds
}

func (s *summary) read(r io.Reader, log io.Writer) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if err := s.line(line, log); err != nil {
				return fmt.Errorf("write the log: %w", err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (s *summary) line(line []byte, log io.Writer) error {
	var e event
	if json.Unmarshal(line, &e) != nil {
		e = event{Action: "output", Output: string(line)}
		fmt.Fprint(s.out, e.Output) // not of go test: show it as it is
	} else {
		s.add(e)
	}
	if e.Output == "" {
		return nil
	}
	// Packages run side by side: each line names its own.
	_, err := fmt.Fprintf(log, "%-28s %s\n", short(cmp.Or(e.Package, e.ImportPath)), strings.TrimSuffix(e.Output, "\n"))
	return err
}

// short leaves out what every package's path begins with.
func short(pkg string) string {
	return strings.TrimPrefix(pkg, "github.com/tightrope-dev/tightrope/")
}
