package catalog

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestEveryProfileOfThePlatformIsKnown(t *testing.T) {
	want := []string{"batch", "chat-api", "feast", "litellm", "notebook", "platform-admin", "prometheus", "qdrant", "rag-worker", "vllm"}
	if got := Names(); !slices.Equal(got, want) {
		t.Fatalf("Names() = %v, want %v", got, want)
	}
	for _, name := range want {
		if p, err := Get(name); err != nil || p.Name != name {
			t.Errorf("Get(%q) = %v, %v", name, p, err)
		}
	}
}

func TestFactsThatAProbeDependsOn(t *testing.T) {
	for _, tt := range []struct {
		profile, port string
		number        int32
		path          string
	}{
		{"litellm", "api", 4000, "/health/liveliness"},
		{"litellm", "admin", 8001, "/health/liveliness"},
		{"vllm", "api", 8000, "/health"},
		{"qdrant", "http", 6333, "/readyz"},
		{"qdrant", "grpc", 6334, "/readyz"},
		{"feast", "http", 6566, "/health"},
		{"notebook", "sink", 443, ""},
	} {
		p, err := Get(tt.profile)
		if err != nil {
			t.Fatal(err)
		}
		if port, ok := p.Port(tt.port); !ok || port.Number != tt.number {
			t.Errorf("%s port %s = %+v, want %d", tt.profile, tt.port, port, tt.number)
		}
		if p.Probe.Path != tt.path {
			t.Errorf("%s probe path = %q, want %q", tt.profile, p.Probe.Path, tt.path)
		}
	}
}

func TestForbiddenRequests(t *testing.T) {
	for _, tt := range []struct {
		profile, method, path string
		want                  bool
	}{
		{"litellm", "GET", "/health", true},
		{"litellm", "GET", "/health/", true},
		{"litellm", "GET", "/health?model=x", true},
		{"litellm", "GET", "/health/liveliness", false},
		{"litellm", "POST", "/key/generate", true},
		{"litellm", "GET", "/v1/models", false},
		{"litellm", "POST", "/v1/chat/completions", true},
		{"vllm", "GET", "/health", false},
		{"vllm", "", "/pause", true},
		{"qdrant", "POST", "/collections/docs/points/search", false},
		{"feast", "POST", "/push", true},
	} {
		p, err := Get(tt.profile)
		if err != nil {
			t.Fatal(err)
		}
		if why, got := p.Forbids(tt.method, tt.path); got != tt.want || got && why == "" {
			t.Errorf("%s: Forbids(%q, %q) = %q, %v; want %v", tt.profile, tt.method, tt.path, why, got, tt.want)
		}
	}
}

func TestGetNamesWhatThereIs(t *testing.T) {
	_, err := Get("ollama2")
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "litellm") {
		t.Errorf("Get of an unknown profile: %v", err)
	}
}

func TestLoaderRefusesAMisleadingProfile(t *testing.T) {
	const good = `name: x
title: X
ports:
- {name: api, number: 80, purpose: api, source: known}
- {name: back, number: 81, purpose: admin, source: known}
probe: {type: HTTP, port: api, path: /ok, source: known}
requests:
- {name: use, method: POST, port: back, path: /use, body: '{}', source: known}
forbidden:
- {path: /bad, why: it breaks, source: known}
`
	if _, err := load(fstest.MapFS{"x.yaml": {Data: []byte(good)}}); err != nil {
		t.Fatalf("the base case is refused: %v", err)
	}
	for _, tt := range []struct{ name, old, with, want string }{
		{"unknown field", "title: X", "title: X\ncolour: red", "colour"},
		{"file of another name", "name: x", "name: y", "name the file after"},
		{"forbidden probe", "path: /ok", "path: /bad", "forbids: it breaks"},
		{"probe of no port", "port: api", "port: web", "does not list"},
		{"fact without a source", "path: /ok, source: known", "path: /ok", "the probe: source"},
		{"port out of range", "number: 80", "number: 65536", "outside 1 to 65535"},
		{"unknown purpose", "purpose: api", "purpose: fun", "purpose"},
		{"request to no port", "port: back", "port: front", "does not list"},
		{"request with a broken body", "body: '{}'", "body: '{'", "not JSON"},
		{"unknown probe type", "type: HTTP", "type: ICMP", "ICMP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.with, 1)
			_, err := load(fstest.MapFS{"x.yaml": {Data: []byte(bad)}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not contain %q", err, tt.want)
			}
		})
	}
}
