// Command agent is the process of a probe pod. It tries the checks of its plan
// and prints the results; see package probes/agent.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/tightrope-dev/tightrope/probes/agent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run exits 0 when it was asked to stop, 1 when its output is gone, and 2 when it
// was called wrongly.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(stderr)
	plan := fs.String("plan", "", "`file` with the probe plan; it may appear and change later")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if *plan == "" || fs.NArg() > 0 {
		fmt.Fprintln(stderr, "agent: give exactly one plan: agent --plan FILE")
		return 2
	}
	agent.Frugal()
	if err := agent.Run(ctx, agent.Options{PlanFile: *plan, Out: stdout}); err != nil {
		fmt.Fprintln(stderr, "agent:", err)
		return 1
	}
	return 0
}
