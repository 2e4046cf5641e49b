package standin

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/tightrope-dev/tightrope/catalog"
)

// maxBody bounds what is read of a request, in bytes.
const maxBody = 1 << 20

// behaviour is what a profile's ports do beyond health and metrics.
type behaviour struct {
	ports map[string]func(*Server, *http.ServeMux) // by the port's name
	// onDemand services call others only while they answer somebody themselves;
	// the rest call steadily, on their own account.
	onDemand bool
}

func (b behaviour) steady() bool { return !b.onDemand }

// behaviours by profile. A profile that is not here serves its health path and
// its metrics and makes its calls: that is all a client needs.
var behaviours = map[string]behaviour{
	"litellm": {onDemand: true, ports: map[string]func(*Server, *http.ServeMux){
		"api": (*Server).gatewayAPI, "admin": (*Server).gatewayAdmin,
	}},
	"vllm":     {ports: map[string]func(*Server, *http.ServeMux){"api": (*Server).modelAPI}},
	"qdrant":   {ports: map[string]func(*Server, *http.ServeMux){"http": (*Server).vectorAPI}},
	"feast":    {ports: map[string]func(*Server, *http.ServeMux){"http": (*Server).featureAPI}},
	"chat-api": {ports: map[string]func(*Server, *http.ServeMux){"http": (*Server).chatAPI}},
}

// handler is what a port answers; nil means that the port stays closed.
func (s *Server) handler(port catalog.Port) http.Handler {
	mux := http.NewServeMux()
	switch port.Purpose {
	case catalog.PurposePeer:
		return nil // one replica has no peers
	case catalog.PurposeGRPC:
		return http.HandlerFunc(unimplemented)
	case catalog.PurposeSink:
		return http.HandlerFunc(swallow)
	case catalog.PurposeMetrics:
		mux.Handle("GET /metrics", s.metrics.handler())
		mux.HandleFunc("GET /healthz", alive)
	}
	if port.Name == s.profile.Probe.Port && s.profile.Probe.Path != "/healthz" {
		mux.HandleFunc("GET "+s.profile.Probe.Path, alive)
	}
	if add := behaviours[s.profile.Name].ports[port.Name]; add != nil {
		add(s, mux)
	}
	return mux
}

// client finds a configured call by the name of its request; nil if there is none.
func (s *Server) client(request string) *client {
	for _, c := range s.clients {
		if c.request.Name == request {
			return c
		}
	}
	return nil
}

// summarise logs how the calls are doing, every half minute: enough to follow
// and too little to fill a disk.
func (s *Server) summarise(ctx context.Context) error {
	s.options.Log.Info("serving", "profile", s.profile.Name, "calls", len(s.clients))
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.options.Log.Info("stopped", "profile", s.profile.Name)
			return nil
		case <-tick.C:
		}
		for _, c := range s.clients {
			if last, called := c.last.Load().(outcome); called {
				s.options.Log.Info("call", "target", c.call.Address, "request", c.request.Name, "outcome", string(last))
			}
		}
	}
}

func alive(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "I'm alive!") }

// swallow takes whatever is sent, as the far end of an exfiltration would.
func swallow(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// unimplemented is a gRPC server without services: status 12, in the headers,
// which is how gRPC writes an answer that has no message.
func unimplemented(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", "12")
	w.Header().Set("Grpc-Message", "the stand-in has no gRPC services")
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // a caller that hung up is no error of ours
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]any{"error": map[string]any{"message": why, "code": status}})
}
