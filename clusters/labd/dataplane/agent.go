// Package dataplane enforces. An Agent runs on every node of the lab: it
// watches pods, namespaces, policies and Services, has them compiled into the
// node's ruleset, and keeps the node's nftables table equal to that, one
// transaction per change. A pod gets no packet through before its policies are
// in the table.
//
//	API watches ─┐                                     ┌─► nftables table
//	AddPod ──────┴─► what changed ─► Compiler ─► Update ─► conntrack, events, AddPod returns
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/kernel"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/profile"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

// PodRef names a pod on this node.
type PodRef struct{ Namespace, Name, UID string }

// Mode is a profile.Profile's text: how an Agent treats NetworkPolicies as long
// as its Node has no annotation of that. The zero Mode enforces them at once.
type Mode string

// The modes without details. With ModeIgnore, Services work and policies are
// accepted without effect, as on a cluster whose network plugin does not know them.
const (
	ModeEnforce Mode = "enforce"
	ModeIgnore  Mode = "ignore"
)

// Config is what an Agent needs. All fields but Mode and Recorder are required.
type Config struct {
	NodeName string
	NodeIPs  []string // one address of each family; counters are served on the first
	PodCIDRs []string // ranges of this node's pods, one of each family
	Client   kubernetes.Interface
	Mode     Mode
	Recorder record.EventRecorder // nil: problems are only logged
	Logger   *slog.Logger         // nil: slog.Default
	NetNS    int                  // descriptor of the node's network namespace; 0: the process's own
}

// Agent is one node's data plane. Make it with New; Run it once.
type Agent struct {
	cfg      Config
	nodeIP   netip.Addr
	families []ruleset.Family
	podCIDRs []netip.Prefix
	log      *slog.Logger
	table    *kernel.Table
	watch    *watches
	dirty    chan struct{} // holds one token while something may have changed

	mu       sync.Mutex
	compiler *compile.Compiler
	pending  map[change]bool                    // objects to be passed to the compiler
	local    map[string]*localPod               // by UID
	relook   map[compile.Key]bool               // local pods of which the API has news
	gone     map[string]bool                    // UIDs of pods that were removed
	removed  []netip.Addr                       // addresses whose connections are to be forgotten
	moved    map[compile.Front][]netip.AddrPort // UDP fronts whose connections are to be looked at
	output   compile.Output                     // what the table holds
	drops    map[string]dropTimes               // by counter of a pod's drops
	firsts   []FirstDrop                        // oldest first
	temper   *temper
	reported map[compile.Problem]bool
}

type localPod struct {
	ref    PodRef
	addrs  []netip.Addr
	last   *corev1.Pod   // as last seen; stays when the API forgets the pod before the node does
	told   bool          // the compiler knows of it
	inside chan struct{} // closed when the table holds the pod's policies
	closed bool
}

