package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// Verification says what to verify, where and how. Config and Suites must be set.
type Verification struct {
	Config   *rest.Config // the caller's credentials; no controller is needed
	Cluster  string       // its name, for the report
	Suites   []v1alpha1.ConnectivitySuite
	Paths    []string      // names of the paths to try; empty: all
	Pods     pods.Options  // how probe pods look
	For      time.Duration // how long each path is tried; 0 means 5s
	Within   time.Duration // how long it may take in all; 0 means 3m, in which a slow cluster starts its pods twice
	Progress func(string)  // told what is done; nil: nobody is
}

func (v Verification) withDefaults() Verification {
	v.For = cmp.Or(v.For, 5*time.Second)
	v.Within = cmp.Or(v.Within, 3*time.Minute)
	v.Pods.Lifetime = cmp.Or(v.Pods.Lifetime, v.Within+time.Minute) // a killed command leaves no probe pod at work
	if v.Progress == nil {
		v.Progress = func(string) {}
	}
	return v
}

// VerifyPrefix begins the name of the namespace that a verification makes for itself.
const VerifyPrefix = "tightrope-verify-"

// ErrLeft says that a verification could not remove what it made.
var ErrLeft = errors.New("not everything that was made could be removed")

// Refused says, one by one, what somebody has to change in a suite before anything
// is made; empty: the error is another one.
func Refused(err error) []string {
	if no, ok := errors.AsType[*refusal](err); ok {
		return slices.Concat(no.reasons, no.repairs)
	}
	return nil
}

// Verify tries the paths of suites once, on the policies as they are, and changes
// nothing: it makes probe pods and a namespace of its own, and removes them again,
// also when ctx ends. First it proves, in that namespace and on every node where a
// probe pod or a target runs, that the cluster enforces policies; where it does not,
// nothing is proved.
//
// Without a report nothing was tried: the error says why. An error beside a report
// is ErrLeft.
func Verify(ctx context.Context, v Verification) (rep *report.Report, err error) {
	v = v.withDefaults()
	x, err := newVerifier(v)
	if err != nil {
		return nil, err
	}
	if err := x.prepare(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if left := x.cleanUp(ctx); left != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", ErrLeft, left))
		}
	}()
	within, stop := context.WithTimeoutCause(ctx, v.Within, fmt.Errorf("it was not over after %v", v.Within))
	defer stop()
	failed := x.try(within)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return x.conclude(failed), nil
}

// verifier is a verification under way.
type verifier struct {
	Verification
	api    client.Client
	placer *pods.Placer
	set    *pods.Set
	bench  *enforcing.Bench

	plan    *Plan
	world   *world
	readAt  time.Time       // the world
	opened  time.Time       // when what is seen began to count
	counts  bool            // the totals began then, too
	judged  string          // digest of what judged the paths then
	broke   map[cell]string // paths that were cut since, and the rules
	record  record
	picture *picture
	cells   map[cell]*judged
	asked   asked
	problem string // why the cluster proves nothing; empty: it enforces
}

func newVerifier(v Verification) (*verifier, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	cfg := rest.CopyConfig(v.Config)
	cfg.QPS = -1
	api, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", v.Cluster, err)
	}
	logs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", v.Cluster, err)
	}
	return &verifier{Verification: v, api: api, placer: &pods.Placer{
		Owner: pods.NewOwner(VerifyPrefix), Write: writer.New(api, writer.Options{}), Live: api, Logs: pods.Logs{Client: logs}, Options: v.Pods,
	}}, nil
}

