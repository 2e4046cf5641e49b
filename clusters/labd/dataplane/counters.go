package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
)

// CounterPort is the port on the node's address that serves the counters.
const CounterPort = 10260

// Counter is what the kernel counted for one policy on this node in one
// direction, in packets that began a connection. A packet that no policy of a
// pod allows is denied by each of them.
type Counter struct {
	Policy    string `json:"policy"`    // namespace/name
	Direction string `json:"direction"` // "ingress" or "egress"
	Allowed   uint64 `json:"allowed"`
	Denied    uint64 `json:"denied"`
}

// Drop is what the kernel dropped of one pod's packets in one direction because
// none of its policies allowed them.
type Drop struct {
	Pod       string     `json:"pod"`       // namespace/name
	Direction string     `json:"direction"` // "ingress" or "egress"
	Packets   uint64     `json:"packets"`
	Since     time.Time  `json:"since"`           // when the pod's policies in this direction last changed here
	First     *time.Time `json:"first,omitempty"` // first drop seen after Since, if any
}

// Report is one node's counters.
type Report struct {
	Node     string    `json:"node"`
	Counters []Counter `json:"counters"`
	Drops    []Drop    `json:"drops"`
}

// Counters reads the kernel's counters of all policies that select a pod of
// this node, by name.
func (a *Agent) Counters() ([]Counter, error) {
	r, err := a.Report()
	return r.Counters, err
}

// Report reads all counters from the kernel.
func (a *Agent) Report() (Report, error) {
	counted, err := a.table.Counters()
	if err != nil {
		return Report{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := Report{Node: a.cfg.NodeName, Counters: []Counter{}, Drops: []Drop{}}
	byPolicy := map[[2]string]Counter{}
	for name, m := range a.output.Meanings {
		key := [2]string{m.Object, m.Direction}
		c := byPolicy[key]
		c.Policy, c.Direction = m.Object, m.Direction
		switch m.Kind {
		case compile.PodDrops:
			t := a.drops[name]
			r.Drops = append(r.Drops, Drop{m.Object, m.Direction, counted[name], t.since, t.first})
			continue
		case compile.Allowed:
			c.Allowed = counted[name]
		case compile.Denied:
			c.Denied = counted[name]
		}
		byPolicy[key] = c
	}
	for _, c := range byPolicy {
		r.Counters = append(r.Counters, c)
	}
	slices.SortFunc(r.Counters, func(a, b Counter) int {
		return strings.Compare(a.Policy+"\x00"+a.Direction, b.Policy+"\x00"+b.Direction)
	})
	slices.SortFunc(r.Drops, func(a, b Drop) int { return strings.Compare(a.Pod+"\x00"+a.Direction, b.Pod+"\x00"+b.Direction) })
	return r, nil
}

// listen opens the counters' port; serve then answers until ctx ends.
func (a *Agent) listen(ctx context.Context) (serve func(), err error) {
	address := netip.AddrPortFrom(a.nodeIP, CounterPort).String()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("data plane: serve counters: %w", err)
	}
	s := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	return func() {
		stop := context.AfterFunc(ctx, func() { s.Close() })
		defer stop()
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("serving counters ended", "address", address, "error", err)
		}
	}, nil
}

func (a *Agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /counters", func(w http.ResponseWriter, r *http.Request) {
		report, err := a.Report()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(report); err != nil {
			a.log.Debug("counters were not read to the end", "error", err)
		}
	})
	mux.HandleFunc("GET /drops", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(a.FirstDrops()); err != nil {
			a.log.Debug("first drops were not read to the end", "error", err)
		}
	})
	return mux
}
