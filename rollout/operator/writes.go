package operator

import (
	"context"
	"errors"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// No write of the operator takes an object over. What is not there is created,
// so a name that somebody took a moment before is an error. What is there is
// written with the UID and the resourceVersion that were read, so a change that
// was not seen is a conflict and never lost. Only the bridges of a rollback are
// written again over what somebody else made of them: see widen.

// eachWish does one thing for every wish, side by side. One that fails stops no
// other: in a rollback each bridge counts.
func eachWish(verb string, wishes []wish, do func(wish) error) error {
	return writer.Each(wishes, func(x wish) error {
		if err := do(x); err != nil {
			return fmt.Errorf("%s %s %s/%s: %w", verb, x.role, x.namespace, x.name, err)
		}
		return nil
	})
}

// apply makes the wished policies be there as wished, and returns when all are
// acknowledged. The wishes come from world.unmet or world.absent, which say what
// was there.
func (r *RunReconciler) apply(ctx context.Context, write *writer.Writer, wishes []wish) error {
	return eachWish("write", wishes, func(x wish) error {
		if x.have == nil {
			return r.createPolicy(ctx, write, x)
		}
		return r.updatePolicy(ctx, write, x)
	})
}

// createPolicy creates what is wished. An object of the run that is as wished
// already is one that the cache does not show yet.
func (r *RunReconciler) createPolicy(ctx context.Context, write *writer.Writer, x wish) error {
	err := write.Create(ctx, x.object())
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	return r.already(ctx, x, err)
}

func (r *RunReconciler) updatePolicy(ctx context.Context, write *writer.Writer, x wish) error {
	np := x.marked()
	np.Spec = x.spec
	err := write.Update(ctx, np)
	if !apierrors.IsConflict(err) {
		return err
	}
	return r.already(ctx, x, err)
}

// already forgives a refused write if the object is as wished: the cache is a
// moment behind our own last write.
func (r *RunReconciler) already(ctx context.Context, x wish, refused error) error {
	var now networkingv1.NetworkPolicy
	switch err := r.restoring().Read.Get(ctx, x.key(), &now); {
	case err != nil:
		return errors.Join(refused, err)
	case x.original == nil && !x.run.Made(&now), x.original != nil && !x.ours(&now):
		return writer.NotOurs("policy", &now)
	case equality.Semantic.DeepEqual(now.Spec, x.spec):
		return nil
	}
	return refused
}

// rehearseWishes has the API server check the wishes without storing them.
func rehearseWishes(ctx context.Context, write rehearser, wishes []wish) error {
	return eachWish("rehearse", wishes, func(x wish) error {
		return write.Rehearse(ctx, x.object())
	})
}

// widenTries bounds how often one bridge is written while somebody else writes it too.
const widenTries = 5

// widen makes the bridges of a rollback select everyone they may. It writes what
// the cache shows of them, as wide as that may be already, so that a rollback
// reads nothing first and rests on no old copy: where the copy is old the write
// is refused, and it reads the bridge and writes again at once. A bridge that
// somebody edited is put right: it is ours, and every moment without it paths
// that worked are cut. One that is missing is put back, inert and then
// activated, where something of the run is still in force. A name that somebody
// else has by now is passed over: it must not keep the candidates in force. An
// original that somebody changed or deleted stays as they left it.
func (r *RunReconciler) widen(ctx context.Context, w *world, bridges []wish) error {
	var there []wish
	for _, x := range bridges {
		x.have = w.policy(x.key())
		if x.have != nil || w.inForce(x.run, x.namespace) {
			there = append(there, x)
		}
	}
	return eachWish("widen", there, func(x wish) error { return r.widenOne(ctx, x) })
}

func (r *RunReconciler) widenOne(ctx context.Context, x wish) error {
	var err error
	for range widenTries {
		if err = r.widenOnce(ctx, x); err == nil || !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
			return err
		}
		var now networkingv1.NetworkPolicy
		switch err := r.restoring().Read.Get(ctx, x.key(), &now); {
		case apierrors.IsNotFound(err):
			x.have = nil
		case err != nil:
			return err
		default:
			x.have = &now
		}
	}
	return err
}

func (r *RunReconciler) widenOnce(ctx context.Context, x wish) error {
	if x.original != nil {
		var wished bool
		if x, wished = x.upon(x.have); !wished {
			return nil
		}
	}
	if x.have == nil {
		inert := x
		inert.spec.PodSelector = rollout.MatchNothing()
		np := inert.object()
		if err := r.restoring().Write.Create(ctx, np); err != nil {
			return err
		}
		x.have = np
	}
	if x.original == nil && !x.run.Marks(x.have) {
		return nil
	}
	np := x.marked()
	np.Spec = x.spec
	return r.restoring().Write.Update(ctx, np)
}

// remove deletes the wished policies as they were read, side by side; gone
// already is fine. The wishes come from world.exists.
func (r *RunReconciler) remove(ctx context.Context, wishes []wish) error {
	return eachWish("delete", wishes, func(x wish) error {
		if x.have == nil || !x.ours(x.have) {
			return nil
		}
		return r.restoring().Write.DeleteAsRead(ctx, x.have.DeepCopy())
	})
}

// deleteOf deletes an object if the run made it, whatever it says by now.
func deleteOf(ctx context.Context, write *writer.Writer, run runKey, o client.Object) error {
	if !run.Made(o) {
		return nil
	}
	return write.Delete(ctx, o)
}

func merged(have, want map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{have, want} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}
