package dial

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// Progress is how far an attempt has come. The zero Progress has not resolved its
// target's name.
type Progress struct {
	lookup    atomic.Int64 // nanoseconds; 0: the name is not resolved
	connected atomic.Bool
}

// WithProgress returns a ctx for one call of Try, and the Progress of that.
func WithProgress(ctx context.Context) (context.Context, *Progress) {
	p, began := &Progress{}, time.Now()
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) {
			if i.Err == nil {
				p.lookup.Store(max(1, int64(time.Since(began))))
			}
		},
		ConnectDone: func(_, _ string, err error) { p.connected.Store(err == nil) },
	}), p
}

// Lookup is how long it took to resolve the target's name; 0: it has not resolved.
func (p *Progress) Lookup() time.Duration { return time.Duration(p.lookup.Load()) }

// OutOfTime is what Try says of an attempt of the check whose time is over now.
func (p *Progress) OutOfTime(check probes.Check) Result {
	switch {
	case check.Named() && p.Lookup() == 0:
		return Result{Outcome: probes.DNSFailure, Detail: "the name did not resolve in time"}
	case check.Protocol == "TCP" && p.connected.Load():
		return Result{Outcome: probes.Reached, Detail: silent}
	}
	return Result{Outcome: probes.TimedOut, Detail: "no answer in time"}
}
