package operator

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// Roles of our objects.
const (
	roleBridge    = plan.RoleBridge
	roleCandidate = plan.RoleCandidate
	roleFinal     = plan.RoleFinal
	roleOriginal  = "original"
	roleProbe     = "probe"
	roleCheck     = plan.RoleCheck
	roleMarker    = plan.RoleMarker
	roleSnapshot  = "snapshot"
	roleReport    = "report"
	roleEvidence  = "evidence"
	roleClaim     = "claim"
)

// wish is a NetworkPolicy as it should be.
type wish struct {
	namespace, name, role string
	run                   runKey
	spec                  networkingv1.NetworkPolicySpec
	selector              *metav1.LabelSelector       // of a bridge: the pods it is for, whatever it selects now
	have                  *networkingv1.NetworkPolicy // the run's policy of that name, as read; nil: none was seen
	original              *Original                   // that is to be so; nil: the run made the policy
	hold                  rollout.Hold                // of the original, unless it becomes the candidate
	release               bool                        // take off what the run wrote on the original
	marks                 plan.Marks                  // that a policy of that role has beside ours
}

// bridgeWishes are the bridges in a given activation.
func (p *Plan) bridgeWishes(a rollout.Activation) []wish {
	out := make([]wish, 0, len(p.Bridges))
	for _, b := range p.Bridges {
		spec := rollout.BridgeSpec(b.Bridge, rollout.BridgeSelector(b.Bridge, a, p.Run))
		out = append(out, wish{namespace: b.Namespace, name: b.Object, role: roleBridge, run: p.key(), spec: spec, selector: &b.Selector})
	}
	return out
}

// wideWishes are the bridges as a rollback wants them: over enforced pods too,
// but no further than the step had gone, so that a shadow stage ends without
// ever having selected a production pod.
func (p *Plan) wideWishes(scope rollout.Scope) []wish {
	reach := rollout.Live
	if scope == rollout.ProbePods {
		reach = rollout.Shadow
	}
	out := p.bridgeWishes(reach)
	for i, b := range p.Bridges {
		out[i].spec.PodSelector = rollout.CandidateSelector(b.Selector, reach, p.Run)
	}
	return out
}

// candidateWishes are the temporary candidates in a given activation.
func (p *Plan) candidateWishes(a rollout.Activation) []wish {
	out := make([]wish, 0, len(p.Candidates))
	for _, c := range p.Candidates {
		spec := *c.Spec.DeepCopy()
		spec.PodSelector = rollout.CandidateSelector(c.Spec.PodSelector, a, p.Run)
		out = append(out, wish{namespace: c.Namespace, name: c.Object, role: roleCandidate, run: p.key(), spec: spec})
	}
	return out
}

// finalWishes are the candidates under their own names, for the commit. One that
// replaces an original becomes that, which selects nothing by then.
func (p *Plan) finalWishes(a rollout.Activation) []wish {
	var out []wish
	for i, x := range p.candidateWishes(a) {
		c := p.Candidates[i]
		x.name, x.role, x.original, x.marks = c.Name, roleFinal, p.original(c.Namespace, c.Name), c.Marks
		if x.original == nil || a == rollout.Live {
			out = append(out, x)
		}
	}
	return out
}

// activations of bridges and candidates in a scope.
func activations(s rollout.Scope) (bridges, candidates rollout.Activation) {
	switch s {
	case rollout.ProbePods:
		return rollout.Shadow, rollout.Shadow
	case rollout.Bridged, rollout.Few:
		return rollout.Live, rollout.Live
	case rollout.Everyone:
		return rollout.Inert, rollout.Live
	}
	return rollout.Inert, rollout.Inert
}

// policy is the policy of that name; nil: there is none.
func (w *world) policy(key types.NamespacedName) *networkingv1.NetworkPolicy {
	return w.named()[key]
}

// seen returns the wishes with what is there of each: a policy of the run, or nil.
func (w *world) seen(wishes []wish) []wish {
	have := w.named()
	out := slices.Clone(wishes)
	for i, x := range out {
		if np := have[x.key()]; np != nil && x.ours(np) {
			out[i].have = np
		}
	}
	return out
}

