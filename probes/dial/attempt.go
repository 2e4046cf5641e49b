package dial

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
)

// Attempt is one try of a check, under way in a Network.
type Attempt struct {
	network *Network
	check   probes.Check
	done    func(Result)
	talk    talk // nil: a connect is all

	began  time.Time
	took   time.Duration // looking the name up; 0: it is not resolved
	lookup *lookup       // while the name is looked up
	left   []netip.AddrPort
	failed *Result // at the first address

	fd          int   // -1: none
	socket      int32 // number of it
	to          netip.AddrPort
	established bool      // TCP
	heard       bool      // a byte of the target
	exchange    *exchange // over a stream; nil: it has a socket of its own
	result      Result
}

// Stop gives the attempt up. It is then never told how it ended.
func (a *Attempt) Stop() {
	a.done = nil
	if a.exchange != nil {
		a.exchange.gone.Store(true)
	}
	a.close()
}

// Lookup is how long it took to resolve the target's name; 0: it has not resolved.
func (a *Attempt) Lookup() time.Duration { return a.took }

// OutOfTime is the result of an attempt whose time is over now.
func (a *Attempt) OutOfTime() Result {
	switch {
	case a.check.Named() && a.took == 0:
		return Result{Outcome: probes.DNSFailure, Detail: "the name did not resolve: timeout"}
	case a.heard:
		return Result{Outcome: probes.Reached, Detail: a.talk.broken()}
	case a.established:
		return Result{Outcome: probes.Reached, Detail: silent}
	}
	return Result{Outcome: probes.TimedOut, Detail: "no answer: timeout"}
}

// begin prepares what is to be said and takes the first step.
func (a *Attempt) begin() {
	if a.check.Type == probes.Stream {
		a.network.say(a)
		return
	}
	begin, known := speakers[v1alpha1.ProbeType(a.check.Type)]
	if !known {
		a.end(Result{Detail: "check type " + a.check.Type + " is not one this agent knows"})
		return
	}
	var err error
	if a.talk, err = begin(a.check); err != nil {
		a.end(Result{Detail: err.Error()})
		return
	}
	if addr, err := netip.ParseAddr(a.check.Host); err == nil {
		a.left = []netip.AddrPort{netip.AddrPortFrom(addr, uint16(a.check.Port))}
		a.connect()
		return
	}
	a.resolve()
}

// connect tries the next address. Like clients do, it goes on to the one after
// that if the system says no; it never races them, so that an attempt is one
// connection at a time. If all fail, the first counts.
func (a *Attempt) connect() {
	for len(a.left) > 0 {
		to := a.left[0]
		a.left = a.left[1:]
		err := a.open(to, a.check.Protocol)
		if err == nil && a.check.Protocol == "UDP" {
			_, err = rawWrite(a.fd, a.talk.request())
		}
		if err == nil {
			return
		}
		a.refused(err)
	}
	a.end(*a.failed)
}

// refused notes that an address failed.
func (a *Attempt) refused(err error) {
	if r := a.failure(err); a.failed == nil {
		a.failed = &r
	}
	a.close()
}

// open opens a socket of its own to an address. It does not wait for the answer.
func (a *Attempt) open(to netip.AddrPort, protocol string) error {
	fd, err := openSocket(to, protocol)
	if err != nil {
		a.to = to
		return err
	}
	a.network.opened++
	a.fd, a.socket, a.to = fd, a.network.opened, to
	a.network.fresh = append(a.network.fresh, a)
	return nil
}

// awaits is what the socket must become for the next step.
func (a *Attempt) awaits() int16 {
	if a.lookup == nil && a.check.Protocol == "TCP" && !a.established {
		return unix.POLLOUT
	}
	return unix.POLLIN
}

// move takes the steps that an event makes possible. Bits of poll and epoll are the same.
func (a *Attempt) move(events uint32) {
	broken := events&(unix.POLLERR|unix.POLLHUP) != 0
	switch {
	case a.lookup != nil:
		a.read(a.lookup.hear)
		return
	case a.awaits() == unix.POLLOUT:
		if events&unix.POLLOUT == 0 && !broken {
			return
		}
		if err := socketError(a.fd, broken); err != nil {
			a.refused(err)
			a.connect()
			return
		}
		a.established = true
		if a.talk == nil {
			a.end(Result{Outcome: probes.Reached})
			return
		}
		if _, err := rawWrite(a.fd, a.talk.request()); err != nil {
			a.end(a.afterConnect(err))
			return
		}
	}
	a.read(func(data []byte) {
		a.heard = a.heard || a.established
		if r, answered := a.talk.hear(data); answered {
			a.end(r)
		}
	})
}

// read hands on what has come in, until there is no more or the attempt moves on.
func (a *Attempt) read(hear func([]byte)) {
	for socket := a.socket; a.fd >= 0 && a.socket == socket; {
		n, err := rawRead(a.fd, a.network.buf[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR):
		case err != nil:
			a.brokenOff(err)
			return
		case n == 0 && a.established:
			a.brokenOff(io.EOF)
			return
		default:
			hear(a.network.buf[:n])
		}
	}
}

// brokenOff ends the wait for words that will not come.
func (a *Attempt) brokenOff(err error) {
	switch {
	case a.lookup != nil:
		a.lookup.lost(err)
	case a.established:
		a.end(a.afterConnect(err))
	default:
		a.refused(err)
		a.connect()
	}
}

// end closes the attempt and has Work tell its result.
func (a *Attempt) end(r Result) {
	r.Detail = clip(strings.ReplaceAll(r.Detail, "\n", "; "))
	a.close()
	a.result = r
	a.network.ended = append(a.network.ended, a)
}

// close closes the socket, if there is one.
func (a *Attempt) close() {
	if a.fd < 0 {
		return
	}
	if a.established {
		resetOnClose(a.fd)
	}
	delete(a.network.watched, int32(a.fd))
	rawClose(a.fd)
	a.fd = -1
}
