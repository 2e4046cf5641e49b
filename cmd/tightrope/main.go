// Command tightrope is the one binary for people: it stages NetworkPolicies,
// proves that nothing broke, and takes them back when something did.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tightrope-dev/tightrope/clusters/lab"
	"github.com/tightrope-dev/tightrope/report"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// errSignal is why a context ended that a signal ended.
type errSignal struct{ os.Signal }

func (e errSignal) Error() string { return "interrupted by " + e.String() }

// run executes one command line. The first signal ends the command's context, which
// takes back what the command has begun; a second one stops waiting for that and exits
// at once with code 2, because nothing was verified. See leavesRunning for commands
// that take nothing back.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := untilSignal(stderr)
	defer stop()
	log.SetLogger(logr.Discard()) // libraries have nothing to say to people
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		if e, ok := errors.AsType[*exitError](err); !ok || e.err != nil {
			for _, line := range complaints(err) {
				fmt.Fprintln(stderr, "error:", line)
			}
		}
	}
	return codeAfter(ctx, err)
}

// untilSignal is a context that the first signal ends. It ends its goroutine
// when it is stopped.
func untilSignal(stderr io.Writer) (context.Context, func()) {
	left := &atomic.Pointer[string]{}
	ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), leftKey{}, left))
	signals, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // a closed terminal must not leave a change behind
	go func() {
		for before := range 2 {
			select {
			case s := <-signals:
				text := left.Load()
				switch {
				case text != nil && before == 1:
					os.Exit(exitInterrupted)
				case text != nil:
					fmt.Fprintf(stderr, "\n%s: %s\n", s, report.Sanitize(*text))
					cancel(errSignal{s})
					continue
				case before == 1:
					fmt.Fprintln(stderr, "\ninterrupted again: exiting without verifying the rollback")
					os.Exit(exitRollback)
				}
				fmt.Fprintf(stderr, "\n%s: taking back what this command has begun; a second one exits without waiting for it\n", s)
				cancel(errSignal{s})
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// leftKey finds in a context what leavesRunning says.
type leftKey struct{}

// leavesRunning says of a command that a signal ends it and nothing else: what it looks
// at goes on elsewhere, or what it has done stays so. The text says what, and what to do.
func leavesRunning(ctx context.Context, text string) {
	if left, ok := ctx.Value(leftKey{}).(*atomic.Pointer[string]); ok {
		left.Store(&text)
	}
}

// codeAfter is the exit code of a command, a signal having the last word unless
// the rollback that it asked for could not be verified.
func codeAfter(ctx context.Context, err error) int {
	code := exitCode(err)
	sig, ok := errors.AsType[errSignal](context.Cause(ctx))
	if !ok || err == nil || code == exitRollback {
		return code
	}
	if sig.Signal == syscall.SIGTERM {
		return exitTerminated
	}
	return exitInterrupted
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "tightrope",
		Short: "Tighten network policies without breaking what depends on the network",
		Long: "Tightrope stages candidate NetworkPolicies through observe, canary and enforce while probe\n" +
			"pods test the paths that must work and those that must not. A path that breaks takes the\n" +
			"candidates back at once. Start with: tightrope demo",
		Version:       lab.Stamp,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newDemoCommand(), newRunCommand(), newLabCommand(), newMatrixCommand(),
		newExplainCommand(), newLintCommand(), newPlanCommand(), newInstallCommand(), newUpgradeCommand(), newUninstallCommand(), newImagesCommand(), newRolloutCommand(), newReportCommand(), newVerifyCommand(), newDoctorCommand(), newVersionCommand())
	explainUsage(root)
	return root
}
