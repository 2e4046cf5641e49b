package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/scenarios"
)

func TestOutcomeOfAScenario(t *testing.T) {
	full := errors.New("disk full")
	for _, tt := range []struct {
		name             string
		result, expected string
		interrupted      bool
		written          error
		want             int
		says             string
	}{
		{"committed as expected", "Committed", "Committed", false, nil, exitOK, ""},
		{"rolled back as expected", "RolledBack", "RolledBack", false, nil, exitOK, ""},
		{"rolled back", "RolledBack", "Committed", false, nil, exitCut, ""},
		{"committed instead of rolled back", "Committed", "RolledBack", false, nil, exitCut, ""},
		{"held", "Held", "Committed", false, nil, exitCut, ""},
		{"nothing proved", "Inconclusive", "Committed", false, nil, exitInconclusive, ""},
		{"refused says why", "Refused", "Committed", false, nil, exitUsage, "scenario s was refused: because"},
		{"refused as expected", "Refused", "Refused", false, nil, exitOK, ""},
		{"a failed rollback", "RollbackFailed", "Committed", false, nil, exitRollback, ""},
		{"a failed rollback that was rehearsed", "RollbackFailed", "RollbackFailed", false, nil, exitOK, ""},
		{"a failed rollback that was rehearsed, interrupted", "RollbackFailed", "RollbackFailed", true, nil, exitRollback, ""},
		{"interrupted", "RolledBack", "Committed", true, nil, exitInterrupted, ""},
		{"interrupted, but committed before", "Committed", "Committed", true, nil, exitInterrupted, errTooLate.Error()},
		{"interrupted and not back", "RollbackFailed", "Committed", true, nil, exitRollback, ""},
		{"committed without a report proves nothing", "Committed", "Committed", false, full, exitInconclusive, "disk full"},
		{"not back, and no report", "RollbackFailed", "Committed", false, full, exitRollback, "disk full"},
		{"interrupted, and no report", "RolledBack", "Committed", true, full, exitInterrupted, "disk full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := outcome(&report.Report{Scenario: "s", Message: "because", Result: tt.result, Expected: tt.expected}, tt.interrupted, tt.written)
			if got := exitCode(err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
			said := ""
			if e, ok := errors.AsType[*exitError](err); ok && e.err != nil {
				said = e.err.Error()
			}
			if said != tt.says {
				t.Errorf("it says %q, want %q", said, tt.says)
			}
		})
	}
}

func TestWithoutAReport(t *testing.T) {
	live, dead := t.Context(), ended(errSignal{os.Interrupt})
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"something broke", live, errors.New("no such thing"), exitInconclusive},
		{"the API server refuses an object of the scenario's", live, fmt.Errorf("apply: %w", apierrors.NewBadRequest("control characters")), exitUsage},
		{"the API server finds a field of it invalid", live, fmt.Errorf("apply: %w", apierrors.NewInvalid(schema.GroupKind{Kind: "ConnectivitySuite"}, "s", nil)), exitUsage},
		{"interrupted before the rollout", dead, context.Canceled, exitInterrupted},
		{"interrupted, and not seen to be back", dead, fmt.Errorf("%w: no answer", scenarios.ErrNotBack), exitRollback},
		{"held, aborted, and not seen to be back", live, fmt.Errorf("%w: no answer", scenarios.ErrNotBack), exitRollback},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := noReport(tt.ctx, "s", tt.err)
			if got := exitCode(err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
			if !strings.HasPrefix(err.Error(), "scenario s: ") {
				t.Errorf("it does not name the scenario: %v", err)
			}
		})
	}
}

func ended(cause error) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return ctx
}

func TestASignalHasTheLastWordUnlessTheRollbackFailed(t *testing.T) {
	code := func(c int) error { return &exitError{code: c} }
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"no signal", t.Context(), code(exitCut), exitCut},
		{"no signal, usage", t.Context(), errors.New("unknown flag"), exitUsage},
		{"Ctrl-C", ended(errSignal{os.Interrupt}), code(exitInterrupted), exitInterrupted},
		{"Ctrl-C while the lab starts", ended(errSignal{os.Interrupt}), code(exitInconclusive), exitInterrupted},
		{"SIGTERM", ended(errSignal{syscall.SIGTERM}), code(exitInterrupted), exitTerminated},
		{"SIGTERM and not back", ended(errSignal{syscall.SIGTERM}), code(exitRollback), exitRollback},
		{"all was done already", ended(errSignal{os.Interrupt}), nil, exitOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := codeAfter(tt.ctx, tt.err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

func TestTheMostSeriousScenarioDecides(t *testing.T) {
	order := []int{exitOK, exitCut, exitInconclusive, exitUsage, exitInterrupted, exitTerminated, exitRollback}
	of := func(code int) error {
		if code == exitOK {
			return nil
		}
		return &exitError{code: code}
	}
	for i, less := range order {
		for _, more := range order[i:] {
			if got := exitCode(worse(of(less), of(more))); got != more {
				t.Errorf("%d then %d: %d", less, more, got)
			}
			if got := exitCode(worse(of(more), of(less))); got != more {
				t.Errorf("%d then %d: %d", more, less, got)
			}
		}
	}
}

// A report that cannot be written is named, and a part of one is no report.
func TestAReportThatCannotBeWrittenIsNamed(t *testing.T) {
	folder := t.TempDir()
	taken := filepath.Join(folder, report.Formats[1].File)
	if err := os.Mkdir(taken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeReports(folder, hostileReport("Committed")); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("%v, though %s is a folder", err, taken)
	}
	broken := func(io.Writer, *report.Report) error { return errors.New("disk full") }
	if err := writeFile(filepath.Join(folder, "x"), nil, broken); err == nil {
		t.Error("a writer failed and nobody said so")
	}
}

// The table of the documentation has every command and every code.
func TestTheDocumentationListsEveryCode(t *testing.T) {
	raw, err := os.ReadFile("../../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{exitOK, exitCut, exitRollback, exitInconclusive, exitUsage} {
		contains(t, string(raw), fmt.Sprintf("\n| %d | ", code))
	}
	contains(t, string(raw), fmt.Sprintf("\n| %d, %d | ", exitInterrupted, exitTerminated))
	_, table, _ := strings.Cut(string(raw), "## By command")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := ""
	for _, line := range strings.Split(table, "\n") {
		if strings.HasPrefix(line, "| `") {
			rows += strings.Split(line, "|")[1]
		}
	}
	for _, c := range newRootCommand().Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			contains(t, rows, "`"+c.Name()+"`")
		}
	}
}

// A command that takes nothing back must not say that it does.
func TestAnInterruptedUninstallDoesNotSayThatItTakesBack(t *testing.T) {
	left := &atomic.Pointer[string]{}
	root := newRootCommand()
	root.SetArgs([]string{"uninstall", "--kubeconfig", filepath.Join(t.TempDir(), "none")})
	if err := root.ExecuteContext(context.WithValue(t.Context(), leftKey{}, left)); err == nil {
		t.Fatal("there is no such cluster")
	}
	if said := left.Load(); said == nil || !strings.Contains(*said, "what is removed stays so") || !strings.Contains(*said, "finish it with tightrope uninstall") {
		t.Errorf("a signal says %v", said)
	}
}
