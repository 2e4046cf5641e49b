package probes

// Outcome is how one attempt ended, as the agent's own system saw it. It holds
// no opinion: whether a timeout is good or bad depends on what was expected.
// The zero value is Unsent, which proves nothing.
type Outcome string

// The outcomes. Three of the failures come after the network has let something
// through, and so never prove that a forbidden path is closed: see Stopped.
const (
	Unsent          Outcome = ""                // the attempt never left the pod: no socket, no memory, no route configured here
	Reached         Outcome = "Reached"         // the target answered: a connection, an HTTP status of any class, a DNS reply
	Refused         Outcome = "Refused"         // TCP: a reset, or ICMP port unreachable, in answer to the SYN
	PortUnreachable Outcome = "PortUnreachable" // UDP: ICMP port unreachable, by the target's address; either it or a policy sent it
	Reset           Outcome = "Reset"           // TCP: established, then reset before the target said anything
	TimedOut        Outcome = "TimedOut"        // no connection, and over UDP no reply, in time
	Unreachable     Outcome = "Unreachable"     // ICMP: host, network or administratively unreachable; or barred on our own way out
	DNSFailure      Outcome = "DNSFailure"      // the name of the target did not resolve, so the target was never tried
	TLSFailure      Outcome = "TLSFailure"      // established, then the handshake failed
)

// Connected reports whether the attempt proves that packets went to the target
// and back. A TLS alert or an HTTP 500 is an answer too: the network is open.
func (o Outcome) Connected() bool { return o == Reached || o == TLSFailure }

// Blocked reports whether the attempt left the pod and got no answer from the
// target: the path does not work. It does not say that the network is closed; only
// Stopped does.
func (o Outcome) Blocked() bool {
	switch o {
	case PortUnreachable, Reset, DNSFailure:
		return true
	}
	return o.Stopped()
}

// Stopped reports whether the network let nothing of the attempt through: no
// connection was established, and no datagram is known to have arrived. Together
// with a witness that shows the target alive, only this proves a path closed. A
// reset of an established connection, ICMP from the target's own address, and a
// name that does not resolve are compatible with an open path.
func (o Outcome) Stopped() bool {
	return o == Refused || o == TimedOut || o == Unreachable
}
