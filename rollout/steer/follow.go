package steer

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

const (
	// lostWithin is how long the API server may be out of reach before a run is given up
	// following.
	lostWithin = time.Minute
	// watchAgain is how long a watch may be silent before the run is read.
	watchAgain = 10 * time.Second
)

// Errors of following.
var (
	// ErrLost says that a run cannot be followed any more; it goes on by itself.
	ErrLost = errors.New("it cannot be followed any more, and goes on by itself")
	// ErrGone says that the run was deleted.
	ErrGone = errors.New("it was deleted")
)

// Ended reports whether a run has ended and nothing of it is left.
func Ended(run *v1alpha1.PolicyRolloutRun) bool { return Tidied(run) && !run.GoesOn() }

// Tidied reports whether a run is over and has left nothing behind. Another wave may
// follow it.
func Tidied(run *v1alpha1.PolicyRolloutRun) bool {
	return run.Status.Phase.Terminal() && meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionTidied)
}

// Follow passes every state of a run that it sees to seen, the present one first, until
// seen says that this is enough. It returns the last one. When ctx ends, the error is
// its cause: nothing is done to the run.
func (s *Steerer) Follow(ctx context.Context, run *v1alpha1.PolicyRolloutRun, seen func(*v1alpha1.PolicyRolloutRun) bool) (*v1alpha1.PolicyRolloutRun, error) {
	key, uid, last := client.ObjectKeyFromObject(run), run.UID, run
	lastSeen := time.Now()
	for ctx.Err() == nil {
		now := &v1alpha1.PolicyRolloutRun{}
		switch err := s.get(ctx, "PolicyRolloutRun", key, now); {
		case ctx.Err() != nil:
			continue
		case apierrors.IsNotFound(err) || err == nil && now.UID != uid:
			return last, fmt.Errorf("run %s: %w", key, ErrGone)
		case err != nil && (final(err) || time.Since(lastSeen) > lostWithin):
			return last, fmt.Errorf("run %s: %w: %w", key, ErrLost, err)
		case err != nil:
			wait(ctx, time.Second)
			continue
		}
		last, lastSeen = now, time.Now()
		if seen(now) {
			return now, nil
		}
		if Tidied(now) && now.GoesOn() {
			next, err := s.nextWave(ctx, now)
			if err != nil {
				return last, err
			}
			key, uid, last = client.ObjectKeyFromObject(next), next.UID, next
			continue
		}
		var enough bool
		if last, enough = s.changes(ctx, now, seen); enough {
			return last, nil
		}
	}
	return last, context.Cause(ctx)
}

// changes passes on what a watch tells, until it is enough or the watch ends. A run is
// looked at again then, and where one may not watch.
func (s *Steerer) changes(ctx context.Context, run *v1alpha1.PolicyRolloutRun, seen func(*v1alpha1.PolicyRolloutRun) bool) (*v1alpha1.PolicyRolloutRun, bool) {
	var from v1alpha1.PolicyRolloutRunList
	from.ResourceVersion = run.ResourceVersion
	w, err := s.c.Watch(ctx, &from, client.InNamespace(run.Namespace), client.MatchingFields{"metadata.name": run.Name})
	if err != nil {
		wait(ctx, time.Second)
		return run, false
	}
	defer w.Stop()
	silent := time.NewTimer(watchAgain)
	defer silent.Stop()
	for {
		select {
		case e, open := <-w.ResultChan():
			now, ok := e.Object.(*v1alpha1.PolicyRolloutRun)
			if !open || !ok || e.Type == watch.Deleted || now.UID != run.UID {
				wait(ctx, lookEvery) // one that ends at once must not be asked for at once
				return run, false
			}
			if run = now; seen(now) {
				return now, true
			}
			if Tidied(now) { // another wave follows
				return now, false
			}
		case <-silent.C:
			return run, false
		case <-ctx.Done():
			return run, false
		}
	}
}

// wait waits, or until ctx ends.
// nextWave waits for the run of the wave after a run's. Whoever changes or deletes the
// rollout meanwhile keeps it from coming.
func (s *Steerer) nextWave(ctx context.Context, run *v1alpha1.PolicyRolloutRun) (*v1alpha1.PolicyRolloutRun, error) {
	key := client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.RolloutRef.Name}
	for ctx.Err() == nil {
		ro := &v1alpha1.PolicyRollout{}
		err := s.get(ctx, "PolicyRollout", key, ro)
		switch {
		case ctx.Err() != nil:
			continue
		case err != nil && final(err), err == nil && (ro.UID != run.Spec.RolloutRef.UID || ro.Generation != run.Spec.Generation):
			return nil, fmt.Errorf("%w: run %s is committed, and rollout %s was deleted or changed before its next wave began", ErrLost, run.Name, key)
		case err == nil:
			next, err := s.current(ctx, ro)
			if err == nil && next != nil && next.Spec.After != nil && next.Spec.After.UID == run.UID {
				return next, nil
			}
			now := &v1alpha1.PolicyRolloutRun{}
			if err := s.get(ctx, "PolicyRolloutRun", client.ObjectKeyFromObject(run), now); err == nil && !now.GoesOn() {
				return now, nil // somebody called the rest off
			}
		}
		wait(ctx, lookEvery)
	}
	return nil, context.Cause(ctx)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
