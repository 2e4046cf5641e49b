// Package dial tries. One call makes one fresh attempt of one check over the
// pod's own network and says how it ended, with no opinion on whether that is
// good. Each protocol has a file of its own; classify.go turns what the system
// says into an outcome.
//
//	Check ──► TCP  connect
//	      ──► HTTP connect, request, status line
//	      ──► DNS  question over UDP or TCP, answer
//
// A connect votes: once it succeeded, the network is open, however slow, wrong or
// silent the target then is (protocol.md §6). Only a reset before the target
// said anything is held against the path, because that is how a proxy on the way
// says no.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// Result is how one attempt ended. The zero value is an attempt that was never made.
type Result struct {
	Outcome probes.Outcome
	Status  int    // HTTP status or DNS response code; 0: none came, or DNS success
	Detail  string // what the system said, at most probes.MaxDetail bytes; empty when all is well
}

// silent is the detail of a target that accepted the connection and then said
// nothing in time.
const silent = "connected, no reply"

// Try makes one attempt of a check and closes what it opened. Give ctx the
// attempt's deadline: past it the outcome is TimedOut, or DNSFailure if the name
// had not resolved by then. If ctx is cancelled without having passed its
// deadline the attempt was given up, not answered, so it is Unsent.
func Try(ctx context.Context, check probes.Check) Result {
	var r Result
	switch check.Type {
	case "TCP":
		r = tryTCP(ctx, check)
	case "HTTP":
		r = tryHTTP(ctx, check)
	case "DNS":
		r = tryDNS(ctx, check)
	default:
		r = Result{Detail: fmt.Sprintf("check type %.20q is not one this agent knows", check.Type)}
	}
	r.Detail = clip(r.Detail)
	return r
}

// dialer opens every connection of this package. A second address family is not
// raced, so that one attempt is one connection.
var dialer = net.Dialer{KeepAlive: -1, FallbackDelay: -1}

// connect opens a connection to the check's target. When it returns no
// connection, the Result says why.
func connect(ctx context.Context, network string, check probes.Check) (net.Conn, Result) {
	address := net.JoinHostPort(check.Host, strconv.Itoa(int(check.Port)))
	d := dialer
	var names resolver
	if check.Named() {
		d.Resolver = names.fresh()
		defer names.close()
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		if errors.As(err, new(*net.DNSError)) {
			err = errors.Join(err, names.failure())
		}
		return nil, failed(ctx, err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Closing resets the connection: thousands of attempts leave no socket
		// in TIME_WAIT and use up no local ports. It can fail only on a socket
		// that is already gone.
		_ = tcp.SetLinger(0)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // as above
	}
	return conn, Result{}
}

func tryTCP(ctx context.Context, check probes.Check) Result {
	conn, r := connect(ctx, "tcp", check)
	if conn == nil {
		return r
	}
	conn.Close()
	return Result{Outcome: probes.Reached}
}

// interrupt makes a cancelled ctx break off reads and writes of conn at once. The
// function it returns ends the watch and must be called.
func interrupt(ctx context.Context, conn net.Conn) func() bool {
	return context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails only on a socket that is already gone
	})
}

// clip bounds a text from outside and keeps it valid UTF-8.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= probes.MaxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:probes.MaxDetail], "")
}
