package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// started runs a twin on free ports, one per protocol, until the test ends.
func started(t *testing.T, protocols ...string) map[string]int {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var want []port
	for _, p := range protocols {
		want = append(want, port{0, p})
	}
	open := make(chan port, len(want))
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, want, "n0nce", func(p port) { open <- p }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	ports := map[string]int{}
	for range want {
		select {
		case p := <-open:
			ports[p.protocol] = p.number
		case err := <-ended:
			t.Fatal(err)
		}
	}
	return ports
}

func TestTwinAnswersEveryPath(t *testing.T) {
	url := "http://127.0.0.1:" + strconv.Itoa(started(t, "tcp")["tcp"])
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/", "/health/liveliness", "/v1/chat?x=%00"} {
		reply, err := client.Post(url+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode != 200 || reply.Header.Get(nonceHeader) != "n0nce" {
			t.Errorf("%s: %s, nonce %q", path, reply.Status, reply.Header.Get(nonceHeader))
		}
	}
}

// What an agent tries at a twin must reach it, over both protocols.
func TestAgentsReachATwin(t *testing.T) {
	ports := started(t, "tcp", "udp")
	for _, c := range []probes.Check{
		{Type: "TCP", Protocol: "TCP", Port: int32(ports["tcp"])},
		{Type: "HTTP", Protocol: "TCP", Port: int32(ports["tcp"]), Path: "/"},
		{Type: "DNS", Protocol: "TCP", Port: int32(ports["tcp"]), Query: "kubernetes.default.svc.cluster.local."},
		{Type: "DNS", Protocol: "UDP", Port: int32(ports["udp"]), Query: "kubernetes.default.svc.cluster.local."},
	} {
		c.Host = "127.0.0.1"
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if r := dial.Try(ctx, c); r.Outcome != probes.Reached {
			t.Errorf("%s over %s: %+v", c.Type, c.Protocol, r)
		}
		cancel()
	}
}

func ask(t *testing.T, port int, datagram []byte, patience time.Duration) []byte {
	t.Helper()
	conn, err := net.Dial("udp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(datagram); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, _ := conn.Read(buf)
	return buf[:n]
}

func TestDatagramsAreEchoedWithTheNonce(t *testing.T) {
	port := started(t, "udp")["udp"]
	echo := ask(t, port, []byte("hello"), 5*time.Second)
	if string(echo) != "tightrope-twin n0nce\nhello" {
		t.Errorf("echo %q", echo)
	}
	if again := ask(t, port, echo, 100*time.Millisecond); len(again) > 0 {
		t.Errorf("a twin answers a twin: %q", again)
	}
}

func TestADNSAnswerCarriesTheNonceAndIsNotAnswered(t *testing.T) {
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName("a."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	raw, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answer := refuseDNS(raw, "n0nce")
	if !bytes.Contains(answer, []byte("n0nce")) {
		t.Errorf("no nonce in %q", answer)
	}
	if again := refuseDNS(answer, "n0nce"); again != nil {
		t.Errorf("an answer is answered: %q", again)
	}
	if refuseDNS([]byte("hello, I am not a question"), "n0nce") != nil {
		t.Error("text is taken for a question")
	}
}

func TestWrongCallsExitWithTwo(t *testing.T) {
	for _, args := range [][]string{nil, {"--listen", ""}, {"--listen", "0/TCP"}, {"--listen", "70000"}, {"--listen", "80/SCTP"}, {"--listen", "80", "x"}, {"--plan", "x"}} {
		var stderr bytes.Buffer
		if code := run(context.Background(), args, "", &stderr); code != 2 || stderr.Len() == 0 {
			t.Errorf("%q: exit %d, %q", args, code, &stderr)
		}
	}
	if code := run(context.Background(), []string{"--listen", "8080"}, "a\r\nb", &bytes.Buffer{}); code != 2 {
		t.Errorf("a nonce that splits headers: exit %d", code)
	}
	if ports, err := parsePorts("8080,53/UDP"); err != nil || len(ports) != 2 || ports[0].String() != "8080/TCP" || ports[1].String() != "53/UDP" {
		t.Errorf("%v, %v", ports, err)
	}
}

func TestAPortThatIsTakenExitsWithOne(t *testing.T) {
	taken := started(t, "tcp")["tcp"]
	var stderr bytes.Buffer
	code := run(context.Background(), []string{"--listen", strconv.Itoa(taken)}, "", &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "in use") {
		t.Errorf("exit %d, %q", code, &stderr)
	}
	// Ports that could be opened must not keep the twin alive.
	err := serve(context.Background(), []port{{0, "tcp"}, {0, "udp"}, {taken, "tcp"}}, "", func(port) {})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}
