package plan

import (
	"cmp"
	"slices"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Path is a path of a suite, its ways and its witness settled.
type Path struct {
	v1alpha1.Path // Via: the ways that can be tried
	// Asked are the ways that the suite states; empty: it leaves them to us.
	Asked []v1alpha1.Via `json:"asked,omitempty"`
	// WitnessPath is the index of an Allow path to the same target that shows it is alive; -1: none.
	WitnessPath int `json:"witnessPath"`
	// WitnessIdentity must get through where no such path exists: an identity, or the control pod's.
	WitnessIdentity string `json:"witnessIdentity,omitempty"`
	// WitnessWays are the ways that WitnessIdentity tries the target by. A plan that an
	// earlier release stored has none: there it tries addresses only, for either way.
	WitnessWays []v1alpha1.Via `json:"witnessWays,omitempty"`
	// MayFail says that the author accepts that the path does not work before the change.
	MayFail bool `json:"mayFail,omitempty"`
	// Later says that the path must not work, and that a later wave is to close it: it has no vote yet.
	Later bool `json:"later,omitempty"`
}

// Votes reports whether the path may stop a rollout.
func (p Path) Votes() bool {
	return p.Criticality != v1alpha1.CriticalityWarning && !p.Later
}

// Ways that the path is tried by.
func (p Path) Ways() []v1alpha1.Via {
	if len(p.Via) == 0 {
		return []v1alpha1.Via{v1alpha1.ViaService, v1alpha1.ViaPodIP}
	}
	return p.Via
}

// Protocol of the path's target.
func (p Path) Protocol() string { return cmp.Or(p.To.Service.Protocol, "TCP") }

// WitnessedBy makes an identity try the path's target, by the ways of the path.
func (p *Path) WitnessedBy(identity string) {
	p.WitnessIdentity, p.WitnessWays = identity, slices.Clone(p.Ways())
}

// SameTarget reports whether two paths lead to one port of one Service.
func (p Path) SameTarget(q Path) bool {
	a, b := p.To.Service, q.To.Service
	return a.Namespace == b.Namespace && a.Name == b.Name && a.Port == b.Port && p.Protocol() == q.Protocol()
}

// defaulted is the path as its suite means it: what is left out is filled in, and
// what this cluster cannot try is there.
func (p Path) defaulted() v1alpha1.Path {
	out := *p.Path.DeepCopy()
	p.Via = p.Asked
	out.Via = slices.Sorted(slices.Values(p.Ways()))
	out.To.Service.Protocol = p.Protocol()
	out.Criticality = cmp.Or(p.Criticality, v1alpha1.CriticalityCritical)
	out.Probe.Type = cmp.Or(p.Probe.Type, v1alpha1.ProbeTCP)
	out.Probe.Path = cmp.Or(p.Probe.Path, p.Probe.Type.Traits().Path)
	return out
}
