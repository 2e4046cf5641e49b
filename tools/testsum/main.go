// Command testsum reads `go test -json` and prints what a person needs: a line
// per package, the output of what failed, every skipped test with its reason,
// and the totals. It exits 1 when a test failed, and when nothing ran at all.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64
}

type test struct{ pkg, name string }

type summary struct {
	out                     io.Writer
	output                  map[test][]string
	build                   map[string][]string
	passed, failed, skipped int
	brokenPackages          int
	skips                   []string
}

func main() {
	s := &summary{out: os.Stdout, output: map[test][]string{}, build: map[string][]string{}}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	os.Exit(s.close())
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(s.out, lines.Text()) // not of go test: show it as it is
			continue
		}
		s.add(e)
	}
	return lines.Err()
}

func (s *summary) add(e event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "build-output":
		s.build[e.ImportPath] = append(s.build[e.ImportPath], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.packageEnd(e)
			return
		}
		s.testEnd(e, key)
	}
}

func (s *summary) testEnd(e event, key test) {
	switch e.Action {
	case "pass":
		s.passed++
	case "fail":
		s.failed++
		fmt.Fprintf(s.out, "--- FAIL %s %s\n%s", e.Package, e.Test, strings.Join(s.output[key], ""))
	case "skip":
		s.skipped++
		s.skips = append(s.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(s.output[key])))
	}
	delete(s.output, key)
}

func (s *summary) packageEnd(e event) {
	word := map[string]string{"pass": "ok", "fail": "FAIL", "skip": "no tests"}[e.Action]
	if e.Action == "fail" {
		s.brokenPackages++
		fmt.Fprint(s.out, strings.Join(s.build[e.FailedBuild], ""))
		fmt.Fprint(s.out, strings.Join(s.output[test{e.Package, ""}], ""))
	}
	fmt.Fprintf(s.out, "%-8s %s (%.1fs)\n", word, e.Package, e.Elapsed)
	delete(s.output, test{e.Package, ""})
}

// reason is the last line a skipped test printed that is not the framework's own.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		line := strings.TrimSpace(output[i])
		if line != "" && !strings.HasPrefix(line, "--- SKIP") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return "no reason given"
}

func (s *summary) close() int {
	sort.Strings(s.skips)
	for _, line := range s.skips {
		fmt.Fprintln(s.out, "skipped:", line)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.failed > 0 || s.brokenPackages > 0 || s.passed == 0 {
		return 1
	}
	return 0
}
