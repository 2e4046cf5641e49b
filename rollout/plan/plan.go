package plan

import (
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// Plan is everything a run will do, fixed at preflight and stored as a snapshot.
// A restarted controller works from it and not from the rollout, whose author may
// have edited it since. Each field is either part of the digest or not: see decided.
type Plan struct {
	Schema  string    `json:"schema"`
	Run     string    `json:"run"`
	RunUID  types.UID `json:"runUID"`
	Rollout string    `json:"rollout"` // namespace/name
	// Sources that the rollout names, as they were when they were read.
	Sources []v1alpha1.Source `json:"sources"`
	// Account that everything forward is written as; none: the controller itself.
	Account types.NamespacedName `json:"account,omitzero"`
	// Waves of the rollout, all of them, as the first planned them; none: there is one only.
	Waves []rollout.Wave `json:"waves,omitempty"`
	// Wave that the run makes, from 1; 0: an earlier release planned. What the plan changes
	// is this wave's.
	Wave     int64              `json:"wave,omitempty"`
	Steps    []rollout.StepPlan `json:"steps"`
	Limits   rollout.Limits     `json:"limits"`
	Interval time.Duration      `json:"interval"`
	Timeout  time.Duration      `json:"timeout"`
	Budget   float64            `json:"budget"` // false rollbacks per hour
	// PodEnding of the names of probe pods; empty in a plan that an earlier release stored.
	PodEnding string `json:"podEnding,omitempty"`
	// Home is the namespace of the control pod; empty: Tightrope's own.
	Home string `json:"home,omitempty"`
	// ClusterDomain of DNS; empty: not known, names are completed by search lists.
	ClusterDomain string               `json:"clusterDomain"`
	Identities    []v1alpha1.Identity  `json:"identities"`
	Paths         []Path               `json:"paths"`
	Candidates    []Candidate          `json:"candidates"`
	Bridges       []Bridge             `json:"bridges"`
	Originals     []Original           `json:"originals,omitempty"`  // that candidates replace, or that go
	Baseline      []Policy             `json:"baseline"`             // of the namespaces that the plan writes to
	Exceptions    []v1alpha1.Exception `json:"exceptions,omitempty"` // that the author states
	Protected     []string             `json:"protected,omitempty"`  // namespaces, beside those that always are
}

// Policy is a NetworkPolicy as the API server defaults it.
type Policy struct {
	Namespace, Name string
	Spec            networkingv1.NetworkPolicySpec
}

// Key is namespace/name.
func (p Policy) Key() string { return p.Namespace + "/" + p.Name }

// Candidate is a policy to roll out, and the name of the temporary object that
// carries it until the commit.
type Candidate struct {
	Policy
	// Marks that the policy has from the commit on.
	Marks  Marks  `json:"marks,omitzero"`
	Object string `json:"object"`
}

// Bridge is a bridge and the name of its object.
type Bridge struct {
	rollout.Bridge
	Object string `json:"object"`
}

// Original is a policy of R in docs/protocol.md, as it was when the run was planned.
type Original struct {
	Policy
	UID types.UID `json:"uid"`
	// Fields says who had which field of it, so that they can have them back.
	Fields []metav1.ManagedFieldsEntry `json:"fields,omitempty"`
	// Becomes is the digest of the spec that the commit gives it; empty: it goes.
	Becomes string `json:"becomes,omitempty"`
	// Set are the marks that the commit changes on it, and Was what it had in their place.
	Set Marks `json:"set,omitzero"`
	Was Marks `json:"was,omitzero"`
}

// Namespaces that the plan writes policies to, sorted.
func (p *Plan) Namespaces() []string {
	var names []string
	for _, c := range p.Candidates {
		names = append(names, c.Namespace)
	}
	for _, o := range p.Originals {
		names = append(names, o.Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Identity is the one of that name.
func (p *Plan) Identity(name string) (v1alpha1.Identity, bool) {
	i := slices.IndexFunc(p.Identities, func(id v1alpha1.Identity) bool { return id.Name == name })
	if i < 0 {
		return v1alpha1.Identity{}, false
	}
	return p.Identities[i], true
}

// Removed are the keys of originals that nothing replaces.
func (p *Plan) Removed() []string {
	var out []string
	for _, o := range p.Originals {
		if o.Becomes == "" {
			out = append(out, o.Key())
		}
	}
	return out
}
