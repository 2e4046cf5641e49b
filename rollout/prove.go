package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// PodState is where a pod is on the way from the baseline to the candidates
// (protocol: three states, and no others).
type PodState uint8

// The states, in the order in which a rollout goes through them.
const (
	AtBaseline PodState = iota // K and R select it
	AtBridged                  // K, R and C select it, and a bridge where K and R leave it open
	AtEnforced                 // K and C select it
)

// String names the state for people.
func (s PodState) String() string { return [...]string{"baseline", "bridged", "enforced"}[s] }

// Mix is the states of the two ends of a connection. All nine are reachable,
// because labels and restarts make mixes that no step names.
type Mix struct{ Source, Target PodState }

// Edge is a connection that somebody declared: a path of a suite, from the pod
// of its identity to one pod behind its target.
type Edge struct {
	Path   string // name in the suite
	Conn   verdict.Conn
	Expect v1alpha1.Expectation
}

func (e Edge) expected(d verdict.Decision) bool {
	if e.Expect == v1alpha1.ExpectDeny {
		return d == verdict.Deny
	}
	return d == verdict.Allow
}

// Failure is an edge that must hold and that some mix of pod states does not
// certainly allow.
type Failure struct {
	Edge Edge
	// Mixes that do not allow it, of nine; the first is the one that Rule is about.
	Mixes    []Mix
	Decision verdict.Decision // Deny or Unknown, in the first mix
	Rule     string           // that cuts it there, or why it is unknown
}

// Proof says what holds in every reachable mix of pod states, and what does not.
type Proof struct {
	// Failures of mustHold edges, in the order of the edges.
	Failures []Failure
	// Exposures are edges that baseline and candidates deny and some mix allows.
	Exposures []Exposure
	// ExposuresLeftOff counts those that are not listed because the list is bounded.
	ExposuresLeftOff int
	// Waves are the changed policies in an order that avoids every exposure. One wave
	// where there is nothing to avoid and nobody wants more; none if no order does.
	Waves []Wave
	// Cyclic are the exposures for which no order exists.
	Cyclic []Exposure
	// Unisolated, sorted by policy and direction.
	Unisolated []Unisolation
}

// ProofOptions tunes Prove. The zero value works.
type ProofOptions struct {
	// Workload names the workload of a pod, by which exposures are listed; nil: WorkloadByLabels.
	Workload func(*verdict.Pod) string
	// Ports are tried on every target, besides the declared and the mentioned ones.
	Ports []verdict.Port
	// AllowUnisolation are policies of which each selects pods that may be left without
	// isolation in its directions.
	AllowUnisolation []verdict.Policy
	// Waves says what the author wants to be a wave; zero: only what exposures force.
	Waves v1alpha1.Waves
	// MaxExposures bounds the list; 0 means 1,000.
	MaxExposures int
}

const defaultMaxExposures = 1000

// Prove judges a change over every reachable mix of pod states: whether the edges
// that must hold do, what is open for a while that neither set allows and which
// order avoids it, and what is left without isolation. Edges that must not work
// are not looked at. An error says that there is no plan to prove: a selector is
// invalid, or no bridges can be planned or proved.
//
// Exposures are found by classes of pods, and only between ends that the change
// touches, so time grows with those and not with the cluster. A pod and itself
// is no edge. The states are made of the very objects that a rollout installs.
func Prove(c Change, edges []Edge, o ProofOptions) (Proof, error) {
	bridges, err := Bridges(c.World.Policies, c.Candidates)
	if err != nil {
		return Proof{}, err
	}
	return c.prove(bridges, edges, o)
}

func (c Change) prove(bridges []Bridge, edges []Edge, o ProofOptions) (Proof, error) {
	o.MaxExposures = cmp.Or(o.MaxExposures, defaultMaxExposures)
	if o.Workload == nil {
		o.Workload = WorkloadByLabels
	}
	states := compile(c, bridges)
	order, err := newOrder(slices.Concat(c.replaced(), c.news()), o.MaxExposures)
	if err != nil {
		return Proof{}, err
	}
	x := &exposer{states: states, max: o.MaxExposures, order: order}
	x.expose(c.ends(x, bridges, o), len(c.World.ClusterPolicies) > 0)
	p := Proof{Failures: states.failures(edges), Exposures: x.list, ExposuresLeftOff: x.leftOff}
	p.Waves, p.Cyclic = order.waves(o.Waves)
	p.Unisolated, err = c.unisolations(o.AllowUnisolation)
	return p, err
}

