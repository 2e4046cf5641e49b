package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// What is refused of a rollout whatever there is in the cluster. The controller asks it
// before it plans, and so does whoever foresees that.

// MaxName is how long the name of a rollout may be: it leaves room for the suffix of the
// run's name, which is also a label value, and for the names of the run's objects.
const MaxName = 40

// LongName says that the runs of a rollout could have no name; empty: they can.
func LongName(rollout string) string {
	if len(rollout) <= MaxName {
		return ""
	}
	return fmt.Sprintf("the name is too long: %q has %d characters, at most %d leave room for the names of its runs; give the rollout a shorter name", rollout, len(rollout), MaxName)
}

// ourPrefix is that of every label key of ours.
const ourPrefix = "tightrope.dev/"

// Protected are namespaces that no rollout may write to, whatever it says.
var Protected = []string{"kube-system", "kube-public", "kube-node-lease", v1alpha1.SystemNamespace}

// Reserved refuses identities that would be taken for pods of ours, and probe pods
// where nobody may write.
func Reserved(suite string, identities []v1alpha1.Identity) (wrong []string) {
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, id := range identities {
		if strings.HasPrefix(id.Name, "tightrope-") {
			refuse("suite %s: identity %q is called like one of Tightrope's own pods: choose a name that does not begin with tightrope-", suite, id.Name)
		}
		for _, key := range slices.Sorted(maps.Keys(id.Labels)) {
			if strings.HasPrefix(key, ourPrefix) {
				refuse("suite %s: identity %q has label %s: labels under %s mark Tightrope's own objects, and no workload has them", suite, id.Name, key, ourPrefix)
			}
		}
		if slices.Contains(Protected, id.Namespace) {
			refuse("suite %s: identity %q lives in namespace %s, which is protected: no probe pod may be there", suite, id.Name, id.Namespace)
		}
	}
	return wrong
}

// Misplaced refuses policies where no rollout may write, and those that the rollout
// names twice.
func Misplaced(spec *v1alpha1.PolicyRolloutSpec, candidates []*networkingv1.NetworkPolicy) (wrong []string) {
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	check := func(key, namespace, twice string) {
		if slices.Contains(Protected, namespace) || slices.Contains(spec.ProtectedNamespaces, namespace) {
			refuse("policy %s is in namespace %s, which is protected: no rollout may write there", key, namespace)
		}
		if seen[key] {
			refuse("policy %s %s", key, twice)
		}
		seen[key] = true
	}
	for _, c := range candidates {
		check(c.Namespace+"/"+c.Name, c.Namespace, "is in the rollout twice")
	}
	for _, ref := range spec.Policies.Remove {
		check(ref.Key(), ref.Namespace, "is in spec.policies.remove, and in the rollout a second time")
	}
	if len(seen) == 0 {
		refuse("the rollout has no policies: nothing to roll out")
	}
	return wrong
}
