package compare

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Options tunes Diff. The zero value works.
type Options struct {
	// Workload names the workload of a pod; nil: every pod is its own, namespace/name.
	Workload func(*verdict.Pod) string
	// Ports are tried on every target, besides the declared and the mentioned ones.
	Ports []verdict.Port
	// DeclaredOnly leaves out the ports that only policies mention.
	DeclaredOnly bool
	// Addresses are outside ends to try, besides one of each set of addresses
	// that CIDRs of the policies tell apart.
	Addresses []netip.Addr
	// PodsOnly leaves out all outside ends.
	PodsOnly bool
	// Max bounds Changes.List; 0 means 10,000.
	Max int
}

// Kind is what became of a connection. The zero Kind is no change.
type Kind uint8

// The kinds.
const (
	Same          Kind = iota
	Opened             // denied before, allowed after
	Closed             // allowed before, denied after
	BecameUnknown      // it was known what the policies do about it
	BecameKnown        // it was not known what the policies do about it
)

// String names the kind for people.
func (k Kind) String() string {
	switch k {
	case Opened:
		return "opened"
	case Closed:
		return "closed"
	case BecameUnknown:
		return "became unknown"
	case BecameKnown:
		return "became known"
	}
	return "same"
}

func kindOf(before, after verdict.Decision) Kind {
	switch {
	case before == after:
		return Same
	case after == verdict.Unknown:
		return BecameUnknown
	case before == verdict.Unknown:
		return BecameKnown
	case after == verdict.Allow:
		return Opened
	}
	return Closed
}

// Change is a change of verdict that the pairs of pods of two workloads share.
type Change struct {
	From, To string // workloads, or outside addresses
	Port     int32
	// LastPort is the end of the stretch that Port stands for, of ports that the
	// target does not declare; Port itself for a port that is declared or was given.
	LastPort int32
	Protocol corev1.Protocol
	// Name of the port as the target declares it; empty: it does not, or gives no name.
	Name string
	// OtherPort says that Port stands for every port of the protocol that the
	// target does not declare and no policy deciding about either end mentions.
	OtherPort     bool
	Before, After verdict.Decision
	// BeforeRule and AfterRule are the deciding rules (verdict.Verdict.Rule) for
	// one pair, the example.
	BeforeRule, AfterRule  string
	ExampleFrom, ExampleTo verdict.End // as they are afterwards
	Pairs                  int         // of pods, or of a pod and an address, at least 1
}

// Kind says what became of the connection.
func (c Change) Kind() Kind { return kindOf(c.Before, c.After) }

// Totals count connections: a pair of ends on one port. All that changed are
// counted, whether List shows them or not.
type Totals struct {
	Opened, Closed, BecameUnknown, BecameKnown int
}

// Changed is the number of connections that changed in any way.
func (t Totals) Changed() int { return t.Opened + t.Closed + t.BecameUnknown + t.BecameKnown }

func (t *Totals) add(k Kind, n int) {
	switch k {
	case Opened:
		t.Opened += n
	case Closed:
		t.Closed += n
	case BecameUnknown:
		t.BecameUnknown += n
	case BecameKnown:
		t.BecameKnown += n
	}
}

// Changes is how two policy sets differ in what they do.
type Changes struct {
	// List is sorted by From, To, port and protocol.
	List []Change
	Totals
	// LeftOff counts the changed connections that no line of List stands for,
	// because List is bounded.
	LeftOff int
	// OnlyBefore and OnlyAfter are the pods (namespace/name) that only one side
	// has, sorted. Nothing is said about their connections.
	OnlyBefore, OnlyAfter []string
	// Outside are the outside addresses that were tried.
	Outside []netip.Addr
}
