// Package dial tries. It makes fresh attempts of checks over the pod's own network
// and says how each ended, with no opinion on whether that is good. A Network makes
// many of them side by side without a goroutine or a timer each: at the pace of a
// rollout, waking up costs more than the attempts do.
//
//	Check ──► [lookup of the host] ──► TCP  connect
//	                               ──► HTTP connect, request, status line
//	                               ──► DNS  question over UDP or TCP, answer
//	                               ──► Stream  question over a connection that stays open, answer
//
// A connect votes: once it succeeded, the network is open, however slow, wrong or
// silent the target then is. Only a reset before the target said anything is held
// against the path, because that is how a proxy on the way says no. classify.go
// turns what the system says into an outcome. What is said and heard is pure, one file
// for each type; talk.go lists them.
package dial

import (
	"context"
	"errors"
	"strings"

	"github.com/tightrope-dev/tightrope/probes"
)

// Result is how one attempt ended. The zero value is an attempt that was never made.
type Result struct {
	Outcome probes.Outcome
	Status  int    // HTTP status or DNS response code; 0: none came, or DNS success
	Detail  string // what the system said, at most probes.MaxDetail bytes; empty when all is well
}

// Details of a target that accepted the connection, and then said nothing in time,
// or closed without a word, or said something that is not HTTP.
const (
	silent = "connected, no reply"
	hungUp = "connected, no HTTP reply"
)

// Try makes one attempt of a check and closes what it opened. Give ctx the
// attempt's deadline: past it the outcome is that of Attempt.OutOfTime. If ctx is
// cancelled without having passed its deadline the attempt was given up, not
// answered, so it is Unsent.
func Try(ctx context.Context, check probes.Check) Result {
	network, err := NewNetwork()
	if err != nil {
		return Result{Detail: clip(err.Error())}
	}
	defer network.Close()
	var result *Result
	attempt := network.Start(check, func(r Result) { result = &r })
	for {
		over := ctx.Err()
		network.Work() // after the look at ctx: what has arrived by then counts
		switch {
		case errors.Is(over, context.Canceled):
			return Result{Detail: "given up"}
		case result != nil:
			return *result
		case over != nil:
			return attempt.OutOfTime()
		}
		select {
		case <-ctx.Done():
		case <-network.Ready():
		}
	}
}

// clip bounds a text from outside and keeps it valid UTF-8.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= probes.MaxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:probes.MaxDetail], "")
}
