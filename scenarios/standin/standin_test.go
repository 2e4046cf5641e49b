package standin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/catalog"
)

// running is a stand-in on loopback ports of the system's choice.
type running struct {
	mu        sync.Mutex
	addresses map[string]string // by port name
	stop      func()
}

func (r *running) url(port, path string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return "http://" + r.addresses[port] + path
}

func (r *running) address(port string) string { return strings.TrimPrefix(r.url(port, ""), "http://") }

// start runs a stand-in until the test ends and fails the test if it does not
// stop cleanly.
func start(t *testing.T, c Config, o Options) *running {
	t.Helper()
	r := &running{addresses: map[string]string{}}
	o.Log = slog.New(slog.DiscardHandler)
	o.Listen = func(ctx context.Context, port catalog.Port) (net.Listener, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err == nil {
			r.mu.Lock()
			r.addresses[port.Name] = l.Addr().String()
			r.mu.Unlock()
		}
		return l, err
	}
	s, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s ended with %v", c.Profile, err)
		}
	})
	t.Cleanup(r.stop)
	want := 0
	for _, p := range s.profile.Ports {
		if s.handler(p) != nil {
			want++
		}
	}
	eventually(t, "every port open", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.addresses) == want
	})
	return r
}

// eventually waits for something that happens in another goroutine's own time.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 5s for: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func call(profile, request, address string) Call {
	return Call{Profile: profile, Request: request, Address: address}
}

const streamingChat = `{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hello"}]}`

func TestEveryProfileIsAliveOnItsSafePath(t *testing.T) {
	for _, name := range catalog.Names() {
		t.Run(name, func(t *testing.T) {
			r := start(t, Config{Profile: name}, Options{})
			p, err := catalog.Get(name)
			if err != nil {
				t.Fatal(err)
			}
			if p.Probe.Type == "HTTP" {
				if status, body := get(t, r.url(p.Probe.Port, p.Probe.Path)); status != 200 {
					t.Errorf("%s answers %d: %s", p.Probe.Path, status, body)
				}
			}
			if status, body := get(t, r.url("metrics", "/metrics")); status != 200 || !strings.Contains(body, `standin_info{profile="`+name+`"} 1`) {
				t.Errorf("/metrics answers %d: %.200s", status, body)
			}
			for port := range r.addresses {
				conn, err := net.Dial("tcp", r.address(port))
				if err != nil {
					t.Errorf("port %s: %v", port, err)
					continue
				}
				conn.Close()
			}
		})
	}
}

func TestTokensArriveOneByOneThroughTheGateway(t *testing.T) {
	const pause = 30 * time.Millisecond
	model := start(t, Config{Profile: "vllm"}, Options{TokenEvery: pause})
	store := start(t, Config{Profile: "qdrant"}, Options{})
	gateway := start(t, Config{Profile: "litellm", Calls: []Call{
		call("vllm", "chat", model.address("api")), call("qdrant", "search", store.address("http")),
	}}, Options{})

	resp, err := http.Post(gateway.url("api", "/v1/chat/completions"), "application/json", strings.NewReader(streamingChat))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	var arrived []time.Time
	var text strings.Builder
	ended := false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		data, isData := strings.CutPrefix(lines.Text(), "data: ")
		if !isData {
			continue
		}
		if data == streamEnd {
			ended = true
			continue
		}
		arrived = append(arrived, time.Now())
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil || len(chunk.Choices) != 1 {
			t.Fatalf("chunk %s: %v", data, err)
		}
		text.WriteString(chunk.Choices[0].Delta.Content)
	}
	if !ended || len(arrived) != len(reply) || strings.TrimSpace(text.String()) != strings.Join(reply, " ") {
		t.Fatalf("%d tokens, ended %v: %q", len(arrived), ended, text.String())
	}
	// All at once would be a stream in name only. Half of the ideal span leaves
	// room for a busy machine that bunches some of them.
	if span, ideal := arrived[len(arrived)-1].Sub(arrived[0]), time.Duration(len(reply)-1)*pause; span < ideal/2 {
		t.Errorf("%d tokens arrived within %v, so they were not streamed", len(arrived), span)
	}
	eventually(t, "the gateway counts its own calls", func() bool {
		_, body := get(t, gateway.url("metrics", "/metrics"))
		return strings.Contains(body, `standin_calls_total{outcome="ok",target="`+model.address("api")+`"} 1`) &&
			strings.Contains(body, `standin_calls_total{outcome="ok",target="`+store.address("http")+`"} 1`)
	})
	eventually(t, "the model counts the request", func() bool {
		_, body := get(t, model.url("metrics", "/metrics"))
		return strings.Contains(body, `standin_requests_total{code="200",port="api"} 1`)
	})
}

func TestAChatWithoutStreamIsOneAnswer(t *testing.T) {
	model := start(t, Config{Profile: "vllm"}, Options{})
	body := strings.Replace(streamingChat, "true", "false", 1)
	resp, err := http.Post(model.url("api", "/v1/chat/completions"), "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Object  string
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Object != "chat.completion" {
		t.Fatalf("%+v, %v", got, err)
	}
	if want := strings.Join(reply, " "); got.Choices[0].Message.Content != want {
		t.Errorf("content %q, want %q", got.Choices[0].Message.Content, want)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	model := start(t, Config{Profile: "vllm"}, Options{})
	store := start(t, Config{Profile: "qdrant"}, Options{})
	feast := start(t, Config{Profile: "feast"}, Options{})
	for _, tt := range []struct{ name, url, body string }{
		{"chat that is not JSON", model.url("api", "/v1/chat/completions"), "{"},
		{"chat without messages", model.url("api", "/v1/chat/completions"), `{"stream": true}`},
		{"chat that never ends", model.url("api", "/v1/chat/completions"), strings.Repeat("x", maxBody+1)},
		{"search without a vector", store.url("http", "/collections/docs/points/search"), `{"limit": 3}`},
		{"search for everything", store.url("http", "/collections/docs/points/search"), `{"vector": [1], "limit": 1000000}`},
		{"features of nobody", feast.url("http", "/get-online-features"), `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := http.Post(tt.url, "application/json", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("status %d, want 400", resp.StatusCode)
			}
		})
	}
}
