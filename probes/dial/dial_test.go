package dial

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/tightrope-dev/tightrope/probes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far more than loopback needs; attempts that must run out of time
// get haste.
const (
	patience = 10 * time.Second
	haste    = 150 * time.Millisecond
)

func try(t *testing.T, within time.Duration, c probes.Check) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return Try(ctx, c)
}

func TestTryEndsAsTheTargetBehaves(t *testing.T) {
	const redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
	both := func(datagrams ...[]byte) [][]byte { return datagrams }
	for _, tt := range []struct {
		name   string
		within time.Duration
		check  probes.Check
		want   Result // Detail is a part of the text; empty: there must be none
	}{
		{"TCP: a listener that never accepts is reached", patience, check("TCP", "TCP", serve(t, silence)), Result{Outcome: probes.Reached}},
		{"TCP: nobody listens", patience, check("TCP", "TCP", closedPort(t)), Result{Outcome: probes.Refused, Detail: "connection refused"}},
		{"TCP: packets are dropped", haste, check("TCP", "TCP", blackhole(t)), Result{Outcome: probes.TimedOut, Detail: "timeout"}},

		{"HTTP: 200", patience, check("HTTP", "TCP", serve(t, says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))), Result{Outcome: probes.Reached, Status: 200}},
		{"HTTP: 503 is an answer", patience, check("HTTP", "TCP", serve(t, says("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"))), Result{Outcome: probes.Reached, Status: 503}},
		{"HTTP: a redirect is not followed", patience, check("HTTP", "TCP", serve(t, says(redirect))), Result{Outcome: probes.Reached, Status: 302}},
		{"HTTP: a body that never ends is not read", patience, check("HTTP", "TCP", serve(t, func(c *net.TCPConn) {
			says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")(c)
			silence(c)
		})), Result{Outcome: probes.Reached, Status: 200}},
		{"HTTP: something that is not HTTP was reached", patience, check("HTTP", "TCP", serve(t, says("220 mail\r\n"))), Result{Outcome: probes.Reached, Detail: hungUp}},
		{"HTTP: headers that never end are bounded", patience, check("HTTP", "TCP", serve(t, func(c *net.TCPConn) {
			says("HTTP/1.1 200 OK\r\nX: ")(c)
			for err := error(nil); err == nil; {
				_, err = c.Write(bytes.Repeat([]byte("x"), 4096))
			}
		})), Result{Outcome: probes.Reached, Detail: hungUp}},
		{"HTTP: a target that hangs up was reached", patience, check("HTTP", "TCP", serve(t, hangsUp)), Result{Outcome: probes.Reached, Detail: hungUp}},
		{"HTTP: a slow model was reached", haste, check("HTTP", "TCP", serve(t, silence)), Result{Outcome: probes.Reached, Detail: silent}},
		{"HTTP: half an answer was reached", haste, check("HTTP", "TCP", serve(t, func(c *net.TCPConn) {
			says("HTTP/1.1 200 OK\r\nX: ")(c)
			silence(c)
		})), Result{Outcome: probes.Reached, Detail: hungUp}},
		{"HTTP: a reset before any answer", patience, check("HTTP", "TCP", serve(t, resets)), Result{Outcome: probes.Reset, Detail: "reset by peer"}},
		{"HTTP: nobody listens", patience, check("HTTP", "TCP", closedPort(t)), Result{Outcome: probes.Refused, Detail: "connection refused"}},
		{"HTTP: packets are dropped", haste, check("HTTP", "TCP", blackhole(t)), Result{Outcome: probes.TimedOut, Detail: "timeout"}},

		{"DNS/UDP: an answer", patience, check("DNS", "UDP", serveUDP(t, func(q []byte) [][]byte { return both(reply(q)) })), Result{Outcome: probes.Reached}},
		{"DNS/UDP: answers to other questions are none", haste, check("DNS", "UDP", serveUDP(t, func(q []byte) [][]byte {
			wrong := reply(q)
			wrong[0] ^= 0xff
			return both(wrong, q, []byte("?"))
		})), Result{Outcome: probes.TimedOut, Detail: "timeout"}},
		{"DNS/UDP: nobody listens", patience, check("DNS", "UDP", closedPort(t)), Result{Outcome: probes.PortUnreachable, Detail: "connection refused"}},
		{"DNS/UDP: nobody answers", haste, check("DNS", "UDP", serveUDP(t, func([]byte) [][]byte { return nil })), Result{Outcome: probes.TimedOut, Detail: "timeout"}},
		{"DNS/TCP: an answer", patience, check("DNS", "TCP", serve(t, nameServerTCP)), Result{Outcome: probes.Reached}},
		{"DNS/TCP: a reset before any answer", patience, check("DNS", "TCP", serve(t, resets)), Result{Outcome: probes.Reset, Detail: "reset by peer"}},
		{"DNS/TCP: a silent server was reached", haste, check("DNS", "TCP", serve(t, silence)), Result{Outcome: probes.Reached, Detail: silent}},
		{"DNS/TCP: packets are dropped", haste, check("DNS", "TCP", blackhole(t)), Result{Outcome: probes.TimedOut, Detail: "timeout"}},

		{"a type of a newer plan is never tried", patience, check("SCTP", "SCTP", 1), Result{Detail: "not one this agent knows"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := try(t, tt.within, tt.check)
			if got.Outcome != tt.want.Outcome || got.Status != tt.want.Status || !strings.Contains(got.Detail, tt.want.Detail) || (tt.want.Detail == "") != (got.Detail == "") {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDNSStatusIsTheResponseCode(t *testing.T) {
	c := check("DNS", "UDP", serveUDP(t, func(q []byte) [][]byte { return [][]byte{reply(q)} }))
	c.Query = "unknown"
	if got := try(t, patience, c); got != (Result{Outcome: probes.Reached, Status: 3}) {
		t.Errorf("a name that does not exist: %+v", got)
	}
	c.Query = strings.Repeat("x", 64) + "."
	if got := try(t, patience, c); got.Outcome != probes.Unsent || got.Detail == "" {
		t.Errorf("a question that cannot be asked: %+v", got)
	}
}

func TestHTTPSaysWhoItIs(t *testing.T) {
	heard := make(chan string, 1)
	c := check("HTTP", "TCP", serve(t, func(conn *net.TCPConn) {
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf)
		heard <- string(buf[:n])
	}))
	try(t, patience, c)
	request := <-heard
	for _, want := range []string{"GET /health HTTP/1.1\r\n", "\r\nHost: 127.0.0.1:", "\r\nUser-Agent: tightrope-probe\r\n", "\r\nConnection: close\r\n"} {
		if !strings.Contains(request, want) {
			t.Errorf("the request lacks %q:\n%s", want, request)
		}
	}
}

// resolveAt makes names resolve at a loopback port for one test.
func resolveAt(t *testing.T, ports ...int32) {
	before := readNames
	readNames = func() namesConfig {
		c := namesConfig{ndots: 1, v4: true, v6: true}
		for _, port := range ports {
			c.servers = append(c.servers, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)))
		}
		return c
	}
	t.Cleanup(func() { readNames = before })
}

func TestNamesAreResolvedForEachAttempt(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	resolveAt(t, serveUDP(t, func(q []byte) [][]byte {
		mu.Lock()
		asked++
		mu.Unlock()
		return [][]byte{reply(q)}
	}))
	c := check("TCP", "TCP", serve(t, silence))
	c.Host = "known."
	last := 0
	for range 3 {
		if got := try(t, patience, c); got.Outcome != probes.Reached {
			t.Fatalf("%+v", got)
		}
		mu.Lock()
		if asked <= last {
			t.Error("an attempt did not ask the name server")
		}
		last = asked
		mu.Unlock()
	}
	c.Host = "unknown.example."
	if got := try(t, patience, c); got.Outcome != probes.DNSFailure || !strings.Contains(got.Detail, "no such host") {
		t.Errorf("a name that does not exist: %+v", got)
	}
}

// One lost question must not fail the attempts that follow it.
func TestALostQuestionFailsOneAttemptOnly(t *testing.T) {
	var mu sync.Mutex
	lost := map[string]bool{} // by kind of record
	resolveAt(t, serveUDP(t, func(q []byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		if kind := string(q[len(q)-20:]); len(lost) < 2 && !lost[kind] {
			lost[kind] = true
			return nil
		}
		return [][]byte{reply(q)}
	}))
	c := check("TCP", "TCP", serve(t, silence))
	c.Host = "known."
	first := make(chan Result)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 4*haste)
		defer cancel()
		first <- Try(ctx, c)
	}()
	for waiting := true; waiting; {
		mu.Lock()
		waiting = len(lost) < 2
		mu.Unlock()
	}
	if got := try(t, patience, c); got.Outcome != probes.Reached {
		t.Errorf("an attempt that overlaps one whose question was lost: %+v", got)
	}
	if got := <-first; got.Outcome != probes.DNSFailure {
		t.Errorf("the attempt whose question was lost: %+v", got)
	}
}

