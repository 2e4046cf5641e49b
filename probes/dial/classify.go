package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/tightrope-dev/tightrope/probes"
)

// causes is what each system error says about an attempt. An error that is not
// here says nothing we know how to read, so the attempt counts as unsent: it
// proves nothing, whichever way.
var causes = []struct {
	errno   syscall.Errno
	outcome probes.Outcome
}{
	{syscall.ECONNREFUSED, probes.Refused}, // a reset in answer to our SYN, or ICMP port unreachable
	{syscall.ECONNRESET, probes.Reset},
	{syscall.ECONNABORTED, probes.Reset},
	{syscall.EPIPE, probes.Reset},
	{syscall.ETIMEDOUT, probes.TimedOut},
	{syscall.EHOSTUNREACH, probes.Unreachable}, // ICMP host unreachable or administratively prohibited, or no answer to ARP
	{syscall.EHOSTDOWN, probes.Unreachable},
	{syscall.ENETUNREACH, probes.Unreachable}, // ICMP; without a route of our own it is Unsent: see failed
	{syscall.ENONET, probes.Unreachable},
	{syscall.ENOPROTOOPT, probes.Unreachable}, // ICMP protocol unreachable
	{syscall.EACCES, probes.Unreachable},      // a prohibiting route or rule on our own way out
	{syscall.EPERM, probes.Unreachable},       // a firewall or an eBPF hook on our own way out

	{syscall.EMFILE, probes.Unsent},
	{syscall.ENFILE, probes.Unsent},
	{syscall.ENOBUFS, probes.Unsent},
	{syscall.ENOMEM, probes.Unsent},
	{syscall.EAGAIN, probes.Unsent},
	{syscall.EADDRINUSE, probes.Unsent},
	{syscall.EADDRNOTAVAIL, probes.Unsent}, // no local port is left
	{syscall.EAFNOSUPPORT, probes.Unsent},  // this pod has no such address family
	{syscall.EINVAL, probes.Unsent},        // a blackhole route of our own
}

// failed says how an attempt ended that err broke off.
func failed(ctx context.Context, err error) Result {
	r := Result{Outcome: outcome(ctx, err), Detail: strings.ReplaceAll(err.Error(), "\n", "; ")}
	if r.Outcome == probes.Unreachable && errors.Is(err, syscall.ENETUNREACH) && !routed(err) {
		r.Outcome, r.Detail = probes.Unsent, "no route to the target is configured in this pod: "+r.Detail
	}
	return r
}

func outcome(ctx context.Context, err error) probes.Outcome {
	if errors.Is(ctx.Err(), context.Canceled) {
		return probes.Unsent
	}
	for _, c := range causes {
		if errors.Is(err, c.errno) {
			if c.outcome != probes.Unsent && errors.As(err, new(*net.DNSError)) {
				return probes.DNSFailure // the network refused us the name server, not the target
			}
			return c.outcome
		}
	}
	if errors.As(err, new(*net.DNSError)) {
		return probes.DNSFailure
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return probes.TimedOut
	}
	return probes.Unsent
}

// routed reports whether this pod has a route to the address that err speaks of.
// Connecting a datagram socket looks the route up and sends nothing. It tells an
// ICMP message from a pod without a route: both give ENETUNREACH.
func routed(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Addr == nil {
		return true
	}
	to, err := netip.ParseAddrPort(op.Addr.String())
	if err != nil {
		return true
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return !errors.Is(err, syscall.ENETUNREACH)
	}
	conn.Close()
	return true
}
