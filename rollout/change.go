package rollout

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Change is what a rollout does to the policies of a cluster. In the words of
// the protocol: K, the policies that stay, are World.Policies without R; R are
// those that Candidates replace or Remove names; C are the Candidates that are
// not in force already with an equal spec.
type Change struct {
	// World is the baseline: every policy of the cluster but the run's own.
	World verdict.World
	// Candidates are to be in force in the end: added, or in place of the
	// baseline policy of the same namespace and name.
	Candidates []verdict.Policy
	// Remove are the keys (namespace/name) of baseline policies that are to go.
	Remove []string
	// Pods are the production pods. What is said of pods not yet there is said by
	// selectors.
	Pods []verdict.Pod
}

// kept is K.
func (c Change) kept() []verdict.Policy {
	return slices.DeleteFunc(slices.Clone(c.World.Policies), c.goes)
}

// replaced is R.
func (c Change) replaced() []verdict.Policy {
	return slices.DeleteFunc(slices.Clone(c.World.Policies), func(p verdict.Policy) bool { return !c.goes(p) })
}

// goes reports whether a baseline policy is replaced or removed.
func (c Change) goes(p verdict.Policy) bool {
	with, ok := find(c.Candidates, p)
	return ok && !SameSpec(with.Spec, p.Spec) || !ok && slices.Contains(c.Remove, p.Key())
}

// news is C.
func (c Change) news() []verdict.Policy {
	return slices.DeleteFunc(slices.Clone(c.Candidates), func(p verdict.Policy) bool {
		was, ok := find(c.World.Policies, p)
		return ok && SameSpec(was.Spec, p.Spec)
	})
}

// After is the world once the change is done.
func (c Change) After() verdict.World {
	w := c.World
	w.Policies = slices.Concat(c.kept(), c.news())
	return w
}

func find(all []verdict.Policy, p verdict.Policy) (verdict.Policy, bool) {
	i := slices.IndexFunc(all, func(q verdict.Policy) bool { return q.Namespace == p.Namespace && q.Name == p.Name })
	if i < 0 {
		return verdict.Policy{}, false
	}
	return all[i], true
}

// SameSpec compares specs as the API server defaults them: a missing list and
// an empty one are the same, and so are policyTypes in another order.
func SameSpec(a, b networkingv1.NetworkPolicySpec) bool {
	a, b = verdict.Defaulted(a), verdict.Defaulted(b)
	slices.Sort(a.PolicyTypes)
	slices.Sort(b.PolicyTypes)
	return equality.Semantic.DeepEqual(a, b)
}
