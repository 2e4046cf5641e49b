// Command conformance judges the lab by tests that others wrote: it brings a lab
// up, runs groups of Kubernetes' own end-to-end tests on it, unmodified, and
// counts. hack/lab-conformance.sh builds what it needs.
//
//	skipped.txt ─► check against the binary ─► lab up ─► ginkgo ─► table, JUnit ─► lab down
//
// It exits 1 when a test failed, when one was skipped that the list does not
// name, and when the list names one that is not there.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

//go:embed skipped.txt
var skippedList string

type options struct {
	bin      string        // folder of tightrope and labd; the tests are in conformance/ of it
	report   string        // folder for JUnit files, JSON reports and logs
	procs    int           // specs at once
	only     string        // name of one group; "" means all
	focus    string        // regular expression that specs must match too
	listed   bool          // run what the list skips, and nothing else
	plane    string        // the lab's data plane; another than enforce is there to see tests fail
	deadline time.Duration // for everything
}

func main() {
	runtime.LockOSThread() // the lab dies with the thread that started it
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&o.report, "report", filepath.Join("reports", "conformance"), "folder for JUnit files and logs")
	flag.IntVar(&o.procs, "procs", 8, "specs at once; most of a spec is waiting for packets that must not come")
	flag.StringVar(&o.only, "group", "", "run one group: netpol, services, dns or pods")
	flag.StringVar(&o.focus, "focus", "", "run only specs that match this expression too")
	flag.BoolVar(&o.listed, "listed", false, "run what skipped.txt names instead, to see whether its reasons still hold")
	flag.StringVar(&o.plane, "dataplane", "enforce", "the lab's data plane; with ignore, the policy tests must fail")
	flag.DurationVar(&o.deadline, "deadline", time.Hour, "give up after this time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	passed, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (passed bool, err error) {
	ctx, stop := context.WithTimeoutCause(ctx, o.deadline, fmt.Errorf("not done after %v", o.deadline))
	defer stop()
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return false, err
	}
	if o.report, err = filepath.Abs(o.report); err != nil {
		return false, err
	}
	if err := os.MkdirAll(o.report, 0o755); err != nil {
		return false, err
	}
	skips, err := parseSkips(skippedList)
	if err != nil {
		return false, err
	}
	specs, err := listSpecs(ctx, o)
	if err != nil {
		return false, err
	}
	plan, err := makePlan(specs, skips)
	if err != nil {
		return false, err
	}
	if plan, err = plan.choose(o); err != nil {
		return false, err
	}
	start := time.Now()
	l, err := startLab(ctx, o)
	defer l.end()
	if err != nil {
		return false, err
	}
	results, err := l.runSpecs(ctx, o, plan)
	return printTable(os.Stdout, results, time.Since(start)), err
}
