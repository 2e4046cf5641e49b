package dataplane

import (
	"encoding/binary"
	"errors"
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

// stream is a connection on which the time goes forth and back every 5 ms. What comes
// back so says when it was sent, however late a busy machine reads it.
type stream struct {
	t     *testing.T
	base  time.Time
	mu    sync.Mutex
	last  time.Time // when what came back last was sent
	ahead int       // sent since then
	err   error
}

// unanswered is how many messages without an echo are believed to be stopped: 300 ms
// of them. They are counted, because a machine that is too busy to send them is also
// too busy to bring them back.
const unanswered = 60

func (p *testPod) stream(t *testing.T, to string) *stream {
	t.Helper()
	s := &stream{t: t, base: time.Now()}
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
			if err := binary.Write(c, binary.BigEndian, time.Since(s.base)); err != nil {
				tick.Stop()
				s.fail(err)
				return
			}
			s.mu.Lock()
			s.ahead++
			s.mu.Unlock()
		}
	}()
	go func() {
		for {
			var sent time.Duration
			if err := binary.Read(c, binary.BigEndian, &sent); err != nil {
				s.fail(err)
				return
			}
			s.mu.Lock()
			s.last, s.ahead = s.base.Add(sent), 0
			s.mu.Unlock()
		}
	}()
	s.flows(time.Now())
	return s
}

// fail notes an error. The kernel tells of a reset once, to whoever reads or writes
// first; the other one has another error.
func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

func (s *stream) state() (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.err
}

// flows wants an echo of what is sent after that moment.
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

// stops wants nothing to come back that is sent after that moment, by which the table
// forbids the stream.
func (s *stream) stops(forbidden time.Time) {
	s.t.Helper()
	if late := s.ends().Sub(forbidden); late > 0 {
		s.t.Errorf("what was sent %v after the table forbade it came back", late)
	}
}

// ends waits until no echoes come any more, and says when the last one was sent.
func (s *stream) ends() time.Time {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		last, ahead := s.last, s.ahead
		s.mu.Unlock()
		if ahead >= unanswered {
			return last
		}
	}
	s.t.Fatal("echoes come for 30 s after the change")
	return time.Time{}
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
