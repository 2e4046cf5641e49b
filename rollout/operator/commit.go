package operator

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// finalise puts the candidates in force under their own names and then makes
// the temporary objects select nothing. A new name cannot be given to an object,
// so the final one is created inert and activated by update. The recorded phase
// Committed is the commit point; until then a crash or a cut still restores.
func (r *RunReconciler) finalise(ctx context.Context, s *session, w *world) error {
	s.enter(place{kind: commit})
	if missing := w.absent(s.plan.finalWishes(rollout.Inert)); len(missing) > 0 {
		return r.apply(ctx, missing)
	}
	if unmet := w.unmet(s.plan.finalWishes(rollout.Live)); len(unmet) > 0 {
		if err := r.apply(ctx, unmet); err != nil {
			return err
		}
		s.bridgesAt = time.Now()
		return nil
	}
	if s.bridgesAt.IsZero() { // written by a process before this one: the wait begins again
		s.bridgesAt = time.Now()
	}
	if time.Since(s.bridgesAt) < 2*s.settleTime {
		return nil // no node may lose the temporary object before it has the final one
	}
	if unmet := w.unmet(s.plan.candidateWishes(rollout.Inert)); len(unmet) > 0 {
		began := time.Now()
		if err := r.apply(ctx, unmet); err != nil {
			return err
		}
		s.tighten("commit", began)
		return nil
	}
	s.acknowledge(time.Now())
	s.settle(w, time.Now())
	return nil
}

// tidy removes what a finished run left: temporary objects, labels, probe pods,
// and the run's mark on the policies that stay. It reports whether all is gone.
// It never changes what any pod may reach.
func (r *RunReconciler) tidy(ctx context.Context, run *v1alpha1.PolicyRolloutRun, w *world) (bool, error) {
	var gone []wish
	for i := range w.policies {
		np := &w.policies[i]
		if !keyOf(run).made(np) {
			continue
		}
		if np.Labels[v1alpha1.LabelRole] == roleFinal && run.Status.Phase == v1alpha1.PhaseCommitted {
			if err := r.handOver(ctx, np, run.Name); err != nil {
				return false, err
			}
			continue
		}
		gone = append(gone, wish{namespace: np.Namespace, name: np.Name, role: np.Labels[v1alpha1.LabelRole], run: keyOf(run), spec: np.Spec, have: np})
	}
	if others := slices.DeleteFunc(slices.Clone(gone), func(x wish) bool { return x.role == roleBridge }); len(others) > 0 {
		gone = others // bridges go last: a rollback that failed may have left live candidates under them
	}
	if err := r.remove(ctx, gone); err != nil {
		return false, err
	}
	wrote, err := labelPods(ctx, r.Client, w, run.Name, nil)
	if err != nil {
		return false, err
	}
	pods, err := r.removePods(ctx, w, keyOf(run))
	return len(gone) == 0 && !wrote && pods == 0, err
}

// handOver takes our marks off a committed policy: it is the author's now.
func (r *RunReconciler) handOver(ctx context.Context, np *networkingv1.NetworkPolicy, run string) error {
	labels := map[string]*string{v1alpha1.LabelRun: nil, v1alpha1.LabelRole: nil}
	annotations := map[string]*string{v1alpha1.AnnotationCommittedBy: &run, v1alpha1.AnnotationRunUID: nil}
	if err := relabel(ctx, r.Client, np, labels, annotations); err != nil {
		return fmt.Errorf("hand over policy %s/%s: %w", np.Namespace, np.Name, err)
	}
	return nil
}

// removePods deletes the plans of the run's probe pods; the pods belong to them
// and are deleted too, at once rather than when the collector comes by.
func (r *RunReconciler) removePods(ctx context.Context, w *world, run runKey) (left int, err error) {
	for _, pod := range w.pods {
		role := pod.Labels[v1alpha1.LabelRole]
		if !run.made(pod) || role != roleProbe && role != roleCheck {
			continue
		}
		left++
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
		for _, o := range []client.Object{cm, pod.DeepCopy()} {
			if err := r.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
				return left, fmt.Errorf("delete probe pod %s/%s: %w", pod.Namespace, pod.Name, err)
			}
		}
	}
	return left, nil
}

// forget deletes the snapshot of a run that is being deleted.
func (r *RunReconciler) forget(ctx context.Context, run runKey) error {
	var rev appsv1.ControllerRevision
	err := r.Live.Get(ctx, planRevision(run.name), &rev)
	if err == nil && run.made(&rev) {
		err = r.Delete(ctx, &rev, client.Preconditions{UID: &rev.UID})
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the snapshot of run %s: %w", run.name, err)
	}
	return nil
}
