package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

const slowest = 15 // tests that are listed

type test struct{ pkg, name string }

func (t test) String() string { return strings.TrimSpace(short(t.pkg) + " " + t.name) }

// timed is something that took seconds.
type timed struct {
	what    string
	seconds float64
}

// failure is a test or a package that failed, and what it printed.
type failure struct {
	what   string
	output []string
}

// summary adds events up. Make it with newSummary.
type summary struct {
	out             io.Writer
	output          map[test][]string // of tests and packages that have not ended
	build           map[string][]string
	parents         map[test]bool // tests with subtests: their time is that of others
	running         map[string]bool
	passed, skipped int
	failures        []failure
	skips           []string
	packages, tests []timed
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, output: map[test][]string{}, build: map[string][]string{}, parents: map[test]bool{}, running: map[string]bool{}}
}

func (s *summary) add(e event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "start":
		s.running[e.Package] = true
	case "run":
		s.output[key] = nil
		if i := strings.LastIndexByte(e.Test, '/'); i > 0 {
			s.parents[test{e.Package, e.Test[:i]}] = true
		}
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
		s.failures = append(s.failures, failure{key.String(), s.output[key]})
	case "skip":
		s.skipped++
		s.skips = append(s.skips, fmt.Sprintf("%s: %s", key, reason(s.output[key])))
	}
	if !s.parents[key] {
		s.tests = append(s.tests, timed{key.String(), e.Elapsed})
	}
	delete(s.output, key)
}

func (s *summary) packageEnd(e event) {
	delete(s.running, e.Package)
	word := map[string]string{"pass": "ok", "fail": "FAIL", "skip": "no tests"}[e.Action]
	if e.Action == "fail" {
		s.packageFailed(e.Package, s.build[e.FailedBuild])
	}
	fmt.Fprintf(s.out, "%-8s %s (%.1f s)\n", word, short(e.Package), e.Elapsed)
	if e.Action != "skip" {
		s.packages = append(s.packages, timed{short(e.Package), e.Elapsed})
	}
	delete(s.output, test{e.Package, ""})
}

// packageFailed keeps what the package itself printed, and each test that it was in
// the middle of: one that timed out or was killed has no end of its own.
func (s *summary) packageFailed(pkg string, build []string) {
	own := test{pkg, ""}
	s.failures = append(s.failures, failure{own.String(), append(build, s.output[own]...)})
	var unfinished []test
	for t := range s.output {
		if t.pkg == pkg && t.name != "" {
			unfinished = append(unfinished, t)
		}
	}
	slices.SortFunc(unfinished, func(a, b test) int { return cmp.Compare(a.name, b.name) })
	for _, t := range unfinished {
		s.failures = append(s.failures, failure{t.String() + " (did not end)", s.output[t]})
		delete(s.output, t)
	}
}

// reason is the last line a skipped test printed that is not the framework's own.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line := strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--- SKIP") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return "no reason given"
}

// close prints the summary and reports whether all is well.
func (s *summary) close() bool {
	for pkg := range s.running {
		s.packageFailed(pkg, []string{"the package began and did not end: go test was stopped\n"})
	}
	s.table("seconds by package:", s.packages, len(s.packages))
	s.table("the slowest tests:", s.tests, slowest)
	if len(s.skips) > 0 {
		fmt.Fprintf(s.out, "\nskipped, %d:\n", s.skipped)
		slices.Sort(s.skips)
		for _, line := range s.skips {
			fmt.Fprintln(s.out, "  "+line)
		}
	}
	for _, f := range s.failures {
		fmt.Fprintf(s.out, "\n--- FAIL %s\n%s", f.what, strings.Join(f.output, ""))
	}
	fmt.Fprintln(s.out)
	for _, f := range s.failures {
		fmt.Fprintln(s.out, "failed:", f.what)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed, %d skipped\n", s.passed, len(s.failures), s.skipped)
	return len(s.failures) == 0 && s.passed > 0
}

func (s *summary) table(title string, all []timed, most int) {
	slices.SortStableFunc(all, func(a, b timed) int { return cmp.Compare(b.seconds, a.seconds) })
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(s.out, "\n%s\n", title)
	for _, t := range all[:min(most, len(all))] {
		fmt.Fprintf(s.out, "  %7.1f  %s\n", t.seconds, t.what)
	}
}
