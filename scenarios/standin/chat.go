package standin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// streamEnd is what an OpenAI-style stream of server-sent events ends with.
const streamEnd = "[DONE]"

// reply is what the model always says.
var reply = strings.Fields("You may reach what a policy allows, and nothing else; everything else was tried.")

// modelAPI is a model server: it streams tokens, or sends them all at once.
func (s *Server) modelAPI(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/chat/completions", s.generate)
	mux.HandleFunc("GET /v1/models", listModels)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"version": "stand-in"})
	})
}

// chatAPI is the application: whoever posts to it gets a chat from the gateway.
func (s *Server) chatAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("POST /chat", func(w http.ResponseWriter, r *http.Request) {
		chat, err := readChat(w, r)
		gateway := s.client("chat")
		switch {
		case err != nil:
			refuse(w, http.StatusBadRequest, err.Error())
		case gateway == nil:
			refuse(w, http.StatusServiceUnavailable, "this application has no gateway: give it a call such as litellm/chat@llm-gateway.ai.svc:4000")
		default:
			gateway.relay(w, r, chat)
		}
	})
}

// chatRequest is the part of the OpenAI request that matters here.
type chatRequest struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
}

// readChat reads and checks a chat request and returns its bytes.
func readChat(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("read the chat: %w", err)
	}
	var chat chatRequest
	if err := json.Unmarshal(raw, &chat); err != nil {
		return nil, fmt.Errorf("the chat is not JSON: %w", err)
	}
	if len(chat.Messages) == 0 {
		return nil, errors.New("the chat has no messages")
	}
	return raw, nil
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request) {
	raw, err := readChat(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	var chat chatRequest
	if err := json.Unmarshal(raw, &chat); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if chat.Stream {
		s.stream(w, r)
		return
	}
	answer(w, http.StatusOK, completion("chat.completion", "message", strings.Join(reply, " "), "stop"))
}

// stream sends one token at a time and stops when the caller is gone.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	out := flusher{w, http.NewResponseController(w)}
	tick := time.NewTicker(s.options.TokenEvery)
	defer tick.Stop()
	for _, token := range reply {
		chunk, err := json.Marshal(completion("chat.completion.chunk", "delta", token+" ", nil))
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(out, "data: %s\n\n", chunk); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
	fmt.Fprintf(out, "data: %s\n\n", streamEnd) // a caller that hung up is no error of ours
}

// completion is an OpenAI completion or one chunk of it.
func completion(object, field, content string, finish any) map[string]any {
	return map[string]any{
		"id": "chatcmpl-standin", "object": object, "created": time.Now().Unix(), "model": "stand-in",
		"choices": []any{map[string]any{
			"index": 0, "finish_reason": finish,
			field: map[string]string{"role": "assistant", "content": content},
		}},
	}
}

func listModels(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"object": "list", "data": []any{
		map[string]string{"id": "stand-in", "object": "model", "owned_by": "tightrope"},
	}})
}
