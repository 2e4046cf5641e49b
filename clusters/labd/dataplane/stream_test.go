package dataplane

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// echoes makes the pod send back what it gets on a TCP port.
func (p *testPod) echoes(port string) *testPod {
	p.in(func() {
		l, err := net.Listen("tcp4", ":"+port)
		if err != nil {
			p.n.t.Errorf("listen: %v", err)
			return
		}
		p.n.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { defer c.Close(); io.Copy(c, c) }()
			}
		}()
	})
	return p
}

// stream is a connection on which a byte goes forth and back every 5 ms.
type stream struct {
	t    *testing.T
	mu   sync.Mutex
	last time.Time // of the last echo
	err  error
}

func (p *testPod) stream(t *testing.T, to string) *stream {
	t.Helper()
	s := &stream{t: t}
	var c net.Conn
	p.in(func() {
		var err error
		if c, err = net.DialTimeout("tcp4", to, 5*time.Second); err != nil {
			t.Errorf("open a stream: %v", err)
		}
	})
	if c == nil {
		t.FailNow()
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
			if _, err := c.Write([]byte("x")); err != nil {
				tick.Stop()
				return
			}
		}
	}()
	go func() {
		for {
			_, err := c.Read(make([]byte, 64))
			s.mu.Lock()
			if err != nil {
				s.err = err
				s.mu.Unlock()
				return
			}
			s.last = time.Now()
			s.mu.Unlock()
		}
	}()
	s.flows(time.Now())
	return s
}

func (s *stream) state() (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.err
}

// flows wants an echo after that moment.
func (s *stream) flows(after time.Time) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if last, err := s.state(); last.After(after) {
			return
		} else if err != nil {
			s.t.Errorf("the stream ended: %v", err)
			return
		}
	}
	s.t.Errorf("no echo came for 10 s")
}

// stops wants the last echo to come within a time after that moment, and then
// none for a while.
func (s *stream) stops(from time.Time, atLeast, atMost time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if last, _ := s.state(); time.Since(last) > 2*silence {
			if after := last.Sub(from); atLeast > 0 && after < atLeast || after > atMost {
				s.t.Errorf("the last echo came %v after the change, want %v to %v", after, atLeast, atMost)
			}
			return
		}
	}
	s.t.Errorf("echoes come for 10 s after the change")
}

// pushes makes the pod answer its first datagram on a UDP port with one every 5 ms.
func (p *testPod) pushes(port string) *testPod {
	p.in(func() {
		u, err := net.ListenPacket("udp4", ":"+port)
		if err != nil {
			p.n.t.Errorf("listen: %v", err)
			return
		}
		p.n.t.Cleanup(func() { u.Close() })
		go func() {
			_, to, err := u.ReadFrom(make([]byte, 64))
			for err == nil {
				_, err = u.WriteTo([]byte("x"), to)
				time.Sleep(5 * time.Millisecond)
			}
		}()
	})
	return p
}
