package operator

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// claim refuses a run that would share a namespace with another one under way.
// It is asked before the plan is made and again before anything is changed, when
// the plans of both are stored; of two that are not armed the older one goes on.
func (r *RunReconciler) claim(ctx context.Context, ours []string, run *v1alpha1.PolicyRolloutRun, no *refusal) error {
	runs, err := r.others(ctx, run)
	if err != nil {
		return err
	}
	for i := range runs {
		other := &runs[i]
		armed := armedWith(other) != ""
		if other.Status.Phase.Terminal() || !armed && !older(other, run) {
			continue
		}
		theirs, err := loadPlan(ctx, r.Live, other.Name, armedWith(other))
		if !armed && apierrors.IsNotFound(err) {
			continue // it has no plan yet and will ask again before it changes anything
		} else if err != nil {
			return err
		}
		for _, ns := range theirs.Namespaces() {
			if slices.Contains(ours, ns) {
				no.add("namespace %s is claimed by %s", ns, r.claimant(other, run))
			}
		}
	}
	return nil
}

// claimant names a run that is in the way. Where there are tenants it says no more of one in
// another namespace.
func (r *RunReconciler) claimant(other, run *v1alpha1.PolicyRolloutRun) string {
	if other.Namespace != run.Namespace && !r.SingleTenant {
		return "a run of another namespace that is under way: wait for it"
	}
	return fmt.Sprintf("run %s/%s, which is in phase %s: wait for it or abort it", other.Namespace, other.Name, other.Status.Phase)
}

// others are all runs but this one.
func (r *RunReconciler) others(ctx context.Context, run *v1alpha1.PolicyRolloutRun) ([]v1alpha1.PolicyRolloutRun, error) {
	var runs v1alpha1.PolicyRolloutRunList
	if err := r.Live.List(ctx, &runs); err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return slices.DeleteFunc(runs.Items, func(other v1alpha1.PolicyRolloutRun) bool {
		return other.Name == run.Name && other.Namespace == run.Namespace
	}), nil
}

// older orders runs by their creation, then by name, so that two always agree.
func older(a, b *v1alpha1.PolicyRolloutRun) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
}
