package main

import (
	"errors"
	"fmt"
)

// Exit codes of the command line (design.md §5).
const (
	exitOK           = 0
	exitCut          = 1 // a path was cut and the baseline is back, or a path leaked and the rollout is held
	exitRollback     = 2 // rollback failed or could not be verified
	exitInconclusive = 3 // nothing proved
	exitUsage        = 4 // bad input, usage error, preflight refused
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
