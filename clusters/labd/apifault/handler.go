package apifault

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// Handler stands before all of the API server: a request that it delays takes
// nobody else's turn.
type Handler struct {
	Next  http.Handler
	Users authenticator.Request // says who asks
	Infos apirequest.RequestInfoResolver
	Path  string // of the File
	Log   func(format string, args ...any)

	mu    sync.Mutex
	known os.FileInfo // of the file that rules are from; nil: there was none
	rules []Rule
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, rule := range h.current() {
		if !rule.matches(h.describe(rule, r)) || strings.HasPrefix(r.UserAgent(), Exempt) {
			continue
		}
		if rule.Delay > 0 {
			select {
			case <-time.After(rule.Delay):
			case <-r.Context().Done():
				return
			}
		}
		if rule.Status != 0 {
			fail(w, rule.Status)
			return
		}
	}
	h.Next.ServeHTTP(w, r)
}

// current reads the file again when it is another one.
func (h *Handler) current() []Rule {
	now, err := os.Stat(h.Path)
	if err != nil {
		now = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case now == nil:
		h.known, h.rules = nil, nil
	case h.known == nil || !os.SameFile(now, h.known) || !now.ModTime().Equal(h.known.ModTime()):
		var rules []Rule
		b, err := os.ReadFile(h.Path)
		if err == nil {
			err = json.Unmarshal(b, &rules)
		}
		if err != nil {
			h.Log("rules for requests: %v", err)
			return h.rules
		}
		h.known, h.rules = now, rules
	}
	return h.rules
}

// describe finds out what the rule asks about. It works on a copy of the request,
// because authenticators take credentials out of it.
func (h *Handler) describe(rule Rule, r *http.Request) request {
	q := request{agent: r.UserAgent()}
	if rule.User != "" {
		if who, ok, err := h.Users.AuthenticateRequest(r.Clone(r.Context())); ok && err == nil {
			q.user = who.User.GetName()
		}
	}
	if info, err := h.Infos.NewRequestInfo(r); err == nil {
		q.verb, q.resource = info.Verb, info.Resource
		if info.Subresource != "" {
			q.resource += "/" + info.Subresource
		}
	}
	return q
}

// fail answers as the API server would.
func fail(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(status),
		Reason:  metav1.StatusReason(strings.ReplaceAll(http.StatusText(status), " ", "")),
		Message: fmt.Sprintf("the lab fails this request on purpose (%d %s)", status, http.StatusText(status)),
	})
}
