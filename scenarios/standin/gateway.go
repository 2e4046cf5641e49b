package standin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// gatewayAPI is the gateway that applications talk to. For every chat it
// searches the vector store and then lets the model answer, streaming through.
func (s *Server) gatewayAPI(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/chat/completions", s.relayChat)
	mux.HandleFunc("GET /v1/models", listModels)
	mux.HandleFunc("GET /health/readiness", s.readiness)
	mux.HandleFunc("GET /health", s.paidHealth)
}

// gatewayAdmin is the port that only the platform's administrators may reach.
func (s *Server) gatewayAdmin(mux *http.ServeMux) {
	mux.HandleFunc("GET /admin/status", func(w http.ResponseWriter, _ *http.Request) {
		targets := []string{}
		for _, c := range s.clients {
			targets = append(targets, c.call.String())
		}
		answer(w, http.StatusOK, map[string]any{"profile": s.profile.Name, "calls": targets})
	})
}

func (s *Server) relayChat(w http.ResponseWriter, r *http.Request) {
	chat, err := readChat(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if search := s.client("search"); search != nil {
		if err := search.ask(r.Context()); err != nil {
			refuse(w, http.StatusBadGateway, fmt.Sprintf("retrieval from %s failed: %v", search.call.Address, err))
			return
		}
	}
	model := s.client("chat")
	if model == nil {
		refuse(w, http.StatusServiceUnavailable, "this gateway has no model: give it a call such as vllm/chat@model.ai.svc:8000")
		return
	}
	model.relay(w, r, chat)
}

// readiness tries the services behind the gateway, by name and for real. The
// kubelet does not use it: a cut path shall show in metrics, not restart pods.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	checks, status := map[string]string{}, http.StatusOK
	for _, c := range s.clients {
		checks[c.call.Address] = "connected"
		if err := c.reachable(r.Context()); err != nil {
			checks[c.call.Address], status = err.Error(), http.StatusServiceUnavailable
		}
	}
	answer(w, status, map[string]any{"status": http.StatusText(status), "checks": checks})
}

// paidHealth does what the real one does on /health, and why no probe may call
// it: a generation on every model.
func (s *Server) paidHealth(w http.ResponseWriter, r *http.Request) {
	model := s.client("chat")
	if model == nil {
		answer(w, http.StatusOK, map[string]int{"healthy_count": 0, "unhealthy_count": 0})
		return
	}
	if err := model.ask(r.Context()); err != nil {
		answer(w, http.StatusOK, map[string]int{"healthy_count": 0, "unhealthy_count": 1})
		return
	}
	answer(w, http.StatusOK, map[string]int{"healthy_count": 1, "unhealthy_count": 0})
}

// ask makes the call once, counts it, and says how it ended.
func (c *client) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	started := time.Now()
	resp, err := c.send(ctx, c.call.Address, strings.NewReader(c.request.Body))
	if err == nil {
		err = c.read(resp.Body)
		resp.Body.Close()
	}
	c.note(ctx, err, time.Since(started))
	return err
}

// relay sends the caller's own request on and passes the answer back piece by
// piece. It is a success once the answer has ended as it should.
func (c *client) relay(w http.ResponseWriter, r *http.Request, body []byte) {
	started := time.Now()
	resp, err := c.send(r.Context(), c.call.Address, bytes.NewReader(body))
	if err != nil {
		c.note(r.Context(), err, time.Since(started))
		refuse(w, http.StatusBadGateway, fmt.Sprintf("model %s failed: %v", c.call.Address, err))
		return
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), http.Header{"Content-Type": resp.Header["Content-Type"], "Cache-Control": {"no-cache"}})
	_, err = io.Copy(flusher{w, http.NewResponseController(w)}, io.LimitReader(resp.Body, maxAnswer))
	c.note(r.Context(), err, time.Since(started))
}

// reachable opens a connection to the target, by name, and closes it.
func (c *client) reachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := fresh.DialContext(ctx, "tcp", c.call.Address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// flusher sends every piece on as soon as it is written.
type flusher struct {
	io.Writer
	controller *http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.controller.Flush()
	}
	return n, err
}
