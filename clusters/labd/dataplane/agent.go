// Package dataplane enforces. An Agent runs on every node of the lab: it
// watches pods, namespaces, policies and Services, has them compiled into the
// node's ruleset, and keeps the node's nftables table equal to that, one
// transaction per change. A pod gets no packet through before its policies are
// in the table.
//
//	API watches ─┐                                   ┌─► nftables table
//	AddPod ──────┴─► snapshot ─► compile.Node ─► Apply ─► conntrack, events, AddPod returns
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/kernel"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

// PodRef names a pod on this node.
type PodRef struct{ Namespace, Name, UID string }

// Mode says what an Agent does with NetworkPolicies. The zero Mode enforces.
type Mode string

// The modes. With ModeIgnore, Services work and policies are accepted without
// effect, as on a cluster whose network plugin does not know them.
const (
	ModeEnforce Mode = "enforce"
	ModeIgnore  Mode = "ignore"
)

// Config is what an Agent needs. All fields but Mode and Recorder are required.
type Config struct {
	NodeName    string
	NodeIP      string // IPv4 address; counters are served on it
	PodCIDR     string // IPv4 range of this node's pods
	ServiceCIDR string // IPv4 range of ClusterIPs
	Client      kubernetes.Interface
	Mode        Mode
	Recorder    record.EventRecorder // nil: problems are only logged
	Logger      *slog.Logger         // nil: slog.Default
	NetNS       int                  // descriptor of the node's network namespace; 0: the process's own
}

// Agent is one node's data plane. Make it with New; Run it once.
type Agent struct {
	cfg    Config
	nodeIP netip.Addr
	pods   netip.Prefix
	log    *slog.Logger
	table  *kernel.Table
	watch  *watches
	dirty  chan struct{} // holds one token while something may have changed

	mu       sync.Mutex
	local    map[string]*localPod // by UID
	removed  []netip.Addr         // addresses whose connections are to be forgotten
	output   compile.Output       // what the table holds
	drops    map[string]dropTimes // by counter of a pod's drops
	firsts   []FirstDrop          // oldest first
	reported map[compile.Problem]bool
}

type localPod struct {
	ref    PodRef
	addr   netip.Addr
	last   *corev1.Pod   // as last seen; stays when the API forgets the pod before the node does
	inside chan struct{} // closed when the table holds the pod's policies
	closed bool
}

// New checks the configuration; it touches neither API nor kernel.
func New(cfg Config) (*Agent, error) {
	ip, err := netip.ParseAddr(cfg.NodeIP)
	if err != nil || !ip.Is4() {
		return nil, fmt.Errorf("data plane: node address %q is not an IPv4 address", cfg.NodeIP)
	}
	pods, err := netip.ParsePrefix(cfg.PodCIDR)
	if err != nil || !pods.Addr().Is4() {
		return nil, fmt.Errorf("data plane: pod CIDR %q is not an IPv4 range", cfg.PodCIDR)
	}
	if p, err := netip.ParsePrefix(cfg.ServiceCIDR); err != nil || !p.Addr().Is4() {
		return nil, fmt.Errorf("data plane: service CIDR %q is not an IPv4 range", cfg.ServiceCIDR)
	}
	if cfg.Mode == "" {
		cfg.Mode = ModeEnforce
	}
	if cfg.Mode != ModeEnforce && cfg.Mode != ModeIgnore {
		return nil, fmt.Errorf("data plane: mode %q is not known: use %q or %q", cfg.Mode, ModeEnforce, ModeIgnore)
	}
	if cfg.Client == nil || cfg.NodeName == "" {
		return nil, errors.New("data plane: a client and a node name are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &Agent{
		cfg: cfg, nodeIP: ip, pods: pods.Masked(),
		log:      cfg.Logger.With("component", "dataplane", "node", cfg.NodeName),
		table:    kernel.Open(cfg.NetNS),
		dirty:    make(chan struct{}, 1),
		local:    map[string]*localPod{},
		drops:    map[string]dropTimes{},
		reported: map[compile.Problem]bool{},
	}
	a.watch = newWatches(cfg.Client, a.changed)
	return a, nil
}

// changed asks for a new look at everything. It never blocks; any number of
// calls while the table is being programmed make one more round.
func (a *Agent) changed() {
	select {
	case a.dirty <- struct{}{}:
	default:
	}
}

// AddPod tells the agent that addr is now this pod's, and returns when the
// node's table holds every policy that selected the pod when AddPod was called.
// Call it before the pod's network is up. It fails when ctx ends; call RemovePod
// then, too, before the address is used for another pod.
func (a *Agent) AddPod(ctx context.Context, p PodRef, addr netip.Addr) error {
	if !a.pods.Contains(addr) {
		return fmt.Errorf("pod %s/%s: address %s is outside this node's range %s", p.Namespace, p.Name, addr, a.pods)
	}
	if a.cfg.Mode == ModeEnforce {
		if err := a.watch.catchUp(ctx, p.Namespace); err != nil {
			return fmt.Errorf("pod %s/%s: policies of its namespace are not known: %w", p.Namespace, p.Name, err)
		}
	}
	l := &localPod{ref: p, addr: addr, inside: make(chan struct{})}
	a.mu.Lock()
	for uid, other := range a.local {
		if other.addr == addr && uid != p.UID {
			a.mu.Unlock()
			return fmt.Errorf("pod %s/%s: address %s still belongs to pod %s/%s: remove that one first", p.Namespace, p.Name, addr, other.ref.Namespace, other.ref.Name)
		}
	}
	a.local[p.UID] = l
	a.mu.Unlock()
	a.changed()
	select {
	case <-l.inside:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pod %s/%s: its policies are not programmed yet: %w", p.Namespace, p.Name, context.Cause(ctx))
	}
}

// RemovePod tells the agent that the pod's network is gone. Its address gets
// nothing through from the next transaction on, and connections of its time are
// forgotten before the address can be added again.
func (a *Agent) RemovePod(p PodRef) {
	a.mu.Lock()
	if l := a.local[p.UID]; l != nil {
		delete(a.local, p.UID)
		a.removed = append(a.removed, l.addr)
	}
	a.mu.Unlock()
	a.changed()
}

// Run watches and programs until ctx ends, and returns nil then. It returns an
// error if it cannot start. The table stays as it was.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
		if err := a.table.Close(); err != nil {
			a.log.Warn("closing the sockets to nftables failed", "error", err)
		}
	}()
	serve, err := a.listen(ctx)
	if err != nil {
		return err
	}
	wg.Go(serve)
	wg.Go(func() { a.readDropLog(ctx) })
	defer a.watch.stop()
	if err := a.watch.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	a.sayIgnored()
	a.changed()
	a.program(ctx)
	return nil
}

// program makes the table follow until ctx ends. A failure is tried again, at
// longer and longer intervals; what the table held stays in force meanwhile.
func (a *Agent) program(ctx context.Context) {
	const first, longest = 10 * time.Millisecond, 5 * time.Second
	wait := first
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.dirty:
		}
		if err := a.once(); err == nil {
			wait = first
			continue
		} else {
			a.log.Error("programming the node's table failed; it keeps its last content", "error", err, "retry", wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, longest)
		a.changed()
	}
}
