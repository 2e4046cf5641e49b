package dial

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

func newNetwork(t testing.TB) *Network {
	t.Helper()
	n, err := NewNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// More targets answer at the same moment than epoll tells of at once.
func TestManyAttemptsSideBySide(t *testing.T) {
	const many = 400
	var asked, answered sync.WaitGroup
	asked.Add(many)
	answered.Add(many)
	release := make(chan struct{})
	port := serve(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 4096))
		asked.Done()
		<-release
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		answered.Done()
		silence(c)
	})
	n := newNetwork(t)
	told := 0
	for range many {
		n.Start(check("HTTP", "TCP", port), func(r Result) {
			if told++; r != (Result{Outcome: probes.Reached, Status: 204}) {
				t.Errorf("attempt %d: %+v", told, r)
			}
		})
	}
	if told > 0 {
		t.Error("an attempt was told before Work")
	}
	all := make(chan struct{})
	go func() {
		asked.Wait()
		close(release)
		answered.Wait()
		close(all)
	}()
	for open := true; open; n.Work() {
		select {
		case <-n.Ready():
		case <-all:
			open = false
		}
	}
	if told != many {
		t.Errorf("%d of %d answers were told", told, many)
	}
}

func TestAnAttemptThatWasStoppedIsNeverTold(t *testing.T) {
	n := newNetwork(t)
	done := func(r Result) { t.Errorf("told: %+v", r) }
	waits := n.Start(check("HTTP", "TCP", serve(t, silence)), done)
	n.Work()
	atOnce := check("TCP", "TCP", 80)
	atOnce.Host = "127.255.255.255" // the system says no in Start
	n.Start(atOnce, done).Stop()
	waits.Stop()
	waits.Stop()
	n.Work()
	if len(n.watched) > 0 {
		t.Errorf("%d sockets are still watched", len(n.watched))
	}
}

func TestWakeAtTakesTheNewestMoment(t *testing.T) {
	n := newNetwork(t)
	<-n.Ready() // the first word is for nothing
	n.Work()
	n.WakeAt(time.Now().Add(time.Hour))
	for _, after := range []time.Duration{30 * time.Millisecond, 0, -time.Second, 10 * time.Millisecond} {
		began := time.Now()
		n.WakeAt(began.Add(after))
		select {
		case <-n.Ready():
		case <-time.After(patience):
			t.Fatalf("in %v: it does not wake", after)
		}
		if took := time.Since(began); took < after {
			t.Errorf("in %v: it wakes after %v", after, took)
		}
		n.Work()
	}
}