func TestNameServerOutOfReach(t *testing.T) {
	c := check("TCP", "TCP", closedPort(t))
	c.Host = "known."
	resolveAt(t, closedPort(t))
	if got := try(t, patience, c); got.Outcome != probes.DNSFailure {
		t.Errorf("a name server that refuses: %+v", got)
	}
	resolveAt(t, serveUDP(t, func([]byte) [][]byte { return nil }))
	if got := try(t, haste, c); got.Outcome != probes.DNSFailure {
		t.Errorf("a name server that is silent: %+v", got)
	}
}

func TestAnAttemptThatWasGivenUpIsUnsent(t *testing.T) {
	resolveAt(t, serveUDP(t, func([]byte) [][]byte { return nil }))
	named := check("TCP", "TCP", 1)
	named.Host = "known."
	for name, c := range map[string]probes.Check{
		"while it connects":           check("TCP", "TCP", blackhole(t)),
		"while it waits for HTTP":     check("HTTP", "TCP", serve(t, silence)),
		"while it waits for DNS":      check("DNS", "UDP", serveUDP(t, func([]byte) [][]byte { return nil })),
		"while it waits for DNS/TCP":  check("DNS", "TCP", serve(t, silence)),
		"while the name is looked up": named,
	} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		time.AfterFunc(haste/3, cancel)
		began := time.Now()
		if got := Try(ctx, c); got.Outcome != probes.Unsent {
			t.Errorf("%s: %+v", name, got)
		}
		if time.Since(began) > patience/2 {
			t.Errorf("%s: it was not broken off", name)
		}
		cancel()
	}
}

