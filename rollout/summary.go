package rollout

import (
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
	// Proof is what holds and does not hold on the way.
	Proof Proof
	// Refusals say why the change would not be tried; empty: nothing stands in its way.
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
