package probes

// Outcome is how one attempt ended, as the agent's own system saw it. It holds
// no opinion: whether a timeout is good or bad depends on what was expected.
// The zero value is Unsent, which proves nothing.
type Outcome string

// The outcomes (design.md §1).
const (
	Unsent      Outcome = ""            // the attempt never left the pod: no socket, no memory, no route configured here
	Reached     Outcome = "Reached"     // the target answered: a connection, an HTTP status of any class, a DNS reply
	Refused     Outcome = "Refused"     // ECONNREFUSED: a host is there and said no, or a policy rejects
	Reset       Outcome = "Reset"       // ECONNRESET or EPIPE before the target said anything
	TimedOut    Outcome = "TimedOut"    // nothing came back in time
	Unreachable Outcome = "Unreachable" // ICMP: host, network or administratively unreachable
	DNSFailure  Outcome = "DNSFailure"  // the name of the target did not resolve, so the target was never tried
	TLSFailure  Outcome = "TLSFailure"  // connected, then the handshake failed
)

// Connected reports whether the attempt proves that packets went to the target
// and back. A TLS alert or an HTTP 500 is an answer too: the network is open.
func (o Outcome) Connected() bool { return o == Reached || o == TLSFailure }

// Blocked reports whether the attempt left the pod and got no answer from the
// target. It proves a policy only when a witness shows that the target is alive.
func (o Outcome) Blocked() bool {
	switch o {
	case Refused, Reset, TimedOut, Unreachable, DNSFailure:
		return true
	}
	return false
}
