// Command bench compares. It asks our engine and the matcher of
// github.com/mattfenwick/cyclonus the same questions about the same clusters, in
// one run and on one core, and prints a table; it is a module of its own so that
// the baseline is no dependency of ours.
//
//	platform.New(size) ──┬──► verdict.Compile ──► Decide ──┐
//	                     └──► BuildNetworkPolicies ──► IsTrafficAllowed ──┴──► table, differences
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tightrope-dev/tightrope/verdict/platform"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errDiffer says that an answer is wrong, so the figures prove nothing.
var errDiffer = errors.New("the engines differ, and nothing known explains it")

func run(_ context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	report := flags.String("o", "", "file for the table, as Markdown; empty: none")
	each := flags.Duration("each", time.Second, "how long each figure is measured")
	changes := flags.Int("changes", 1000, "incremental changes per cluster")
	largest := flags.Int("pods", 20000, "leave out clusters with more pods")
	if err := flags.Parse(args); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	var results []result
	for _, size := range platform.Sizes() {
		if size.Pods <= *largest {
			results = append(results, measure(size, budget{*each, *changes}))
		}
	}
	text := table(results)
	fmt.Fprint(stdout, text)
	if *report != "" {
		if err := os.MkdirAll(filepath.Dir(*report), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(*report, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, r := range results {
		if r.differences[unexplained] > 0 {
			return fmt.Errorf("%d pods: %w", r.size.Pods, errDiffer)
		}
	}
	return nil
}
