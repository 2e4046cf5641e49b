package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/onsi/ginkgo/v2/types"
)

func (o options) program(name string) string { return filepath.Join(o.bin, "conformance", name) }

// listSpecs asks the test binary what specs it has.
func listSpecs(ctx context.Context, o options) ([]string, error) {
	file := filepath.Join(o.report, "specs.json")
	cmd := exec.CommandContext(ctx, o.program("e2e.test"), "--ginkgo.dry-run", "--ginkgo.json-report="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("list the specs of %s: %w: %s", cmd.Path, err, end(out))
	}
	defer os.Remove(file)
	report, err := readReport(file)
	if err != nil {
		return nil, err
	}
	var specs []string
	for _, s := range report.SpecReports {
		if s.LeafNodeType == types.NodeTypeIt {
			specs = append(specs, s.FullText())
		}
	}
	return specs, nil
}

// end is what a program said last.
func end(out []byte) []byte { return out[max(0, len(out)-2000):] }

func readReport(file string) (types.Report, error) {
	var reports []types.Report
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &reports)
	}
	if err == nil && len(reports) != 1 {
		err = fmt.Errorf("%d suites, want one", len(reports))
	}
	if err != nil {
		return types.Report{}, fmt.Errorf("read the tests' report %s: %w", file, err)
	}
	return reports[0], nil
}

// runSpecs runs every spec of the plan in one go, so that a long one of one group
// does not hold up the others. An error means that not all were run; failed specs
// are in the results.
func (l *runningLab) runSpecs(ctx context.Context, o options, p plan) ([]result, error) {
	logFile := filepath.Join(o.report, "ginkgo.log")
	log, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	fmt.Printf("%d specs, %d at a time; they talk into %s\n", p.size(), o.procs, logFile)
	const report = "report.json"
	args := []string{"--procs", fmt.Sprint(o.procs), "--no-color", "--timeout", o.deadline.String(), "--focus", p.expression(),
		"--output-dir", o.report, "--json-report", report, o.program("e2e.test"), "--",
		"--kubeconfig", l.kubeconfig, "--kubectl-path", l.kubectl, "--provider", "skeleton", "--disable-log-dump",
		"--report-dir", o.report, "--e2e-output-dir", l.scratch}
	_ = os.Remove(filepath.Join(o.report, report)) // an old one proves nothing
	cmd := ownGroup(exec.CommandContext(ctx, o.program("ginkgo"), args...))
	cmd.Stdout, cmd.Stderr = log, log
	runErr := cmd.Run()
	all, err := readReport(filepath.Join(o.report, report))
	if err != nil {
		return nil, fmt.Errorf("%w (ginkgo: %v; its log is %s)", err, runErr, logFile)
	}
	results, failed := p.count(all)
	switch {
	case ctx.Err() != nil:
		return results, context.Cause(ctx)
	case runErr != nil && !failed:
		return results, fmt.Errorf("ginkgo: %w, though no spec failed; its log is %s", runErr, logFile)
	}
	return results, nil
}