// unmet returns the wishes that the world does not grant yet.
func (w *world) unmet(wishes []wish) []wish {
	return slices.DeleteFunc(w.seen(wishes), func(x wish) bool {
		return x.met()
	})
}

// exists returns the wishes whose objects are there at all and are the run's.
func (w *world) exists(wishes []wish) []wish {
	return slices.DeleteFunc(w.seen(wishes), func(x wish) bool { return x.have == nil })
}

// absent returns the wishes whose objects are not there.
func (w *world) absent(wishes []wish) []wish {
	return slices.DeleteFunc(w.seen(wishes), func(x wish) bool { return x.have != nil })
}

// inForce reports whether a candidate of the run acts on any pod of the namespace.
func (w *world) inForce(run runKey, namespace string) bool {
	return slices.ContainsFunc(w.policies, func(np networkingv1.NetworkPolicy) bool {
		role := np.Labels[v1alpha1.LabelRole]
		n, held := noteOf(&np)
		changed := held && n.heldBy(run) && !equality.Semantic.DeepEqual(np.Spec, n.Spec)
		return np.Namespace == namespace && (changed || (role == roleCandidate || role == roleFinal) && run.Made(&np) && !inert(&np))
	})
}

func (x wish) key() types.NamespacedName {
	return types.NamespacedName{Namespace: x.namespace, Name: x.name}
}

func (x wish) object() *networkingv1.NetworkPolicy {
	np := &networkingv1.NetworkPolicy{ObjectMeta: x.run.Meta(x.namespace, x.name, x.role), Spec: x.spec}
	x.marks.On(np)
	if x.selector != nil {
		np.Annotations[v1alpha1.AnnotationSelector] = selectorText(x.selector)
	}
	return np
}

// ours reports whether what has the wished name is the run's. The run's label is
// enough where no run's UID contradicts it: somebody may take the annotation off a
// live candidate, and a rollback must take that candidate away all the same.
func (x wish) ours(np *networkingv1.NetworkPolicy) bool {
	if x.original != nil {
		return np.UID == x.original.UID
	}
	unsigned := x.run.UID != "" && np.Labels[v1alpha1.LabelRun] == x.run.Name && np.Annotations[v1alpha1.AnnotationRunUID] == ""
	return x.run.Made(np) || unsigned
}

// marked is a copy of what is there, with all marks of the run on it.
func (x wish) marked() *networkingv1.NetworkPolicy {
	if x.original != nil {
		return x.noted()
	}
	np, want := x.have.DeepCopy(), x.object()
	np.Labels, np.Annotations = merged(np.Labels, want.Labels), merged(np.Annotations, want.Annotations)
	return np
}

// labelPods makes exactly the wanted production pods wear a label of the run and
// reports whether it had to write.
func labelPods(ctx context.Context, write *writer.Writer, w *world, label, run string, want map[types.NamespacedName]bool) (bool, error) {
	wrote := false
	for _, pod := range w.mislabelled(label, run, want) {
		value := &run
		if pod.Labels[label] == run {
			value = nil
		}
		if err := write.Relabel(ctx, pod, map[string]*string{label: value}, nil); err != nil {
			return wrote, fmt.Errorf("label pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		wrote = true
	}
	return wrote, nil
}

// mislabelled lists the production pods that wear a label of the run and should not, or
// the other way round. Probe pods carry their labels from birth.
func (w *world) mislabelled(label, run string, want map[types.NamespacedName]bool) []*corev1.Pod {
	var out []*corev1.Pod
	for key, pod := range w.pods {
		if pod.Labels[v1alpha1.LabelRole] == "" && (pod.Labels[label] == run) != want[key] {
			out = append(out, pod)
		}
	}
	return out
}

func selects(s *metav1.LabelSelector, l map[string]string) bool {
	return selectorOf(s).Matches(labels.Set(l))
}

// selectorOf is a selector for many pods; one that cannot be read selects none.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	if selector, err := metav1.LabelSelectorAsSelector(s); err == nil {
		return selector
	}
	return labels.Nothing()
}
