package steer

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// List lists the rollouts of a namespace; empty: of all.
func (s *Steerer) List(ctx context.Context, namespace string) (*v1alpha1.PolicyRolloutList, error) {
	var list v1alpha1.PolicyRolloutList
	if err := s.c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, explain("list", "PolicyRollout", client.ObjectKey{Namespace: namespace}, err)
	}
	return &list, nil
}

// WatchList passes on the rollouts of a namespace (empty: of all) as they change, after
// those of a list, until ctx ends; the error is its cause then.
func (s *Steerer) WatchList(ctx context.Context, list *v1alpha1.PolicyRolloutList, namespace string, seen func(*v1alpha1.PolicyRollout)) error {
	for ctx.Err() == nil {
		from := &v1alpha1.PolicyRolloutList{}
		from.ResourceVersion = list.ResourceVersion
		w, err := s.c.Watch(ctx, from, client.InNamespace(namespace))
		if err != nil {
			return explain("watch", "PolicyRollout", client.ObjectKey{Namespace: namespace}, err)
		}
		stop := context.AfterFunc(ctx, w.Stop)
		for e := range w.ResultChan() {
			if ro, ok := e.Object.(*v1alpha1.PolicyRollout); ok {
				list.ResourceVersion = ro.ResourceVersion
				seen(ro)
			} else { // what it watched from is too old
				list.ResourceVersion = ""
			}
		}
		if stop() {
			w.Stop()
		}
		wait(ctx, lookEvery) // one that ends at once must not be asked for at once
	}
	return context.Cause(ctx)
}

// Found is a rollout and one of its runs.
type Found struct {
	Rollout *v1alpha1.PolicyRollout    // nil: it is gone, and the run is looked at by its name
	Run     *v1alpha1.PolicyRolloutRun // nil: the rollout has none, because it was refused or nobody took it up
}

// Find finds a rollout and its current run, or a run by its own name.
func (s *Steerer) Find(ctx context.Context, key client.ObjectKey) (Found, error) {
	ro := &v1alpha1.PolicyRollout{}
	switch err := s.get(ctx, "PolicyRollout", key, ro); {
	case err == nil:
		run, err := s.current(ctx, ro)
		return Found{ro, run}, err
	case !apierrors.IsNotFound(err):
		return Found{}, err
	}
	run := &v1alpha1.PolicyRolloutRun{}
	switch err := s.get(ctx, "PolicyRolloutRun", key, run); {
	case apierrors.IsNotFound(err):
		return Found{}, fmt.Errorf("%w: namespace %s has no PolicyRollout and no run of the name %q; tightrope rollout list -n %s lists them", ErrNotFound, key.Namespace, key.Name, key.Namespace)
	case err != nil:
		return Found{}, err
	}
	ro = &v1alpha1.PolicyRollout{}
	err := s.get(ctx, "PolicyRollout", client.ObjectKey{Namespace: key.Namespace, Name: run.Spec.RolloutRef.Name}, ro)
	if apierrors.IsNotFound(err) || err == nil && ro.UID != run.Spec.RolloutRef.UID {
		return Found{nil, run}, nil
	}
	return Found{ro, run}, err
}

// current is the run that the rollout's status names; nil: there is none, or another
// one has its name.
func (s *Steerer) current(ctx context.Context, ro *v1alpha1.PolicyRollout) (*v1alpha1.PolicyRolloutRun, error) {
	ref := ro.Status.CurrentRunRef
	if ref == nil {
		return nil, nil
	}
	run := &v1alpha1.PolicyRolloutRun{}
	err := s.get(ctx, "PolicyRolloutRun", client.ObjectKey{Namespace: ro.Namespace, Name: ref.Name}, run)
	if apierrors.IsNotFound(err) || err == nil && (run.UID != ref.UID || run.Spec.RolloutRef.UID != ro.UID) {
		return nil, nil
	}
	return run, err
}

// ErrNotTakenUp says that no controller began a run.
var ErrNotTakenUp = errors.New("no controller took it up")

// lookEvery is how often something without a watch is looked at.
const lookEvery = 200 * time.Millisecond

// Begun waits for the run of a rollout's generation, of the attempt after the given one
// or a later one. What the status says of an older generation does not count.
func (s *Steerer) Begun(ctx context.Context, ro *v1alpha1.PolicyRollout, after int64) (*v1alpha1.PolicyRolloutRun, error) {
	key, generation := client.ObjectKeyFromObject(ro), ro.Generation
	for {
		now := &v1alpha1.PolicyRollout{}
		err := s.get(ctx, "PolicyRollout", key, now)
		switch {
		case err != nil && final(err):
			return nil, err
		case err == nil && (now.UID != ro.UID || now.Generation != generation):
			return nil, fmt.Errorf("%w: rollout %s was changed or replaced by somebody meanwhile", ErrRefused, key)
		case err == nil && now.Status.ObservedGeneration == generation:
			run, refused := s.begun(ctx, now, after)
			if run != nil || refused != nil {
				return run, refused
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("rollout %s: %w: %w; is the controller running? kubectl -n %s get pods", key, ErrNotTakenUp, context.Cause(ctx), v1alpha1.SystemNamespace)
		case <-time.After(lookEvery):
		}
	}
}

// begun is the run that a rollout has begun; nil: none yet. The error says that none
// will be.
func (s *Steerer) begun(ctx context.Context, ro *v1alpha1.PolicyRollout, after int64) (*v1alpha1.PolicyRolloutRun, error) {
	if told := meta.FindStatusCondition(ro.Status.Conditions, v1alpha1.ConditionRetryIgnored); after > 0 && told != nil {
		return nil, fmt.Errorf("%w: rollout %s is not tried again: %s", ErrRefused, client.ObjectKeyFromObject(ro), told.Message)
	}
	if ro.Status.CurrentRunRef == nil && ro.Status.Phase == v1alpha1.PhaseRefused {
		return nil, fmt.Errorf("%w: rollout %s was refused: %s", ErrRefused, client.ObjectKeyFromObject(ro), ro.Status.Message)
	}
	run, err := s.current(ctx, ro)
	if err != nil || run == nil || run.Spec.Generation != ro.Generation || run.Spec.Attempt <= after {
		return nil, nil // asked for again
	}
	return run, nil
}

// final reports whether asking again cannot help.
func final(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || errors.Is(err, ErrForbidden) || errors.Is(err, ErrRefused)
}
