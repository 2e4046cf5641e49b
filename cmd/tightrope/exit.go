package main

import (
	"errors"
	"fmt"

	"github.com/tightrope-dev/tightrope/report"
)

// Exit codes of the command line, as docs/exit-codes.md lists them.
const (
	exitOK           = report.ExitCommitted
	exitCut          = report.ExitCut // or predicted
	exitRollback     = report.ExitRollbackFailed
	exitInconclusive = report.ExitInconclusive
	exitUsage        = report.ExitRefused // or a usage error
	exitInterrupted  = 130
	exitTerminated   = 143
)

// exitError is an error that knows the exit code it deserves. Err may be nil
// when everything has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitCode is the process's exit code for what a command returned: cobra's own
// errors are usage errors.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitUsage
}

// errTooLate says that an interruption found nothing to take back any more.
var errTooLate = errors.New("the rollout had committed before it could be taken back: its policies are in force; delete them to undo it")

// outcome is what a scenario that ended with a report comes to. That a rollback
// failed outranks that somebody interrupted it, and both that a report could not
// be written.
func outcome(rep *report.Report, interrupted bool, written error) error {
	code := report.ExitCode(rep)
	switch {
	case code == exitRollback, interrupted && rep.Result == "RollbackFailed":
		code = exitRollback
	case interrupted && rep.Result == "Committed":
		return &exitError{exitInterrupted, errors.Join(errTooLate, written)}
	case interrupted:
		code = exitInterrupted
	case written != nil:
		code = exitInconclusive
	case code == exitUsage: // the report says it at length; this is the line to look for
		return &exitError{code, fmt.Errorf("scenario %s was refused: %s", rep.Scenario, report.Headline(rep))}
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code, written}
}

// worse is the more serious of two errors, the first where they are equally so.
// A rollback that failed is the worst there is; else the higher code is.
func worse(a, b error) error {
	rank := func(err error) int {
		if code := exitCode(err); code != exitRollback {
			return code
		}
		return exitTerminated + 1
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}
