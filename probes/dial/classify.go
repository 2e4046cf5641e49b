package dial

import (
	"errors"
	"io"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/probes"
)

// causes is what each system error says about an attempt. An error that is not
// here says nothing we know how to read, so the attempt counts as unsent: it
// proves nothing, whichever way.
var causes = []struct {
	errno   syscall.Errno
	outcome probes.Outcome
}{
	{syscall.ECONNREFUSED, probes.Refused}, // a reset in answer to our SYN, or ICMP port unreachable; over UDP: see failure
	{syscall.ECONNRESET, probes.Reset},     // a reset that came between the connection and our look at it
	{syscall.ECONNABORTED, probes.Reset},
	{syscall.EPIPE, probes.Reset},
	{syscall.ETIMEDOUT, probes.TimedOut},
	{syscall.EHOSTUNREACH, probes.Unreachable}, // ICMP host unreachable or administratively prohibited, or no answer to ARP
	{syscall.EHOSTDOWN, probes.Unreachable},
	{syscall.ENETUNREACH, probes.Unreachable}, // ICMP; without a route of our own it is Unsent: see failure
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

// failure says how an attempt ended whose socket gave err before a connection was
// established, or instead of a datagram.
func (a *Attempt) failure(err error) Result {
	r := Result{Outcome: outcome(err), Detail: "connect " + a.to.String() + ": " + err.Error()}
	switch {
	case r.Outcome == probes.Unreachable && errors.Is(err, unix.ENETUNREACH) && !routed(a.to):
		r.Outcome, r.Detail = probes.Unsent, "no route to the target is configured in this pod: "+r.Detail
	case r.Outcome == probes.Refused && a.check.Protocol == "UDP":
		r.Outcome = probes.PortUnreachable
		// A policy may answer in the target's name, but the target never in another's.
		if by, ok := offender(a.fd); ok && by.Unmap() != a.to.Addr().Unmap().WithZone("") {
			r.Outcome, r.Detail = probes.Unreachable, r.Detail+" by "+by.Unmap().String()
		}
	}
	return r
}

// afterConnect says how an attempt ended whose connection was established and then
// gave err. Unless it was reset before the target said a word, the network is open.
func (a *Attempt) afterConnect(err error) Result {
	reset := errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
	switch {
	case a.heard, errors.Is(err, io.EOF):
		return Result{Outcome: probes.Reached, Detail: a.talk.broken()}
	case reset:
		return Result{Outcome: probes.Reset, Detail: "connected to " + a.to.String() + ": " + err.Error()}
	}
	return Result{Outcome: probes.Reached, Detail: silent}
}

// lookupFailure says how an attempt ended that could not ask a name server. What
// kept it from opening a socket is no failure of anybody.
func lookupFailure(server netip.AddrPort, err error) Result {
	r := Result{Outcome: probes.DNSFailure, Detail: "name server " + server.String() + ": " + err.Error()}
	if outcome(err) == probes.Unsent {
		r.Outcome = probes.Unsent
	}
	return r
}

func outcome(err error) probes.Outcome {
	for _, c := range causes {
		if errors.Is(err, c.errno) {
			return c.outcome
		}
	}
	return probes.Unsent
}

// routed reports whether this pod has a route to an address. Connecting a datagram
// socket looks the route up and sends nothing. It tells an ICMP message from a pod
// without a route: both give ENETUNREACH.
func routed(to netip.AddrPort) bool {
	fd, err := openSocket(to, "UDP")
	if err != nil {
		return !errors.Is(err, unix.ENETUNREACH)
	}
	rawClose(fd)
	return true
}
