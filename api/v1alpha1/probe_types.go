package v1alpha1

import (
	"cmp"
	"slices"
	"strings"
)

// Proof is the most that an attempt can show of a target. Each value includes those
// before it; the zero value shows nothing.
type Proof int

// The proofs.
const (
	ProvesNothing Proof = iota
	ProvesReach         // a connection was established; a proxy on the way can do that, too
	ProvesReply         // the target answered in its own protocol
	ProvesStatus        // and its answer has a code: an HTTP status, a DNS response code
)

// ProbeTraits is what a type of probe takes and what it can prove. The zero value is
// of a type that does not exist: nothing carries it, and it proves nothing.
//
// +kubebuilder:object:generate=false
type ProbeTraits struct {
	Type   ProbeType
	Over   []string // TCP, UDP: the protocols of a port that carry it
	Proves Proof
	Path   string // that is asked for where a suite gives none; empty: it takes no path
	// AsksNames says that the target is a name server: the probe takes a query, and
	// the target is tried at addresses, because it cannot be found by name.
	AsksNames bool
}

// probeTypes is the registry: one row for each type that a suite may ask for. The code
// that speaks a type is in probes/dial, in a file of its own.
var probeTypes = []ProbeTraits{
	{Type: ProbeTCP, Over: []string{"TCP"}, Proves: ProvesReach},
	{Type: ProbeHTTP, Over: []string{"TCP"}, Proves: ProvesStatus, Path: "/"},
	{Type: ProbeDNS, Over: []string{"TCP", "UDP"}, Proves: ProvesStatus, AsksNames: true},
}

// ProbeTypes are all types, in the order of the documentation.
func ProbeTypes() []ProbeTraits { return slices.Clone(probeTypes) }

// Traits of the type; the zero traits where it does not exist.
func (t ProbeType) Traits() ProbeTraits {
	t = cmp.Or(t, ProbeTCP)
	for _, known := range probeTypes {
		if known.Type == t {
			return known
		}
	}
	return ProbeTraits{}
}

// Carries reports whether a port of that protocol can be tried.
func (t ProbeTraits) Carries(protocol string) bool { return slices.Contains(t.Over, protocol) }

// ProbeTypesWith names the types that have a trait, for messages: "TCP, HTTP, DNS".
func ProbeTypesWith(trait func(ProbeTraits) bool) string {
	var names []string
	for _, known := range probeTypes {
		if trait(known) {
			names = append(names, string(known.Type))
		}
	}
	return strings.Join(names, ", ")
}