// prepare reads the cluster and the suites, and makes nothing.
func (x *verifier) prepare(ctx context.Context) (err error) {
	if x.world, err = readWorld(ctx, x.api); err != nil {
		return err
	}
	owner := x.placer.Owner
	p := &Plan{Plan: plan.Plan{Run: owner.Name, RunUID: owner.UID, PodEnding: plan.PodEnding, Home: owner.Name, Interval: planner.Interval, Timeout: planner.Timeout, Budget: planner.Budget}}
	no := &refusal{}
	for _, s := range x.Suites {
		no.reasons = append(no.reasons, planner.Reserved(s.Name, s.Spec.Identities)...)
		p.addSuite(&s, x.world, no)
	}
	p.only(x.Paths, no)
	if len(p.Paths) == 0 && len(no.reasons) == 0 {
		no.add("no path is to be tried: the suites have none")
	}
	if len(no.reasons) > 0 {
		return no
	}
	x.plan = p
	return nil
}

// only drops the paths that were not asked for; no name asks for all. A path that
// another one would have as its witness goes, too: settleWitnesses finds another.
func (p *Plan) only(names []string, no *refusal) {
	for _, name := range names {
		if !slices.ContainsFunc(p.Paths, func(path plan.Path) bool { return path.Name == name }) {
			no.add("no suite has a path called %q: %s", name, p.known())
		}
	}
	if len(names) > 0 {
		p.Paths = slices.DeleteFunc(p.Paths, func(path plan.Path) bool { return !slices.Contains(names, path.Name) })
	}
}

func (p *Plan) known() string {
	var all []string
	for _, path := range p.Paths {
		all = append(all, fmt.Sprintf("%q", path.Name))
	}
	return "there are " + strings.Join(all, ", ")
}

// try places the pods, proves that the cluster enforces, and tries every path. Its
// error says why nothing, or not all, could be tried.
func (x *verifier) try(ctx context.Context) error {
	if err := x.placer.MakeHome(ctx); err != nil {
		return err
	}
	if err := x.settle(ctx); err != nil {
		return err
	}
	x.set = pods.NewSet(context.WithoutCancel(ctx), func() {})
	x.Progress(fmt.Sprintf("probe pods for %d paths", len(x.plan.Paths)))
	if err := x.place(ctx); err != nil {
		return err
	}
	x.asked.ask(x.nodes())
	x.Progress(fmt.Sprintf("whether the cluster enforces policies, on %d nodes", len(x.asked.nodes)))
	settle, err := x.enforces(ctx, x.asked.nodes)
	if err != nil || x.problem != "" {
		return err
	}
	x.Progress(fmt.Sprintf("it does; the slowest effect took %v. Trying every path for %v", settle.Round(time.Millisecond), x.For))
	return x.observe(ctx)
}

// settle looks who can show that the targets answer. A path without such a witness
// proves nothing if nothing gets through; that is said with the path.
func (x *verifier) settle(ctx context.Context) (err error) {
	if x.world, err = readWorld(ctx, x.api); err != nil { // with the namespace of the control pod
		return err
	}
	p, live := x.plan, x.plan.live(x.world)
	to := prospect{live, live}
	p.settleWitnesses(x.world, to, &refusal{})
	for i := range p.Paths { // the control pod tries every target that it may, so that one that is down is known
		if path := &p.Paths[i]; path.Expect == v1alpha1.ExpectAllow && p.cannotWitness(x.world, to, *path, controlIdentity) == "" {
			path.WitnessedBy(controlIdentity)
		}
	}
	x.record.begin(p, time.Now())
	return nil
}

// agents are the probe pods: one for each identity, which policies judge as they
// judge the workload, and the control pod.
func (x *verifier) agents() []agentSpec {
	p := x.plan
	var out []agentSpec
	for _, id := range append(slices.Clone(p.Identities), p.control()) {
		routes, checks := p.checksFrom(x.world, id.Name)
		if id.Name == controlIdentity {
			p.addNameServers(x.world, &checks, routes)
		}
		if len(checks) == 0 {
			continue
		}
		spec := p.agent(id, false, checks, routes)
		spec.name = types.NamespacedName{Namespace: id.Namespace, Name: p.Run + "-" + id.Name + "-0"} // one network plugin tells pods apart by what is before the last dash
		spec.plan.Agent = spec.name.String()
		out = append(out, spec)
	}
	return out
}