// ends groups the pods, and says how the change touches each class.
func (c Change) ends(x *exposer, bridges []Bridge, o ProofOptions) []*end {
	base := x.states[AtBaseline]
	worlds := []verdict.World{base.World(), x.states[AtBridged].World()}
	v, mentions := class.NewVocabulary(worlds...), class.NewMentions(worlds...)
	var pods []*verdict.Pod
	for _, p := range base.Pods() {
		pods = append(pods, p)
	}
	x.tries = trier{given: o.Ports, other: v.Other(pods, o.Ports...)}
	touching := byNamespace(slices.Concat(c.replaced(), c.news()))
	for i, b := range bridges {
		if len(c.World.ClusterPolicies) > 0 { // else a bridge touches nobody's verdict
			p := verdict.Policy{Namespace: b.Namespace, Name: fmt.Sprintf("bridge %d", i), Spec: BridgeSpec(b, b.Selector)}
			touching[b.Namespace] = append(touching[b.Namespace], p)
		}
	}
	goes, stays := byNamespace(c.replaced()), byNamespace(c.After().Policies)
	var all []*end
	for _, cl := range class.Of(v, base, nil) {
		e := &end{Class: cl, workloads: byWorkload(cl, o.Workload), touched: map[networkingv1.PolicyType]bool{}}
		e.egress, e.ingress = mentions.Of(cl.Rep())
		for _, d := range directions {
			on := func(policies map[string][]verdict.Policy) bool {
				return slices.ContainsFunc(policies[cl.Rep().Is.Namespace], func(p verdict.Policy) bool { return cl.Rep().MayIsolate(p, d) })
			}
			e.touched[d] = on(touching)
			e.opened = e.opened || on(goes) && !on(stays)
		}
		all = append(all, e)
	}
	return all
}

func byNamespace(all []verdict.Policy) map[string][]verdict.Policy {
	m := map[string][]verdict.Policy{}
	for _, p := range all {
		m[p.Namespace] = append(m[p.Namespace], p)
	}
	return m
}

// OnTheWay reports whether the edge works before the change and after it, and not in
// between.
func (f Failure) OnTheWay() bool {
	return f.Mixes[0] != Mix{AtBaseline, AtBaseline} && !slices.Contains(f.Mixes, Mix{AtEnforced, AtEnforced})
}

// String says which path fails, when, and why.
func (f Failure) String() string {
	return fmt.Sprintf("path %q: %s to %s is judged %s with its source %s and its target %s: %s",
		f.Edge.Path, f.Edge.Conn.From, f.Edge.Conn.To, f.Decision, f.Mixes[0].Source, f.Mixes[0].Target, f.Rule)
}

// Refusals say why a change is refused for what the proof found: exposures that
// no order avoids, and un-isolations that nobody allowed. Empty: it is not.
// Failures are not among them: they are predictions, and packets decide.
func (p Proof) Refusals() []string {
	var all []string
	for _, e := range p.Cyclic {
		all = append(all, fmt.Sprintf("%s to %s %d/%s would be open for a while, with its source %s and its target %s, although neither the baseline nor the candidates allow it, and no order of the policies avoids it: first close one of the two ends with a policy of its own, in a rollout before this one",
			e.From.Key(), e.To.Key(), e.Port.Number, e.Port.Protocol, e.Mix.Source, e.Mix.Target))
	}
	for _, u := range p.Unisolated {
		if !u.Allowed {
			all = append(all, fmt.Sprintf("policy %s goes, and pods with labels %s would not be isolated for %s any more (%d pods today): keep a policy that selects them, or accept it with spec.exceptions: [%s]",
				u.Policy, labelText(u.Labels), strings.ToLower(string(u.Direction)), len(u.Pods), u.exception()))
		}
	}
	return all
}

func compareExposures(a, b Exposure) int {
	return cmp.Or(strings.Compare(a.From.Key(), b.From.Key()), strings.Compare(a.To.Key(), b.To.Key()),
		cmp.Compare(a.Port.Number, b.Port.Number), strings.Compare(string(a.Port.Protocol), string(b.Port.Protocol)))
}
