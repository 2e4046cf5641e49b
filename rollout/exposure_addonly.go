package rollout

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Changed lists the candidates that would change a policy of the baseline: same
// namespace and name, another spec once both are defaulted. Empty for a set
// that only adds.
func Changed(baseline, candidates []verdict.Policy) []verdict.Policy {
	return slices.DeleteFunc(slices.Clone(candidates), func(c verdict.Policy) bool {
		was, ok := find(baseline, c)
		return !ok || sameSpec(was.Spec, c.Spec)
	})
}

// Added lists the candidates whose namespace and name are new. One that is
// neither added nor changed is in force already, and there is nothing to do.
func Added(baseline, candidates []verdict.Policy) []verdict.Policy {
	return slices.DeleteFunc(slices.Clone(candidates), func(c verdict.Policy) bool {
		_, ok := find(baseline, c)
		return ok
	})
}

func find(all []verdict.Policy, p verdict.Policy) (verdict.Policy, bool) {
	i := slices.IndexFunc(all, func(q verdict.Policy) bool { return q.Namespace == p.Namespace && q.Name == p.Name })
	if i < 0 {
		return verdict.Policy{}, false
	}
	return all[i], true
}

// sameSpec compares specs as the API server defaults them: a missing list and
// an empty one are the same, and so are policyTypes in another order.
func sameSpec(a, b networkingv1.NetworkPolicySpec) bool {
	a, b = verdict.Defaulted(a), verdict.Defaulted(b)
	slices.Sort(a.PolicyTypes)
	slices.Sort(b.PolicyTypes)
	return equality.Semantic.DeepEqual(a, b)
}
