package operator

import (
	"fmt"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// pinned refuses a source that is not what the rollout was made for, and reports whether
// it is. Whoever may edit a suite or a ConfigMap need not be who may act as the account of
// the rollout; so where there are tenants, a source without a digest is refused, too.
func (r *RunReconciler) pinned(ro *v1alpha1.PolicyRollout, source v1alpha1.Source, digest string, no *refusal) bool {
	name := fmt.Sprintf("%s %s/%s", source.Kind, ro.Namespace, source.Name)
	switch {
	case digest == source.Digest, digest == "" && r.SingleTenant:
		return true
	case digest == "":
		no.add("rollout %s/%s does not say with which digest it names %s, and it must where there are tenants: whoever edits that may have no right to the account of the rollout", ro.Namespace, ro.Name, name)
	default:
		no.add("%s is another than rollout %s/%s was made for: the rollout states digest %s, and it has %s; put back what it was and retry the rollout, or look at it and state the new digest", name, ro.Namespace, ro.Name, digest, source.Digest)
	}
	no.repair("# the digests of what rollout %s/%s names now, for its spec:\ntightrope rollout digest %s -n %s", ro.Namespace, ro.Name, ro.Name, ro.Namespace)
	return false
}
