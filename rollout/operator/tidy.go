package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// tidy removes what a finished run left in any namespace: temporary policies,
// labels, probe pods and their plans, and the run's mark on the policies that
// stay. It reports whether all is gone, which in the end it asks the API server
// itself. It never changes what any pod may reach.
func (r *RunReconciler) tidy(ctx context.Context, run *v1alpha1.PolicyRolloutRun, w *world) (bool, error) {
	originals, unsettled := r.settleOriginals(ctx, run, w)
	if run.Status.Phase != v1alpha1.PhaseCommitted && (originals > 0 || unsettled != nil) {
		return false, unsettled // a rollback that failed: no candidate goes before what was there is back
	}
	policies, err := r.tidyPolicies(ctx, run, w)
	if err = errors.Join(unsettled, err); err != nil {
		return false, err
	}
	wrote := false
	for _, label := range []string{v1alpha1.LabelEnforced, v1alpha1.LabelSpared} {
		one, err := labelPods(ctx, r.Write, w, label, run.Name, nil)
		if err != nil {
			return false, err
		}
		wrote = wrote || one
	}
	pods, err := r.removePods(ctx, w, keyOf(run))
	if err != nil || originals+policies+pods > 0 || wrote {
		return false, err
	}
	return r.nothingLeft(ctx, keyOf(run))
}

// tidyPolicies deletes the run's policies, or hands them over, and returns how many
// were there for that. Those that are handed over count: who plans next, the next wave
// above all, goes by a cache that shows it.
func (r *RunReconciler) tidyPolicies(ctx context.Context, run *v1alpha1.PolicyRolloutRun, w *world) (int, error) {
	key := keyOf(run)
	handed := 0
	var gone []wish
	for i := range w.policies {
		np := &w.policies[i]
		if !key.Made(np) {
			continue
		}
		if np.Labels[v1alpha1.LabelRole] == roleFinal && run.Status.Phase == v1alpha1.PhaseCommitted {
			if err := r.handOver(ctx, np, run.Name); err != nil {
				return 0, err
			}
			handed++
			continue
		}
		gone = append(gone, wishFor(key, np, np.Spec))
	}
	if others := slices.DeleteFunc(slices.Clone(gone), func(x wish) bool { return x.role == roleBridge }); len(others) > 0 {
		gone = others // bridges go last: a rollback that failed may have left live candidates under them
	}
	return handed + len(gone), r.remove(ctx, gone)
}

// handOver takes our marks off a committed policy: it is the author's now.
func (r *RunReconciler) handOver(ctx context.Context, np *networkingv1.NetworkPolicy, run string) error {
	labels := map[string]*string{v1alpha1.LabelRun: nil, v1alpha1.LabelRole: nil}
	annotations := map[string]*string{v1alpha1.AnnotationCommittedBy: &run, v1alpha1.AnnotationRunUID: nil}
	if err := r.Write.Relabel(ctx, np, labels, annotations); err != nil {
		return fmt.Errorf("hand over policy %s/%s: %w", np.Namespace, np.Name, err)
	}
	return nil
}

// removePods deletes the run's probe pods, at once rather than when the collector
// comes by after their plans, and returns how many were there.
func (r *RunReconciler) removePods(ctx context.Context, w *world, run runKey) (left int, err error) {
	for _, pod := range w.pods {
		if !run.Made(pod) {
			continue
		}
		left++
		if err := r.Write.Delete(ctx, pod.DeepCopy()); err != nil {
			return left, fmt.Errorf("delete probe pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return left, nil
}

// clearAway removes what a plan before this one left of the run, where the run
// plans again or its operator was stopped in preflight, and reports whether it is
// gone. Nothing of it was in force but the isolation of the run's own pods.
func (r *RunReconciler) clearAway(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world) (bool, error) {
	s.pods.Forget()
	policies, err := r.tidyPolicies(ctx, run, w)
	if err != nil {
		return false, err
	}
	pods, err := r.removePods(ctx, w, keyOf(run))
	return policies+pods == 0, err
}

// leavings are the kinds that a run makes in namespaces, and the label by which
// its objects are found.
var leavings = []struct {
	kind  schema.GroupVersionKind
	label string
}{
	{networkingv1.SchemeGroupVersion.WithKind("NetworkPolicyList"), v1alpha1.LabelRun},
	{networkingv1.SchemeGroupVersion.WithKind("NetworkPolicyList"), v1alpha1.LabelOriginal},
	{corev1.SchemeGroupVersion.WithKind("PodList"), v1alpha1.LabelRun},
	{corev1.SchemeGroupVersion.WithKind("PodList"), v1alpha1.LabelEnforced},
	{corev1.SchemeGroupVersion.WithKind("PodList"), v1alpha1.LabelSpared},
	{corev1.SchemeGroupVersion.WithKind("ConfigMapList"), v1alpha1.LabelRun},
}

// nothingLeft asks the API server for everything that carries the run's label,
// and reports whether nothing of the run is among it. Plans of probe pods that
// never came to be are found here only, and deleted, and so are the claims: those go
// last, when nothing else of the run is in the namespace. The report and the evidence stay.
func (r *RunReconciler) nothingLeft(ctx context.Context, run runKey) (bool, error) {
	nothing := true
	var claims []*metav1.PartialObjectMetadata
	for _, l := range leavings {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(l.kind)
		if err := r.Live.List(ctx, &list, client.MatchingLabels{l.label: run.Name}); err != nil {
			return false, fmt.Errorf("what is left of run %s: list %s: %w", run.Name, l.kind.Kind, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			marked := l.label != v1alpha1.LabelRun && o.Labels[v1alpha1.LabelRole] == ""
			if kept := o.Labels[v1alpha1.LabelRole]; !marked && !run.Made(o) || kept == roleReport || kept == roleEvidence {
				continue
			}
			if kept := o.Labels[v1alpha1.LabelRole]; kept == roleClaim {
				claims = append(claims, o)
				continue
			}
			nothing = false
			if o.Labels[v1alpha1.LabelRole] != roleProbe {
				continue // the cache shows it in a later pass
			}
			if err := deleteOf(ctx, r.Write, run, o); err != nil {
				return false, fmt.Errorf("what is left of run %s: delete %s %s/%s: %w", run.Name, o.Kind, o.Namespace, o.Name, err)
			}
		}
	}
	if !nothing {
		return false, nil
	}
	for _, o := range claims {
		if err := deleteOf(ctx, r.Write, run, o); err != nil {
			return false, fmt.Errorf("give up namespace %s, which run %s has claimed: %w", o.Namespace, run.Name, err)
		}
	}
	return true, nil
}

// forget deletes the snapshot and the record of a run that is being deleted. The
// published report is the run's own, and goes with it.
func (r *RunReconciler) forget(ctx context.Context, run runKey) error {
	var rev appsv1.ControllerRevision
	err := r.Live.Get(ctx, plan.Revision(run.Name), &rev)
	if err == nil && run.Made(&rev) {
		err = r.Write.Delete(ctx, &rev)
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the snapshot of run %s: %w", run.Name, err)
	}
	var rec corev1.ConfigMap
	err = r.Live.Get(ctx, recordName(run.Name), &rec)
	if err == nil {
		err = deleteOf(ctx, r.Write, run, &rec)
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the record of run %s: %w", run.Name, err)
	}
	return nil
}
