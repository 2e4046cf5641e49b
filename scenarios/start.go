package scenarios

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// start applies the suite and the rollout and returns the name of the run that
// this began. A rollout that was there before with the same spec was tried
// already, and nothing is tried twice: its verdict, which may be of a cluster
// that has changed since, is never passed off as a new one.
func start(ctx context.Context, c client.WithWatch, ro *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) (types.NamespacedName, error) {
	key := client.ObjectKeyFromObject(ro)
	var before v1alpha1.PolicyRollout
	if err := c.Get(ctx, key, &before); client.IgnoreNotFound(err) != nil {
		return types.NamespacedName{}, fmt.Errorf("rollout %s: %w", key, err)
	}
	for _, o := range []client.Object{suite, ro} {
		if err := applyObject(ctx, c, o); err != nil {
			return types.NamespacedName{}, err
		}
	}
	if err := c.Get(ctx, key, ro); err != nil {
		return types.NamespacedName{}, fmt.Errorf("rollout %s: %w", key, err)
	}
	if tried := before.Status.CurrentRunRef; tried != nil && ro.UID == before.UID && ro.Generation == before.Status.ObservedGeneration {
		return types.NamespacedName{}, fmt.Errorf("rollout %s is unchanged and was tried already, by run %s, which is in phase %s: delete it with `kubectl -n %s delete policyrollout %s`, and what it committed if that is to be tried again, then run this once more",
			key, tried.Name, before.Status.Phase, key.Namespace, key.Name)
	}
	generation := ro.Generation
	for {
		if run, err := begun(ctx, c, ro, generation); run != "" || err != nil {
			return types.NamespacedName{Namespace: key.Namespace, Name: run}, err
		}
		select {
		case <-ctx.Done():
			return types.NamespacedName{}, fmt.Errorf("rollout %s: no controller took it up: %w", key, context.Cause(ctx))
		case <-time.After(poll):
		}
		if err := c.Get(ctx, key, ro); err != nil {
			return types.NamespacedName{}, fmt.Errorf("rollout %s: %w", key, err)
		}
	}
}

// begun is the name of the run that tries the generation of this very rollout;
// empty: there is none yet. What the status says of an older generation, a
// refusal too, does not count.
func begun(ctx context.Context, c client.Client, ro *v1alpha1.PolicyRollout, generation int64) (string, error) {
	key := client.ObjectKeyFromObject(ro)
	st := ro.Status
	switch {
	case st.ObservedGeneration != generation:
		return "", nil
	case st.CurrentRunRef == nil && st.Phase == v1alpha1.PhaseRefused:
		return "", fmt.Errorf("rollout %s was refused: %s", key, conditionMessage(st.Conditions))
	case st.CurrentRunRef == nil:
		return "", nil
	}
	var run v1alpha1.PolicyRolloutRun
	err := c.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: st.CurrentRunRef.Name}, &run)
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("run %s of rollout %s: %w", st.CurrentRunRef.Name, key, err)
	case run.UID != st.CurrentRunRef.UID, run.Spec.RolloutRef.UID != ro.UID, run.Spec.Generation != generation:
		return "", nil
	}
	return run.Name, nil
}