// New checks the configuration; it touches neither API nor kernel.
func New(cfg Config) (*Agent, error) {
	options, err := cfg.options()
	if err != nil {
		return nil, err
	}
	options.Enforce = true // what is ignored, the lens does not show
	base, err := profile.Parse(string(cfg.Mode), profile.Profile{})
	if err != nil {
		return nil, err
	}
	if cfg.Client == nil || cfg.NodeName == "" {
		return nil, errors.New("data plane: a client and a node name are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &Agent{
		cfg: cfg, nodeIP: options.NodeIPs[0], podCIDRs: options.PodCIDRs,
		compiler: compile.New(options), pending: map[change]bool{}, relook: map[compile.Key]bool{},
		gone: map[string]bool{}, moved: map[compile.Front][]netip.AddrPort{},
		log:      cfg.Logger.With("component", "dataplane", "node", cfg.NodeName),
		table:    kernel.Open(cfg.NetNS),
		dirty:    make(chan struct{}, 1),
		local:    map[string]*localPod{},
		drops:    map[string]dropTimes{},
		reported: map[compile.Problem]bool{},
	}
	a.temper = newTemper(cfg.NodeName, base)
	for _, ip := range options.NodeIPs {
		a.families = append(a.families, ruleset.FamilyOf(ip))
	}
	a.watch = newWatches(cfg.Client, a.note)
	return a, nil
}

// options reads the addresses of the configuration.
func (cfg Config) options() (o compile.Options, err error) {
	o.NodeName = cfg.NodeName
	if len(cfg.NodeIPs) == 0 || len(cfg.NodeIPs) > 2 || len(cfg.NodeIPs) != len(cfg.PodCIDRs) {
		return o, fmt.Errorf("data plane: node addresses %q and pod ranges %q: want one of each family", cfg.NodeIPs, cfg.PodCIDRs)
	}
	for i := range cfg.NodeIPs {
		ip, err := netip.ParseAddr(cfg.NodeIPs[i])
		if err != nil {
			return o, fmt.Errorf("data plane: node address: %w", err)
		}
		pods, err := netip.ParsePrefix(cfg.PodCIDRs[i])
		if err != nil {
			return o, fmt.Errorf("data plane: pod range: %w", err)
		}
		if ip.Is4() != pods.Addr().Is4() || i > 0 && ip.Is4() == o.NodeIPs[0].Is4() {
			return o, fmt.Errorf("data plane: node addresses %q and pod ranges %q: want one of each family, in one order", cfg.NodeIPs, cfg.PodCIDRs)
		}
		o.NodeIPs, o.PodCIDRs = append(o.NodeIPs, ip), append(o.PodCIDRs, pods.Masked())
	}
	return o, nil
}

// note remembers that an object changed, and asks for a round.
func (a *Agent) note(ch change) {
	a.mu.Lock()
	a.pending[ch] = true
	a.mu.Unlock()
	a.changed()
}

// changed asks for a new look at everything. It never blocks; any number of
// calls while the table is being programmed make one more round.
func (a *Agent) changed() {
	select {
	case a.dirty <- struct{}{}:
	default:
	}
}

// AddPod tells the agent that addresses, one of each family, are now this pod's,
// and returns when the node's table holds every policy that selected the pod when
// AddPod was called, as far as the profile lets policies be in force. Call it before the pod's network is up. It fails when ctx
// ends; call RemovePod then, too, before an address is used for another pod.
func (a *Agent) AddPod(ctx context.Context, p PodRef, addrs ...netip.Addr) error {
	if err := a.checkAddrs(addrs); err != nil {
		return fmt.Errorf("pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	if err := a.watch.catchUp(ctx, p.Namespace); err != nil {
		return fmt.Errorf("pod %s/%s: policies of its namespace are not known: %w", p.Namespace, p.Name, err)
	}
	l, err := a.enter(p, addrs)
	if err != nil {
		return err
	}
	a.changed()
	select {
	case <-l.inside:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("pod %s/%s: its policies are not programmed yet: %w", p.Namespace, p.Name, context.Cause(ctx))
	}
}

func (a *Agent) checkAddrs(addrs []netip.Addr) error {
	if len(addrs) != len(a.families) {
		return fmt.Errorf("addresses %v: want one of each family of the lab (%v)", addrs, a.families)
	}
	for i, addr := range addrs {
		if !a.podCIDRs[i].Contains(addr) {
			return fmt.Errorf("address %s is outside this node's range %s", addr, a.podCIDRs[i])
		}
	}
	return nil
}

// enter puts a pod among the node's, unless another one has its address.
func (a *Agent) enter(p PodRef, addrs []netip.Addr) (*localPod, error) {
	l := &localPod{ref: p, addrs: addrs, inside: make(chan struct{})}
	a.mu.Lock()
	defer a.mu.Unlock()
	for uid, other := range a.local {
		for _, addr := range other.addrs {
			if uid != p.UID && slices.Contains(addrs, addr) {
				return nil, fmt.Errorf("pod %s/%s: address %s still belongs to pod %s/%s: remove that one first", p.Namespace, p.Name, addr, other.ref.Namespace, other.ref.Name)
			}
		}
	}
	a.local[p.UID] = l
	return l, nil
}

// RemovePod tells the agent that the pod's network is gone. Its address gets
// nothing through from the next transaction on, and connections of its time are
// forgotten before the address can be added again.
func (a *Agent) RemovePod(p PodRef) {
	a.mu.Lock()
	if l := a.local[p.UID]; l != nil {
		delete(a.local, p.UID)
		a.gone[p.UID] = true
		a.removed = append(a.removed, l.addrs...)
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
	if err := a.close(); err != nil {
		return err
	}
	if err := a.watch.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	stop, err := a.followNode()
	if err != nil {
		return err
	}
	defer stop()
	a.changed()
	a.program(ctx)
	return nil
}

// close replaces the table of whoever was here before, or makes the first one: until
// the API has shown everything, and each pod was added, no new connection of a pod
// gets through this node. What an older table allowed or forbade is of no account.
func (a *Agent) close() error {
	a.mu.Lock()
	out := a.compiler.Output()
	a.mu.Unlock()
	if _, err := a.table.Apply(out.Ruleset); err != nil {
		return fmt.Errorf("data plane: the node cannot be closed before it forwards: %w", err)
	}
	a.adopt(out)
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
