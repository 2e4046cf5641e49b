package rollout

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
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

// Unisolation is a direction in which pods are isolated before and not after.
type Unisolation struct {
	Policy    string // of R, by which they are isolated: namespace/name
	Direction networkingv1.PolicyType
	// Labels of a pod that it would happen to, the fewest; there may be none such today.
	Labels map[string]string
	// Pods of today that it happens to, sorted by key.
	Pods []string
	// Allowed says that the author of the rollout named it.
	Allowed bool
}

// Proof says what holds in every reachable mix of pod states, and what does not.
type Proof struct {
	// Failures of mustHold edges, in the order of the edges.
	Failures []Failure
	// Exposures are edges that baseline and candidates deny and some mix allows.
	Exposures []Exposure
	// ExposuresLeftOff counts those that are not listed because the list is bounded.
	ExposuresLeftOff int
	// Waves is an order of the changed policies (namespace/name) that avoids every
	// exposure: a wave is activated and enforced for all its pods before the next
	// is activated. One wave where there is nothing to avoid; none if no order does.
	Waves [][]string
	// Cyclic are the exposures for which no order exists.
	Cyclic []Exposure
	// Unisolated, sorted by policy and direction.
	Unisolated []Unisolation
}
