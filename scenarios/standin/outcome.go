package standin

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// outcome of a call, as a label of its metrics.
type outcome string

const (
	ok          outcome = "ok"
	dnsFailure  outcome = "dns"         // the name was not resolved
	timedOut    outcome = "timeout"     // what a policy that drops looks like
	refused     outcome = "refused"     // nobody listens, or a policy rejects
	reset       outcome = "reset"       // the connection was torn down
	unreachable outcome = "unreachable" // an ICMP answer came back
	badStatus   outcome = "status"      // answered, and not with 2xx
	broken      outcome = "broken"      // the answer is not what was asked for
)

var outcomes = []outcome{ok, dnsFailure, timedOut, refused, reset, unreachable, badStatus, broken}

// errStatus and errBroken mark answers that arrived and were no good.
var (
	errStatus = errors.New("unexpected status")
	errBroken = errors.New("broken answer")
)

// classify turns an error of a call into its outcome; nil is ok. A name that
// could not be resolved in time is a DNS failure, not a timeout: the target was
// never tried.
func classify(err error) outcome {
	if err == nil {
		return ok
	}
	if _, dns := errors.AsType[*net.DNSError](err); dns {
		return dnsFailure
	}
	switch {
	case errors.Is(err, errStatus):
		return badStatus
	case errors.Is(err, errBroken):
		return broken
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return timedOut
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return reset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return unreachable
	}
	if ne, isNet := errors.AsType[net.Error](err); isNet && ne.Timeout() {
		return timedOut
	}
	return broken
}
