package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// result is what became of one group. Every spec of the group is in one list.
type result struct {
	group   group
	passed  []string
	failed  []outcome     // of any kind: failed, panicked, timed out, interrupted
	skipped []outcome     // by themselves, while they ran
	missing []string      // specs that were to run and are not in the report as run
	took    time.Duration // of all its specs, one after the other
}

// outcome is a spec and what it said.
type outcome struct{ spec, message string }

// count sorts the specs by how they ended. What failed outside any spec, like the
// suite's set-up, counts as a failure of every group.
func (p plan) count(report types.Report) (results []result, anyFailed bool) {
	ended := map[string]types.SpecReport{}
	var around []outcome
	for _, s := range report.SpecReports {
		switch {
		case s.LeafNodeType == types.NodeTypeIt:
			ended[s.FullText()] = s
		case s.Failed():
			around = append(around, outcome{s.LeafNodeType.String(), s.FailureMessage()})
		}
	}
	for _, g := range p {
		r := g.count(ended)
		r.failed = append(r.failed, around...)
		results = append(results, r)
		anyFailed = anyFailed || len(r.failed) > 0
	}
	return results, anyFailed
}

func (g group) count(ended map[string]types.SpecReport) result {
	r := result{group: g}
	for _, spec := range g.run {
		s, ok := ended[spec]
		r.took += s.RunTime
		switch {
		case ok && s.State.Is(types.SpecStatePassed):
			r.passed = append(r.passed, spec)
		case ok && s.Failed():
			r.failed = append(r.failed, outcome{spec, s.FailureMessage()})
		case ok && s.State.Is(types.SpecStateSkipped) && s.FailureMessage() != "":
			r.skipped = append(r.skipped, outcome{spec, s.FailureMessage()})
		default:
			r.missing = append(r.missing, spec)
		}
	}
	return r
}

// ok is true when every spec that the list does not name passed.
func (r result) ok() bool {
	return len(r.passed) > 0 && len(r.failed)+len(r.skipped)+len(r.missing) == 0
}

// printTable says what became of every group and, of each spec that did not
// pass, why. It returns whether all is as the list says.
func printTable(out io.Writer, results []result, took time.Duration) bool {
	ok := len(results) > 0
	for _, r := range results {
		for _, s := range r.failed {
			fmt.Fprintf(out, "FAILED   %s\n         %s\n", s.spec, firstLine(s.message))
		}
		for _, s := range r.skipped {
			fmt.Fprintf(out, "SKIPPED ITSELF, and skipped.txt does not say so:   %s\n         %s\n", s.spec, firstLine(s.message))
		}
		for _, spec := range r.missing {
			fmt.Fprintf(out, "NOT RUN  %s\n", spec)
		}
		for _, s := range r.group.skip {
			fmt.Fprintf(out, "skipped  %s\n         %s\n", s.spec, s.reason)
		}
		ok = ok && r.ok()
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "group\tpassed\tfailed\tskipped\ttime of its specs\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%v\t\n", r.group.name, len(r.passed), len(r.failed)+len(r.missing),
			len(r.group.skip)+len(r.skipped), r.took.Round(time.Second))
	}
	w.Flush()
	fmt.Fprintf(out, "wall time %v\n", took.Round(time.Second))
	return ok
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line[:min(len(line), 300)]
}