// A closed connection must not stay in TIME_WAIT: the local port is free at once.
func TestAttemptsLeaveNoSocketBehind(t *testing.T) {
	port := serve(t, silence)
	network := newNetwork(t)
	attempt := network.Start(check("HTTP", "TCP", port), nil)
	name, err := unix.Getsockname(attempt.fd)
	for err == nil && !attempt.established {
		network.Work()
	}
	attempt.Stop()
	if err != nil {
		t.Fatal(err)
	}
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}
	again, err := (&net.Dialer{LocalAddr: local}).Dial("tcp", net.JoinHostPort("127.0.0.1", itoa(port)))
	if err != nil {
		t.Fatalf("the local port of a closed attempt is still taken: %v", err)
	}
	again.Close()
}

func TestDetailIsBounded(t *testing.T) {
	long := strings.Repeat("é", probes.MaxDetail) + "\xff"
	if got := clip(long); len(got) > probes.MaxDetail || strings.ContainsRune(got, '\uFFFD') || strings.Trim(got, "é") != "" {
		t.Errorf("clipped to %q", got)
	}
	a := &Attempt{network: &Network{}, fd: -1}
	if a.end(a.failure(errors.New("a\nb"))); a.result.Outcome != probes.Unsent || !strings.HasSuffix(a.result.Detail, "a; b") {
		t.Errorf("an error nobody knows: %+v", a.result)
	}
}
