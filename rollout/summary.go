package rollout

import (
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/compare"
)

// Summary is everything that a person wants to know about a change before it is
// tried: what it does to the paths of the suites, to everything else, to whom,
// in which order, and why it would be refused.
type Summary struct {
	// Paths are the edges of the suites with their verdicts, in the order given:
	// the blast radius that somebody declared an interest in.
	Paths []PathChange
	// Changes are all connections that change verdict, by workload.
	Changes compare.Changes
	// Selected says whom each candidate selects, in the order of the candidates.
	Selected []Selection
	// Removed are the baseline policies that are replaced or go, sorted.
	Removed []string
	// Bridges in the order in which they are written; a rollback writes each once.
	Bridges []Bridge
	// Tested is how much of the candidates the paths of the suites exercise.
	Tested Tested
	// Proof is what holds and does not hold on the way.
	Proof Proof
	// Refusals say why the change would not be tried; empty: nothing stands in its
	// way. Where no bridges can be planned, Bridges and Proof are empty.
	Refusals []string
}

// PathChange is an edge of a suite before and after the change.
type PathChange struct {
	Edge          Edge
	Before, After verdict.Verdict
}

// Breaks reports whether the edge is not as expected after the change. An
// Unknown verdict is not as expected: nobody can promise it.
func (p PathChange) Breaks() bool { return !p.Edge.expected(p.After.Decision) }

// Broken reports whether the edge is not as expected today already.
func (p PathChange) Broken() bool { return !p.Edge.expected(p.Before.Decision) }

// Selection is whom a candidate selects.
type Selection struct {
	Policy string // namespace/name
	// InForce says that the baseline has it already with an equal spec.
	InForce bool
	// Isolates lists the directions, "egress" or "ingress", in which it isolates.
	Isolates []string
	// Workloads of today that it selects, sorted, with their number of pods.
	Workloads []Share
	Pods      int
}

// Share is how many pods of a workload are meant.
type Share struct {
	Workload string
	Pods     int
}

// SummaryOptions tunes Summarize. The zero value works.
type SummaryOptions struct {
	ProofOptions
	// Name names the workload of a pod for people; nil: the pod's namespace/name.
	Name func(*verdict.Pod) string
	// MaxChanges bounds Changes.List; 0 means 10,000.
	MaxChanges int
	// DeclaredOnly leaves out of Changes all but the ports that targets declare.
	DeclaredOnly bool
	// PodsOnly leaves out of Changes all ends outside the cluster.
	PodsOnly bool
}

// Summarize says everything about a change. Edges are the paths of the suites,
// those that must not work included. It reads its arguments and nothing else.
func Summarize(c Change, edges []Edge, o SummaryOptions) Summary {
	if o.Name == nil {
		o.Name = func(p *verdict.Pod) string { return p.Key() }
	}
	before, after := verdict.Compile(c.World, c.Pods), verdict.Compile(c.After(), c.Pods)
	s := Summary{Selected: c.selections(o.Name)}
	for _, e := range edges {
		s.Paths = append(s.Paths, PathChange{Edge: e, Before: before.Judge(e.Conn), After: after.Judge(e.Conn)})
	}
	s.Tested = c.Tested(edges, o.Name)
	diff := compare.Options{Workload: o.Name, Ports: o.Ports, Max: o.MaxChanges, DeclaredOnly: o.DeclaredOnly, PodsOnly: o.PodsOnly}
	if o.DeclaredOnly {
		diff.Ports = nil
	}
	s.Changes = compare.Diff(before, after, diff)
	for _, p := range c.replaced() {
		s.Removed = append(s.Removed, p.Key())
	}
	slices.Sort(s.Removed)
	planned, err := Bridges(c.World.Policies, c.Candidates)
	if err == nil {
		s.Bridges = planned
		s.Proof, err = c.prove(planned, edges, o.ProofOptions)
	}
	if err != nil {
		s.Refusals = append(s.Refusals, err.Error())
	}
	s.Refusals = append(s.Refusals, s.Proof.Refusals()...)
	return s
}

func (c Change) selections(name func(*verdict.Pod) string) []Selection {
	var all []Selection
	news := c.news()
	for _, p := range c.Candidates {
		_, isNew := find(news, p)
		s := Selection{Policy: p.Key(), InForce: !isNew}
		for _, d := range directions {
			if p.Affects(d) {
				s.Isolates = append(s.Isolates, strings.ToLower(string(d)))
			}
		}
		s.count(c.Pods, p, name)
		all = append(all, s)
	}
	return all
}

// count fills in whom the policy selects. One whose selector is invalid selects
// nobody; the planner refuses it by name.
func (s *Selection) count(pods []verdict.Pod, p verdict.Policy, name func(*verdict.Pod) string) {
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	shares := map[string]int{}
	for i := range pods {
		if on, err := p.Isolates(pods[i], networkingv1.PolicyTypeIngress); on && err == nil {
			shares[name(&pods[i])]++
			s.Pods++
		}
	}
	for _, w := range slices.Sorted(maps.Keys(shares)) {
		s.Workloads = append(s.Workloads, Share{w, shares[w]})
	}
}
