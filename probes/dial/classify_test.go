package dial

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/tightrope-dev/tightrope/probes"
)

func itoa(port int32) string { return fmt.Sprint(port) }

func TestEverySystemErrorHasItsOutcome(t *testing.T) {
	want := map[probes.Outcome][]syscall.Errno{
		probes.Refused:     {syscall.ECONNREFUSED},
		probes.Reset:       {syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED},
		probes.TimedOut:    {syscall.ETIMEDOUT},
		probes.Unreachable: {syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES, syscall.EPERM, syscall.EHOSTDOWN, syscall.ENONET, syscall.ENOPROTOOPT},
		probes.Unsent: {syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE,
			syscall.EAGAIN, syscall.EAFNOSUPPORT, syscall.EINVAL, syscall.EBADF},
	}
	seen := 0
	for outcome, errnos := range want {
		for _, errno := range errnos {
			seen++
			a := &Attempt{check: check("TCP", "TCP", 80), fd: -1, to: netip.MustParseAddrPort("127.0.0.1:80")}
			if got := a.failure(os.NewSyscallError("connect", errno)); got.Outcome != outcome || got.Detail == "" {
				t.Errorf("%v: %+v, want %q", errno, got, outcome)
			}
		}
	}
	if seen != len(causes)+1 { // EBADF is not in the table
		t.Errorf("%d errors tried, %d are in the table", seen, len(causes))
	}
}

// What kept us from the name server is no failure of the target. What kept us
// from opening a socket is no failure of anybody.
func TestErrorsOfNamesAreToldApart(t *testing.T) {
	for errno, want := range map[syscall.Errno]probes.Outcome{
		syscall.EHOSTUNREACH: probes.DNSFailure,
		syscall.ECONNREFUSED: probes.DNSFailure,
		syscall.EPERM:        probes.DNSFailure,
		syscall.EMFILE:       probes.Unsent,
		syscall.ENETUNREACH:  probes.DNSFailure,
	} {
		if got := lookupFailure(netip.MustParseAddrPort("192.0.2.1:53"), errno); got.Outcome != want || got.Detail == "" {
			t.Errorf("name server, %v: %+v, want %q", errno, got, want)
		}
	}
}

// The kernel itself says no to this connection, as it does after an ICMP message:
// a stream to a broadcast address, to which there is a route.
func TestARefusalOfTheNetworkIsUnreachable(t *testing.T) {
	c := check("TCP", "TCP", 80)
	c.Host = "127.255.255.255"
	if got := try(t, patience, c); got.Outcome != probes.Unreachable {
		t.Errorf("%+v", got)
	}
}

// A pod without a route gets the same error as one whose packets an ICMP message
// answers. Only the second is about the path. Run in a network namespace of its
// own, which has no route at all.
func TestAPodWithoutARouteProvesNothing(t *testing.T) {
	if inEmptyNetwork() {
		c := check("TCP", "TCP", 80)
		c.Host = "192.0.2.1"
		if got := try(t, patience, c); got.Outcome != probes.Unsent {
			t.Errorf("%+v", got)
		}
		return
	}
	inNamespaces(t)
}
