package dataplane

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// probe is one attempt to connect, or one datagram that is answered.
type probe struct {
	from, to *endpoint
	family   int    // index of the addresses
	network  string // TCP or UDP
	port     int
}

func (p probe) String() string {
	return fmt.Sprintf("%s > %s:%d/%s by %s", p.from.name, p.to.name, p.port, p.network, p.to.addrs[p.family])
}

// shot is a probe under way.
type shot struct {
	probe
	fd      int
	as      arrival // how the server would see it
	through bool
}

const (
	fuzzPatience  = 15 * time.Second       // for an answer that must come
	fuzzImpatient = 200 * time.Millisecond // while a case is made small
	fuzzSilence   = 10 * time.Millisecond  // for one that must not; what comes later is found in the next round
)

// fire begins a probe. Its port is one that its sender has not used for long, so
// that no connection of before is taken up.
func (w *world) fire(p probe) *shot {
	s := &shot{probe: p, fd: -1}
	must(w.t, p.from.space.Do(func() error {
		kind, domain := unix.SOCK_STREAM, unix.AF_INET
		if p.network == "UDP" {
			kind = unix.SOCK_DGRAM
		}
		if p.to.addrs[p.family].Is6() {
			domain = unix.AF_INET6
		}
		var err error
		if s.fd, err = unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		for {
			p.from.port = 10000 + (p.from.port-10000+1)%50000
			client := netip.AddrPortFrom(p.from.addrs[p.family], uint16(p.from.port))
			if err = unix.Bind(s.fd, sockaddr(client)); err == nil {
				s.as = arrival{p.to.index, p.network, p.port, client}
				break
			} else if err != unix.EADDRINUSE {
				return err
			}
		}
		err = unix.Connect(s.fd, sockaddr(netip.AddrPortFrom(p.to.addrs[p.family], uint16(p.port))))
		if err == unix.EINPROGRESS {
			err = nil
		}
		if err == nil && p.network == "UDP" {
			_, err = unix.Write(s.fd, []byte("?"))
		}
		return err
	}))
	return s
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// try makes all probes at once. wrong are those that do not end as the situation
// says.
func (w *world) try(s *situation, probes []probe, patience time.Duration) (shots, wrong []*shot) {
	for _, p := range probes {
		shots = append(shots, w.fire(p))
	}
	began := time.Now()
	for {
		waiting, elapsed := 0, time.Since(began)
		for _, shot := range shots {
			shot.look()
			if !shot.through && s.passes(shot.probe) {
				waiting++
			}
		}
		if waiting == 0 && elapsed > fuzzSilence || elapsed > patience {
			break
		}
		w.poll(shots, 2*time.Millisecond)
	}
	for _, shot := range shots {
		unix.Close(shot.fd)
		if shot.through = shot.through || w.has(shot.as); shot.through != s.passes(shot.probe) {
			wrong = append(wrong, shot)
		}
	}
	return shots, wrong
}

func (w *world) poll(shots []*shot, limit time.Duration) {
	var fds []unix.PollFd
	for _, s := range shots {
		if !s.through {
			fds = append(fds, unix.PollFd{Fd: int32(s.fd), Events: s.events()})
		}
	}
	_, _ = unix.Poll(fds, int(limit.Milliseconds())) // the caller looks at each anyhow
}

func (s *shot) events() int16 {
	if s.network == "UDP" {
		return unix.POLLIN
	}
	return unix.POLLOUT
}

// look says whether the answer is there. A refusal is none: everybody listens.
func (s *shot) look() {
	if s.through {
		return
	}
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: s.events()}}
	if n, err := unix.Poll(fds, 0); n == 1 && err == nil {
		failed, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		s.through = err == nil && failed == 0 && fds[0].Revents&s.events() != 0
	}
}

// late returns the shots that were believed to be stopped and arrived after all.
func (w *world) late(s *situation, shots []*shot) []*shot {
	var wrong []*shot
	for _, shot := range shots {
		if !s.passes(shot.probe) && w.has(shot.as) {
			wrong = append(wrong, shot)
		}
	}
	return wrong
}
