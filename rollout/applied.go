package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// appliers are tools that keep an object as they want it, with what tells that one does.
var appliers = []struct {
	name     string
	managers []string // of fields
	marks    []string // keys of labels or annotations
}{
	// Argo CD: user-guide/resource_tracking.
	{"Argo CD", []string{"argocd-controller", "argocd-application-controller"}, []string{"argocd.argoproj.io/tracking-id", "argocd.argoproj.io/instance"}},
	// Flux: the kustomize and helm controllers' field managers and ownership labels.
	{"Flux", []string{"kustomize-controller", "helm-controller"}, []string{"kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"}},
	// Helm puts this annotation on all that a release has.
	{"Helm", []string{"helm"}, []string{"meta.helm.sh/release-name"}},
	// Kyverno's generate rules with synchronize.
	{"a Kyverno generate rule", []string{"kyverno"}, []string{"generate.kyverno.io/rule-name", "generate.kyverno.io/policy-name"}},
	// Rancher Fleet, which applies by Wrangler.
	{"Fleet", []string{"fleetagent"}, []string{"objectset.rio.cattle.io/id"}},
	// Config Sync.
	{"Config Sync", []string{"configsync.gke.io"}, []string{"configmanagement.gke.io/managed"}},
}

// ourPrefix is that of every label and annotation of ours.
const ourPrefix = "tightrope.dev/"

// lastApplied is what kubectl apply writes on an object, for its next apply.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Unkept says which parts of a candidate's metadata the policy must not have from this
// rollout, and why: they speak for somebody else.
func Unkept(np *networkingv1.NetworkPolicy, spec *v1alpha1.PolicyRolloutSpec) []string {
	var all []string
	refuse := func(what, why string) {
		all = append(all, fmt.Sprintf("policy %s/%s has %s in the rollout: %s", np.Namespace, np.Name, what, why))
	}
	for _, m := range []struct {
		kind string
		have map[string]string
	}{{"label", np.Labels}, {"annotation", np.Annotations}} {
		for _, key := range slices.Sorted(maps.Keys(m.have)) {
			if what := m.kind + " " + key; strings.HasPrefix(key, ourPrefix) {
				refuse(what, "Tightrope writes what is under "+ourPrefix+" itself; leave it out")
			} else if key == lastApplied {
				refuse(what, "kubectl apply writes that about what it applied itself; leave it out")
			}
		}
	}
	if by := markedBy(np); by != "" && spec.Suspended(np.Namespace+"/"+np.Name) == "" {
		refuse("the mark of "+by, fmt.Sprintf(`with it that tool takes the policy for its own, and may write over it or delete it; leave it out, or suspend the tool and say so with spec.exceptions: [{type: %s, policy: %s/%s, reason: "say how"}]`,
			v1alpha1.ExceptionSuspendedSync, np.Namespace, np.Name))
	}
	if len(np.OwnerReferences) > 0 {
		refuse("ownerReferences", "the policy would go with its owner; leave them out")
	}
	if len(np.Finalizers) > 0 {
		refuse("finalizers", "a rollback could not take the policy away; leave them out")
	}
	return all
}

// WrittenOver says why a rollout must not change a policy that is there: a tool applies
// it, and would write over what the rollout makes of it. Empty: none is known to, or the
// author of the rollout says that it does not for now.
func WrittenOver(np *networkingv1.NetworkPolicy, spec *v1alpha1.PolicyRolloutSpec) string {
	by := appliedBy(np)
	if by == "" || spec.Suspended(np.Namespace+"/"+np.Name) != "" {
		return ""
	}
	return fmt.Sprintf(`policy %s/%s is there and would be changed, and %s applies it: it would be written over in the middle of the rollout. Suspend that for as long as the rollout lasts, and say so with spec.exceptions: [{type: %s, policy: %s/%s, reason: "say how"}]; or leave the policy out of the rollout`,
		np.Namespace, np.Name, by, v1alpha1.ExceptionSuspendedSync, np.Namespace, np.Name)
}

// appliedBy names the tool that keeps a policy as it wants it; empty: none is known.
func appliedBy(np *networkingv1.NetworkPolicy) string {
	if owner := metav1.GetControllerOf(np); owner != nil {
		return fmt.Sprintf("the controller of %s %s", owner.Kind, owner.Name)
	}
	if by := markedBy(np); by != "" {
		return by
	}
	for _, a := range appliers {
		for _, f := range np.ManagedFields {
			if slices.Contains(a.managers, strings.ToLower(f.Manager)) {
				return fmt.Sprintf("%s (field manager %s)", a.name, f.Manager)
			}
		}
	}
	return ""
}

// markedBy names the tool whose mark a policy has; empty: none is known.
func markedBy(np *networkingv1.NetworkPolicy) string {
	for _, a := range appliers {
		for _, key := range a.marks {
			if _, label := np.Labels[key]; label {
				return fmt.Sprintf("%s (label %s)", a.name, key)
			}
			if _, annotation := np.Annotations[key]; annotation {
				return fmt.Sprintf("%s (annotation %s)", a.name, key)
			}
		}
	}
	return ""
}
