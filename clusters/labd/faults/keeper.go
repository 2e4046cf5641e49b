package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/tightrope-dev/tightrope/clusters/labd/apifault"
)

// ErrRefused is wrapped where a fault was not even tried.
var ErrRefused = errors.New("refused")

// Machine is the lab, as far as faults must know it.
type Machine interface {
	Nodes() []string
	Components() []string // the control plane's processes
	// Kill ends a component's processes, without the lab taking it for its own
	// end. It returns when none is left.
	Kill(ctx context.Context, component string) error
	// Start starts a component that was killed, and returns when it serves.
	Start(ctx context.Context, component string) error
	// PID is of a component's first process; its others are its descendants.
	PID(component string) (int, error)
	// Port is the network interface that leads to a node.
	Port(node string) string
	Client() kubernetes.Interface
}

// Keeper holds faults. Make it with NewKeeper.
type Keeper struct {
	machine Machine
	api     *apifault.File

	mu     sync.Mutex
	last   int
	held   map[int]*Held
	claims map[string]int // what a fault has for itself, and which one
}

// NewKeeper makes the keeper of a lab. Rules about API requests are written to
// the file, which the API server reads.
func NewKeeper(m Machine, api *apifault.File) *Keeper {
	return &Keeper{machine: m, api: api, held: map[int]*Held{}, claims: map[string]int{}}
}

// undo takes a fault back. It may be called again after an error.
type undo func(context.Context) error

// List returns the faults that are held, by age.
func (k *Keeper) List() []Held {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := []Held{}
	for _, id := range slices.Sorted(maps.Keys(k.held)) {
		all = append(all, *k.held[id])
	}
	return all
}

// Hold puts a fault into effect, tells begun, and keeps it until ctx ends. It
// returns when the fault is undone. An error of begin leaves nothing behind; the
// undoing is tried again and again, since nobody else would do it.
func (k *Keeper) Hold(ctx context.Context, s Spec, begun func(Held)) error {
	if err := s.check(k.machine.Nodes(), k.machine.Components()); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	h, err := k.claim(s)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	end, err := k.begin(ctx, h.ID, s)
	if err == nil {
		k.state(h, "")
		begun(*h)
		<-ctx.Done()
	}
	k.state(h, "ending")
	if undone := k.end(h, end); undone != nil {
		return errors.Join(err, undone) // it stays in the list, and what it has stays taken
	}
	k.release(h)
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

// begin does the fault. The undo that it returns, also with an error, takes back
// what was done so far.
func (k *Keeper) begin(ctx context.Context, id int, s Spec) (undo, error) {
	switch s.Kind {
	case Kill:
		return k.kill(ctx, s.Targets)
	case Pause:
		return k.pause(ctx, s.Targets)
	case Partition:
		return k.partition(id, s.Groups)
	case Loss:
		return k.loss(ctx, id, s)
	case API:
		return k.spoil(id, s.Rule)
	case Dataplane:
		return k.retune(ctx, s.Targets, s.Profile)
	}
	return nothing, fmt.Errorf("no fault %q", s.Kind)
}

func nothing(context.Context) error { return nil }

const (
	endDeadline = time.Minute // of one try; a node that starts on a busy machine takes seconds
	endTries    = 10
)

// end undoes the fault, whatever became of its holder. When that fails the
// reason is shown in List, and it is tried again.
func (k *Keeper) end(h *Held, u undo) (err error) {
	wait := 100 * time.Millisecond
	for range endTries {
		ctx, stop := context.WithTimeout(context.Background(), endDeadline)
		err = u(ctx)
		stop()
		if err == nil {
			return nil
		}
		k.state(h, "cannot be undone yet: "+err.Error())
		time.Sleep(wait)
		wait = min(2*wait, 5*time.Second)
	}
	return fmt.Errorf("%s: not undone: %w", h.Text, err)
}

func (k *Keeper) claim(s Spec) (*Held, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range s.claims() {
		if id, taken := k.claims[c]; taken {
			return nil, fmt.Errorf("%s: %s is in fault %d already (%s)", s, c, id, k.held[id].Text)
		}
	}
	k.last++
	h := &Held{ID: k.last, Since: time.Now(), Spec: s, Text: s.String(), State: "beginning"}
	k.held[h.ID] = h
	for _, c := range s.claims() {
		k.claims[c] = h.ID
	}
	return h, nil
}

// claims are what two faults cannot have at once: a dead node cannot be frozen.
func (s Spec) claims() []string {
	switch s.Kind {
	case Kill, Pause:
		return s.Targets
	case Dataplane:
		if len(s.Targets) == 0 {
			return []string{"the data plane"}
		}
		var all []string
		for _, t := range s.Targets {
			all = append(all, "the data plane of "+t)
		}
		return all
	}
	return nil
}

func (k *Keeper) release(h *Held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, h.ID)
	maps.DeleteFunc(k.claims, func(_ string, id int) bool { return id == h.ID })
}

func (k *Keeper) state(h *Held, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h.State = text
}
