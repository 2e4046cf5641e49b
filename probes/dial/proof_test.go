package dial

import (
	"net"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
)

// However a target or the network behaves, a forbidden path holds only if nothing
// got through, and leaks only if something answered. A required path holds only
// on an answer.
func TestWhatAnAttemptProvesOfAForbiddenPath(t *testing.T) {
	broadcast := check("TCP", "TCP", 80)
	broadcast.Host = "127.255.255.255" // to which the kernel itself says no
	named := func(c probes.Check) probes.Check { c.Host = "known."; return c }
	unknown := check("TCP", "TCP", 80)
	unknown.Host = "unknown.example."
	mute := serveUDP(t, func([]byte) [][]byte { return nil })
	fine := serveUDP(t, func(q []byte) [][]byte { return [][]byte{reply(q)} })
	for _, tt := range []struct {
		name       string
		nameServer int32
		within     time.Duration
		check      probes.Check
		outcome    probes.Outcome
		deny       probes.Finding // with a live witness
	}{
		{"TCP: a reset answers the SYN", 0, patience, check("TCP", "TCP", closedPort(t)), probes.Refused, probes.Holds},
		{"TCP: the SYN is dropped", 0, haste, check("TCP", "TCP", blackhole(t)), probes.TimedOut, probes.Holds},
		{"TCP: the network says no", 0, patience, broadcast, probes.Unreachable, probes.Holds},
		{"TCP: accepted", 0, patience, check("TCP", "TCP", serve(t, silence)), probes.Reached, probes.Leak},
		{"HTTP: a reset answers the SYN", 0, patience, check("HTTP", "TCP", closedPort(t)), probes.Refused, probes.Holds},
		{"HTTP: established, then reset", 0, patience, check("HTTP", "TCP", serve(t, resets)), probes.Reset, probes.Inconclusive},
		{"HTTP: established, then closed without a word", 0, patience, check("HTTP", "TCP", serve(t, hangsUp)), probes.Reached, probes.Leak},
		{"HTTP: established, then silent", 0, haste, check("HTTP", "TCP", serve(t, silence)), probes.Reached, probes.Leak},
		{"HTTP: words, then a reset", 0, patience, check("HTTP", "TCP", serve(t, func(c *net.TCPConn) {
			says("HTTP/1.1 200 OK\r\n")(c)
			_ = c.SetLinger(0)
		})), probes.Reached, probes.Leak},
		{"DNS/TCP: established, then reset", 0, patience, check("DNS", "TCP", serve(t, resets)), probes.Reset, probes.Inconclusive},
		{"DNS/TCP: established, then closed without a word", 0, patience, check("DNS", "TCP", serve(t, hangsUp)), probes.Reached, probes.Leak},
		{"DNS/UDP: the datagram is dropped", 0, haste, check("DNS", "UDP", mute), probes.TimedOut, probes.Holds},
		{"DNS/UDP: the target's address says that the port is closed", 0, patience, check("DNS", "UDP", closedPort(t)), probes.PortUnreachable, probes.Inconclusive},
		{"DNS/UDP: answered", 0, patience, check("DNS", "UDP", fine), probes.Reached, probes.Leak},
		{"the name does not exist", fine, patience, unknown, probes.DNSFailure, probes.Inconclusive},
		{"the name server is silent", mute, haste, named(check("TCP", "TCP", 80)), probes.DNSFailure, probes.Inconclusive},
		{"the name server's port is closed", closedPort(t), patience, named(check("TCP", "TCP", 80)), probes.DNSFailure, probes.Inconclusive},
		{"the name resolves, and the SYN is dropped", fine, haste, named(check("TCP", "TCP", blackhole(t))), probes.TimedOut, probes.Holds},
		{"the name resolves, and a reset answers the SYN", fine, patience, named(check("TCP", "TCP", closedPort(t))), probes.Refused, probes.Holds},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resolveAt(t, tt.nameServer)
			got := try(t, tt.within, tt.check)
			if f := probes.Judge(v1alpha1.ExpectDeny, got.Outcome, probes.AliveYes); got.Outcome != tt.outcome || f != tt.deny {
				t.Errorf("%+v, so a forbidden path %s; want %q and %s", got, f, tt.outcome, tt.deny)
			}
			want := probes.Cut
			if tt.outcome == probes.Reached {
				want = probes.Holds
			}
			if f := probes.Judge(v1alpha1.ExpectAllow, got.Outcome, probes.AliveUnknown); f != want {
				t.Errorf("%+v, so a required path %s, want %s", got, f, want)
			}
		})
	}
}

// A target that accepts and resets at once may do so before the agent has looked.
// Whichever comes first, the path is not proved closed.
func TestAConnectionThatIsResetAtOnceIsNotStopped(t *testing.T) {
	port := serve(t, func(c *net.TCPConn) { _ = c.SetLinger(0) })
	for range 200 {
		if got := try(t, patience, check("TCP", "TCP", port)); got.Outcome.Stopped() || got.Outcome == probes.Unsent {
			t.Fatalf("%+v", got)
		}
	}
}
