package standin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSteadyCallsShowInMetricsAndSoDoesACut(t *testing.T) {
	store := start(t, Config{Profile: "feast"}, Options{})
	address := store.address("http")
	batch := start(t, Config{Profile: "batch", Every: "5ms", Calls: []Call{call("feast", "features", address)}}, Options{})
	metric := func(outcome string) string {
		return fmt.Sprintf(`standin_calls_total{outcome=%q,target=%q}`, outcome, address)
	}
	counts := func(outcome string) float64 {
		_, body := get(t, batch.url("metrics", "/metrics"))
		for line := range strings.Lines(body) {
			if rest, found := strings.CutPrefix(line, metric(outcome)+" "); found {
				n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
		t.Fatalf("no series %s in\n%s", metric(outcome), body)
		return 0
	}
	eventually(t, "three good calls", func() bool { return counts("ok") >= 3 })
	if got := counts("refused"); got != 0 {
		t.Errorf("%v refused calls while the target is up; the series must exist and be 0", got)
	}
	_, body := get(t, batch.url("metrics", "/metrics"))
	if !strings.Contains(body, fmt.Sprintf("standin_last_success_timestamp_seconds{target=%q} 1.", address)) {
		t.Errorf("no time of the last success in\n%s", body)
	}
	store.stop()
	eventually(t, "a refused call", func() bool { return counts("refused") > 0 })
}

func TestTheGatewaySaysWhichTargetFails(t *testing.T) {
	store := start(t, Config{Profile: "qdrant"}, Options{})
	gone := closedPort(t)
	gateway := start(t, Config{Profile: "litellm", Calls: []Call{
		call("vllm", "chat", gone), call("qdrant", "search", store.address("http")),
	}}, Options{})
	resp, err := http.Post(gateway.url("api", "/v1/chat/completions"), "application/json", strings.NewReader(streamingChat))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(body), gone) {
		t.Errorf("chat answers %d: %s", resp.StatusCode, body)
	}
	if status, body := get(t, gateway.url("api", "/health/readiness")); status != http.StatusServiceUnavailable || !strings.Contains(body, gone) {
		t.Errorf("readiness answers %d: %s", status, body)
	}
	if status, _ := get(t, gateway.url("api", "/health/liveliness")); status != http.StatusOK {
		t.Errorf("liveliness answers %d: the kubelet would restart a pod whose path was cut", status)
	}
	if _, body := get(t, gateway.url("metrics", "/metrics")); !strings.Contains(body, `outcome="refused",target="`+gone+`"} 1`) {
		t.Errorf("the failure does not show in\n%s", body)
	}
}

func TestTheForbiddenHealthPathCostsACall(t *testing.T) {
	model := start(t, Config{Profile: "vllm"}, Options{TokenEvery: time.Millisecond})
	gateway := start(t, Config{Profile: "litellm", Calls: []Call{call("vllm", "chat", model.address("api"))}}, Options{})
	paid := `standin_calls_total{outcome="ok",target="` + model.address("api") + `"} `
	get(t, gateway.url("api", "/health/liveliness"))
	if _, body := get(t, gateway.url("metrics", "/metrics")); !strings.Contains(body, paid+"0") {
		t.Errorf("the safe path made a call:\n%s", body)
	}
	get(t, gateway.url("api", "/health"))
	if _, body := get(t, gateway.url("metrics", "/metrics")); !strings.Contains(body, paid+"1") {
		t.Errorf("the forbidden path made no call, unlike the real one:\n%s", body)
	}
}

func TestAStreamThatStopsEarlyIsBroken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "data: {}\n\n")
	})}
	go server.Serve(l)
	defer server.Close()
	c, err := newClient(call("vllm", "chat", l.Addr().String()), newMetrics("litellm"), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.send(t.Context(), c.call.Address, strings.NewReader(c.request.Body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := c.read(resp.Body); classify(err) != broken || !strings.Contains(err.Error(), "after 1 tokens") {
		t.Errorf("read: %v", err)
	}
}

func TestOutcomesBySystemError(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)} }
	for _, tt := range []struct {
		err  error
		want outcome
	}{
		{nil, ok},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}, dnsFailure},
		{dial(syscall.ECONNREFUSED), refused},
		{dial(syscall.ECONNRESET), reset},
		{dial(syscall.EHOSTUNREACH), unreachable},
		{dial(syscall.ETIMEDOUT), timedOut},
		{context.DeadlineExceeded, timedOut},
		{fmt.Errorf("%w 502", errStatus), badStatus},
		{errors.New("malformed HTTP response"), broken},
	} {
		if got := classify(tt.err); got != tt.want {
			t.Errorf("classify(%v) = %s, want %s", tt.err, got, tt.want)
		}
	}
}

func TestBadConfigurationIsRefused(t *testing.T) {
	good := call("litellm", "chat", "llm-gateway.ai.svc:4000")
	if got, err := ParseCall(good.String()); err != nil || got != good {
		t.Fatalf("ParseCall(%q) = %+v, %v", good, got, err)
	}
	for _, text := range []string{"", "litellm@x:1", "litellm/chat", "litellm/sing@x:1", "nobody/chat@x:1", "litellm/chat@x", "litellm/chat@x:0", "litellm/chat@:4000", "litellm/chat@x:99999"} {
		if c, err := ParseCall(text); err == nil {
			t.Errorf("ParseCall(%q) = %+v, want an error", text, c)
		}
	}
	for _, c := range []Config{{}, {Profile: "nobody"}, {Profile: "batch", Every: "soon"}, {Profile: "batch", Every: "0s"}, {Profile: "batch", Calls: []Call{{}}}} {
		if _, err := New(c, Options{}); err == nil {
			t.Errorf("New(%+v) has no error", c)
		}
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("profile: batch\nspeed: high\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(file); err == nil || !strings.Contains(err.Error(), "speed") {
		t.Errorf("an unknown field: %v", err)
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
