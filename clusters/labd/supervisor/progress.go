package supervisor

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
	Stage string `json:"stage,omitempty"` // with Error: namespaces, when the kernel refused the lab its isolation
}

// reporter writes events as JSON lines. Its reader may be gone: a lab that was
// detached has nobody to tell, so write errors are dropped.
type reporter struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
}

func newReporter(w io.Writer) *reporter { return &reporter{w: w, start: time.Now()} }

func (r *reporter) send(e Event) {
	b, err := json.Marshal(e)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.w.Write(append(b, '\n'))
}

// step says that a part of the lab works, and how long after the start.
func (r *reporter) step(name string) {
	r.send(Event{Step: name, State: "ready", Seconds: time.Since(r.start).Round(time.Millisecond).Seconds()})
}

func (r *reporter) fail(stage string, err error) { r.send(Event{Error: err.Error(), Stage: stage}) }
