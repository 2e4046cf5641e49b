package warden

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Event is one line on the progress pipe. Exactly one of Step, Ready and Error
// is set. The zero Event says nothing and is never sent.
type Event struct {
	Step    string  `json:"step,omitempty"`
	State   string  `json:"state,omitempty"` // with Step: ready
	Seconds float64 `json:"seconds,omitempty"`

	Ready      bool   `json:"ready,omitempty"`
	Kubeconfig string `json:"kubeconfig,omitempty"` // with Ready: its path; between supervisor and warden, its content

	Error string `json:"error,omitempty"`
	Stage string `json:"stage,omitempty"` // with Error: namespaces, when the kernel refused the lab its isolation; usage, when what was asked for cannot be
}

// reporter writes events as JSON lines. Its reader may be gone: a lab that was
// detached has nobody to tell, so write errors are dropped.
type Reporter struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
}

func NewReporter(w io.Writer) *Reporter { return &Reporter{w: w, start: time.Now()} }

func (r *Reporter) Send(e Event) {
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.w.Write(append(b, '\n'))
}

// step says that a part of the lab works, and how long after the start.
func (r *Reporter) Step(name string) {
	r.Send(Event{Step: name, State: "ready", Seconds: time.Since(r.start).Round(time.Millisecond).Seconds()})
}

func (r *Reporter) Fail(stage string, err error) { r.Send(Event{Error: err.Error(), Stage: stage}) }
