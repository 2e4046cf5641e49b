package lab

import (
	"context"
	"fmt"
	"time"
)

// The kinds of fault.
const (
	FaultKill      = "kill"      // Targets are gone until the end, then started anew
	FaultPause     = "pause"     // Targets stand still; a node's network is silent, too
	FaultPartition = "partition" // nodes of different Groups do not hear each other
	FaultLoss      = "loss"      // Percent of the packets between From and To are dropped
	FaultAPI       = "api"       // requests that match Rule are delayed or fail
	FaultDataplane = "dataplane" // the data planes of Targets have another Profile
)

// FaultAnnotation on a Node holds a fault of that node as long as it is there:
// kill, pause, partition (from all other nodes) or partition=NAME,… (from these).
// DataplaneAnnotation gives a Node's data plane a profile, or a NetworkPolicy one of
// its own (policies, delay, updates and resync only).
const (
	FaultAnnotation     = "lab.tightrope.dev/fault"
	DataplaneAnnotation = "lab.tightrope.dev/dataplane"
)

// Names that a fault's targets and groups may have besides those of nodes
// (node-1, node-2, …) and of the control plane's components (etcd, apiserver,
// controller-manager, scheduler).
const (
	FaultDNS          = "dns"           // of Kill: all pods that answer DNS
	FaultControlPlane = "control-plane" // of Partition: where the API server is
)

// Fault is what breaks. Fields that its Kind does not name are empty.
type Fault struct {
	Kind    string     `json:"kind"`
	Targets []string   `json:"targets,omitempty"` // Kill, Pause: components; Dataplane: nodes, none means all
	Groups  [][]string `json:"groups,omitempty"`  // Partition: one group is parted from all other nodes
	From    FaultPods  `json:"from,omitzero"`     // Loss
	To      FaultPods  `json:"to,omitzero"`       // Loss
	Percent float64    `json:"percent,omitempty"` // Loss: above 0, at most 100
	OneWay  bool       `json:"oneWay,omitempty"`  // Loss: only packets from From to To
	Rule    FaultRule  `json:"rule,omitzero"`     // API
	Profile string     `json:"profile,omitempty"` // Dataplane: as Options.Dataplane, on top of that
}

// FaultPods are the pods whose labels a selector matches.
type FaultPods struct {
	Namespace string `json:"namespace,omitempty"` // "" means all
	Selector  string `json:"selector,omitempty"`  // as kubectl's --selector; "" means all pods
}

// FaultRule names one client's requests and what happens to them. It needs a User
// or an Agent, and a Delay or a Status.
type FaultRule struct {
	User      string        `json:"user,omitempty"`      // system:serviceaccount:NAMESPACE:NAME, for example
	Agent     string        `json:"agent,omitempty"`     // how the User-Agent begins
	Verbs     []string      `json:"verbs,omitempty"`     // get, list, watch, create, …; none means all
	Resources []string      `json:"resources,omitempty"` // pods, pods/log, …; none means all requests
	Delay     time.Duration `json:"delay,omitempty"`     // before the request is treated
	Status    int           `json:"status,omitempty"`    // HTTP status to fail with, 400 to 599; 0 means not to
}

// HeldFault is a fault that a lab is in.
type HeldFault struct {
	ID    int       `json:"id"` // in this lab
	Since time.Time `json:"since"`
	Spec  Fault     `json:"spec"`
	Text  string    `json:"text"`            // of the Spec, a line
	State string    `json:"state,omitempty"` // beginning, ending, or why it does not end; "" is in effect
}

// Holder holds a fault. It is undone by Undo, and by the end of this process,
// however that comes about.
type Holder struct {
	HeldFault
	conn *inside
	done chan struct{}
	err  error // valid after done
}

// Hold puts a fault into effect in the lab of that name, and returns when it is.
// When ctx ends before, nothing is left of it. An error wraps ErrBadRequest if the
// fault is not possible there, or another one is in its way.
func Hold(ctx context.Context, name string, f Fault) (*Holder, error) {
	conn, first, err := ask(ctx, name, request{Fault: &f})
	if err != nil {
		return nil, err
	}
	if first.Held == nil {
		conn.Close()
		return nil, fmt.Errorf("lab %q: the fault was neither begun nor refused", name)
	}
	h := &Holder{HeldFault: *first.Held, conn: conn, done: make(chan struct{})}
	go h.await(name)
	return h, nil
}

// Hold is the function of that name, for this lab.
func (l *Lab) Hold(ctx context.Context, f Fault) (*Holder, error) { return Hold(ctx, l.name, f) }

// await owns the connection until the lab has said its last word.
func (h *Holder) await(name string) {
	defer close(h.done)
	defer h.conn.Close()
	last, err := h.conn.next()
	switch {
	case err != nil:
		h.err = fmt.Errorf("lab %q: %s: %w", name, h.Text, err)
	case !last.Undone:
		h.err = fmt.Errorf("lab %q: %s: it was not said whether it is undone", name, h.Text)
	}
}

// Done is closed when the fault has ended, whoever ended it.
func (h *Holder) Done() <-chan struct{} { return h.done }

// Undo takes the fault back and returns when everything works again. It may be
// called twice. When ctx ends first, the lab goes on with it.
func (h *Holder) Undo(ctx context.Context) error {
	_, _ = h.conn.Write([]byte("\n")) // a connection that is gone has said why to await
	select {
	case <-h.done:
		return h.err
	case <-ctx.Done():
		return fmt.Errorf("%s: not undone yet: %w", h.Text, context.Cause(ctx))
	}
}

// Faults returns the faults that a lab is in, by age.
func Faults(ctx context.Context, name string) ([]HeldFault, error) {
	conn, first, err := ask(ctx, name, request{Faults: true})
	if err != nil {
		return nil, err
	}
	return first.Faults, conn.Close()
}
