package dial

import (
	"bufio"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// answering answers each question on a connection until it has answered so many;
// 0: for ever. Then it does what end says.
func answering(t *testing.T, many int, end func(*net.TCPConn)) int32 {
	return serve(t, func(c *net.TCPConn) {
		lines := bufio.NewScanner(c)
		for n := 0; lines.Scan(); {
			if lines.Text() != "" {
				continue
			}
			if n++; many > 0 && n > many {
				end(c)
				return
			}
			if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n")); err != nil {
				return
			}
		}
	})
}

// asking makes attempts over one network.
type asking struct {
	t *testing.T
	n *Network
	c probes.Check
}

func (a asking) once() Result {
	a.t.Helper()
	var result *Result
	attempt := a.n.Start(a.c, func(r Result) { result = &r })
	ctx, stop := context.WithTimeout(a.t.Context(), 500*time.Millisecond)
	defer stop()
	for result == nil {
		select {
		case <-ctx.Done():
			r := attempt.OutOfTime()
			attempt.Stop()
			return r
		case <-a.n.Ready():
			a.n.Work()
		}
	}
	return *result
}

func streaming(t *testing.T, port int32) asking {
	n, err := NewNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return asking{t, n, probes.Check{ID: "s", Type: "Stream", Protocol: "TCP", Host: "127.0.0.1", Port: port}}
}

func TestAStreamAsksOverOneConnection(t *testing.T) {
	a := streaming(t, answering(t, 0, nil))
	for range 5 {
		if r := a.once(); r.Outcome != probes.Reached || r.Status != 1 {
			t.Fatalf("%+v, want it over connection 1", r)
		}
	}
}

func TestAStreamThatBreaksIsSeenAndAnotherOneIsOpened(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*net.TCPConn)
		want probes.Outcome
	}{
		"it is reset":  {func(c *net.TCPConn) { _ = c.SetLinger(0) }, probes.Reset},
		"it is closed": {func(*net.TCPConn) {}, probes.Reset},
	} {
		t.Run(name, func(t *testing.T) {
			a := streaming(t, answering(t, 2, tt.end))
			a.once()
			a.once()
			if r := a.once(); r.Outcome != tt.want || r.Status != 1 || !strings.Contains(r.Detail, "connection 1 broke") {
				t.Errorf("%+v, want %s of connection 1", r, tt.want)
			}
			if r := a.once(); r.Outcome != probes.Reached || r.Status != 2 {
				t.Errorf("%+v, want another connection", r)
			}
		})
	}
}

func TestAStreamThatFallsSilentRunsOutOfTime(t *testing.T) {
	a := streaming(t, answering(t, 1, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)) }))
	if r := a.once(); r.Outcome != probes.Reached {
		t.Fatalf("%+v", r)
	}
	for range 2 {
		if r := a.once(); r.Outcome != probes.TimedOut {
			t.Errorf("%+v, want no answer", r)
		}
	}
}

func TestAStreamToNobodyIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(l.Addr())
	l.Close()
	if r := streaming(t, port).once(); r.Outcome != probes.Refused || r.Status != 0 {
		t.Errorf("%+v", r)
	}
}
