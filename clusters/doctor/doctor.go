// Package doctor examines a cluster: whether it enforces policies, where and how
// fast, and what on it would get in the way of a rollout. It needs no controller,
// works with the caller's credentials, and removes what it made. What it could not
// find out it calls not known, and says why.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// Prefix begins the name of the namespace that an examination makes for itself.
const Prefix = "tightrope-doctor-"

// SchemaVersion of the JSON. A reader refuses a major version it does not know.
const SchemaVersion = "tightrope.dev/doctor/v1alpha1"

// ErrLeft says that an examination could not remove what it made.
var ErrLeft = errors.New("not everything that was made could be removed")

// State is how a check ended. The zero value is Unknown.
type State string

// The states.
const (
	Unknown State = ""        // it could not be found out; Says has the reason
	OK      State = "OK"      // nothing is in the way
	Note    State = "Note"    // worth knowing
	Problem State = "Problem" // somebody has to do something first
)

// String names the zero state, too.
func (s State) String() string {
	if s == Unknown {
		return "Unknown"
	}
	return string(s)
}

// MarshalText is String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Check is one thing that was examined.
type Check struct {
	Name  string   `json:"name"`
	State State    `json:"state"`
	Says  string   `json:"says"`
	Do    []string `json:"do,omitempty"` // commands, or what to change
}

// Times are how long a write took to act, over all rounds and nodes, in milliseconds.
type Times struct {
	Samples int     `json:"samples"`
	Min     float64 `json:"min"`
	Median  float64 `json:"median"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
}

// Effect is how fast a policy acts, in one direction.
type Effect struct {
	Node      string `json:"node,omitempty"` // empty: all that were measured
	Direction string `json:"direction"`
	Added     *Times `json:"added,omitempty"`   // a policy that denies was written; absent: not known
	Removed   *Times `json:"removed,omitempty"` // it was deleted; absent: not known
}

// FormEffect is how one form of write acts.
type FormEffect struct {
	Form    string  `json:"form"`    // Create, Delete, Select, Deselect, Label or Unlabel
	Acts    string  `json:"acts"`    // Yes, No or Unknown
	Slowest float64 `json:"slowest"` // milliseconds, of the pods that followed
}

// Examination is what was found.
type Examination struct {
	SchemaVersion string       `json:"schemaVersion"`
	Cluster       string       `json:"cluster"`
	MeasuredAt    time.Time    `json:"measuredAt"`
	Took          float64      `json:"tookSeconds"`
	Enforces      bool         `json:"enforces"` // every node that was measured, both directions
	Nodes         []string     `json:"nodes"`    // that were measured
	Effects       []Effect     `json:"effects"`
	PerNode       []Effect     `json:"perNode"`
	Deny          string       `json:"deny"`        // Drop, Reject, Mixed; empty: not known
	Established   string       `json:"established"` // Survive, Cut, Mixed; empty: not known
	Forms         []FormEffect `json:"forms"`
	PolicyKinds   []PolicyKind `json:"policyKinds"` // besides NetworkPolicy
	Checks        []Check      `json:"checks"`

	identity v1alpha1.ClusterIdentity          // as the measurement found the cluster; zero: not known
	settle   *Times                            // of what was written to policies; nil: not known
	flips    map[string]v1alpha1.EnforcedWhere // by node
}

// PolicyKind is a kind of policies besides NetworkPolicy.
type PolicyKind struct {
	Kind       string `json:"kind"`
	Group      string `json:"group"`
	Objects    int    `json:"objects"`       // -1: not known
	Why        string `json:"why,omitempty"` // not known
	Understood bool   `json:"understood"`    // Tightrope reads which pods its policies select
}

func (k PolicyKind) name() string { return k.Kind + " of " + k.Group }

// Options of Examine. Config must be set.
type Options struct {
	Config   *rest.Config
	Cluster  string
	Kubectl  string // begins a kubectl command line that reaches the cluster
	Pods     pods.Options
	Save     bool          // store what is found as the cluster's EnforcementProfile
	Within   time.Duration // how long it may take; 0 means DefaultWithin
	Progress func(string)  // nil: nobody is told
	// PluginNamespaces are where to look for the network plugin besides enforcing.PluginNamespaces.
	PluginNamespaces []string
	// Kinds lists the kinds of policies; unknown are reasons why there may be others. nil: they are not known.
	Kinds func(context.Context) (kinds []PolicyKind, unknown []string, err error)
}

// DefaultWithin leaves time for a cluster whose pods take half a minute to start, whose
// policies take seconds to act, and whose labels take most of a minute. One that is
// quick is examined in a fraction of it.
const DefaultWithin = 5 * time.Minute

// distribution is how long rounds are begun that only time the effect of a policy.
const distribution = 25 * time.Second

func (o Options) withDefaults() Options {
	if o.Within == 0 {
		o.Within = DefaultWithin
	}
	if o.Pods.Lifetime == 0 {
		o.Pods.Lifetime = o.Within + time.Minute
	}
	if o.Kubectl == "" {
		o.Kubectl = "kubectl"
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// Examine examines a cluster. An error beside an examination is ErrLeft or ErrNotSaved;
// without one nothing was found out.
func Examine(ctx context.Context, o Options) (*Examination, error) {
	o = o.withDefaults()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	cfg := rest.CopyConfig(o.Config)
	cfg.QPS = -1
	api, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", o.Cluster, err)
	}
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", o.Cluster, err)
	}
	x := &examiner{Options: o, api: api, kube: kube, placer: &pods.Placer{
		Owner: pods.NewOwner(Prefix), Write: writer.New(api, writer.Options{}), Live: api, Logs: pods.Logs{Client: kube}, Options: o.Pods,
	}}
	return x.examine(ctx)
}

type examiner struct {
	Options
	api    client.Client
	kube   kubernetes.Interface
	placer *pods.Placer
	found  Examination

	named     probes.Outcome // of looking a name up; Unsent: nobody did
	addresses []string       // of a probe pod
}

// add notes what a check found.
func (x *examiner) add(name string, state State, says string, do ...string) {
	x.found.Checks = append(x.found.Checks, Check{name, state, says, do})
}

func (x *examiner) examine(ctx context.Context) (*Examination, error) {
	began := time.Now()
	x.found = Examination{SchemaVersion: SchemaVersion, Cluster: x.Cluster, MeasuredAt: began.UTC(),
		Nodes: []string{}, Effects: []Effect{}, PerNode: []Effect{}, Forms: []FormEffect{}, PolicyKinds: []PolicyKind{}, Checks: []Check{}}
	within, stop := context.WithTimeoutCause(ctx, x.Within, fmt.Errorf("it was not over after %v", x.Within))
	defer stop()
	x.version(within)
	x.reach()
	nodes := x.nodes(within)
	x.identify(within)
	left := x.enforcement(within, nodes)
	if ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), left)
	}
	x.kinds(within)
	x.dns(within)
	x.families(within)
	x.namespaces(within)
	x.leftovers(within)
	if x.Save {
		left = errors.Join(left, x.save(within))
	}
	x.found.Took = time.Since(began).Seconds()
	return &x.found, left
}

// enforcement measures in a namespace of its own, which it removes.
func (x *examiner) enforcement(ctx context.Context, nodes []string) (left error) {
	if len(nodes) == 0 {
		x.unmeasured("no node is known that could run a probe pod")
		return nil
	}
	defer func() {
		if err := x.placer.RemoveAll(ctx, nil); err != nil {
			left = fmt.Errorf("%w: %w", ErrLeft, err)
		}
	}()
	x.Progress(fmt.Sprintf("whether the cluster enforces policies, on %d nodes", len(nodes)))
	if err := x.placer.MakeHome(ctx); err != nil {
		x.unmeasured(err.Error())
		return nil
	}
	bench := &enforcing.Bench{Namespace: x.placer.Owner.Name, Nodes: nodes, Placer: x.placer, Budget: min(distribution, x.Within/2), Streams: true}
	defer bench.Close()
	if err := bench.Up(ctx); err != nil {
		x.unmeasured(err.Error())
		return nil
	}
	x.measure(ctx, bench)
	return nil
}

// measure has the bench try everything, as far as the time allows: what comes later
// stands on what came before.
func (x *examiner) measure(ctx context.Context, bench *enforcing.Bench) {
	result, err := bench.Measure(ctx, rounds)
	x.measured(bench, result, err)
	if err != nil || !result.Enforces() {
		x.add(checkEstablished, Unknown, "the cluster was not seen to deny a connection and to allow it again")
		x.add(checkForms, Unknown, "the cluster was not seen to deny a connection and to allow it again")
		return
	}
	x.Progress("what becomes of connections that are open")
	fates, err := bench.Established(ctx)
	x.established(fates, err)
	if err != nil {
		x.add(checkForms, Unknown, err.Error())
		return
	}
	x.Progress("whether every form of write acts; a label takes up to a minute on some clusters")
	tried, err := bench.Forms(ctx)
	x.forms(result, tried, err)
}
