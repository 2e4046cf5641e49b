package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/rollout"
)

// No write of the operator takes an object over. What is not there is created,
// so a name that somebody took a moment before is an error. What is there is
// written with the UID and the resourceVersion that were read, so a change that
// was not seen is a conflict and never lost. Only the bridges of a rollback are
// written again over what somebody else made of them: see widen.

// writers bounds concurrent writes to the API server.
const writers = 32

// eachWish does one thing for every wish, side by side. One that fails stops no
// other: in a rollback each bridge counts.
func eachWish(verb string, wishes []wish, do func(wish) error) error {
	errs := make([]error, len(wishes)) // one slot each: no lock, stable order
	var group sync.WaitGroup
	slots := make(chan struct{}, writers)
	for i, x := range wishes {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := do(x); err != nil {
				errs[i] = fmt.Errorf("%s %s %s/%s: %w", verb, x.role, x.namespace, x.name, err)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// apply makes the wished policies be there as wished, and returns when all are
// acknowledged. The wishes come from world.unmet or world.absent, which say what
// was there.
func (r *RunReconciler) apply(ctx context.Context, wishes []wish) error {
	return eachWish("write", wishes, func(x wish) error {
		if x.have == nil {
			return r.createPolicy(ctx, x)
		}
		return r.updatePolicy(ctx, x)
	})
}

// createPolicy creates what is wished. An object of the run that is as wished
// already is one that the cache does not show yet.
func (r *RunReconciler) createPolicy(ctx context.Context, x wish) error {
	err := r.Create(ctx, x.object(), client.FieldOwner(fieldManager))
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	return r.already(ctx, x, err)
}

func (r *RunReconciler) updatePolicy(ctx context.Context, x wish) error {
	np := x.marked()
	np.Spec = x.spec
	err := r.Update(ctx, np, client.FieldOwner(fieldManager))
	if !apierrors.IsConflict(err) {
		return err
	}
	return r.already(ctx, x, err)
}

// already forgives a refused write if the object is as wished: the cache is a
// moment behind our own last write.
func (r *RunReconciler) already(ctx context.Context, x wish, refused error) error {
	var now networkingv1.NetworkPolicy
	switch err := r.Live.Get(ctx, x.key(), &now); {
	case err != nil:
		return errors.Join(refused, err)
	case !x.run.made(&now):
		return notOurs("policy", &now)
	case equality.Semantic.DeepEqual(now.Spec, x.spec):
		return nil
	}
	return refused
}

// rehearseWishes has the API server check the wishes without storing them.
func (r *RunReconciler) rehearseWishes(ctx context.Context, wishes []wish) error {
	return eachWish("rehearse", wishes, func(x wish) error {
		return r.Create(ctx, x.object(), client.DryRunAll)
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
// else has by now is passed over: it must not keep the candidates in force.
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
		switch err := r.Live.Get(ctx, x.key(), &now); {
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
	if x.have == nil {
		inert := x
		inert.spec.PodSelector = rollout.MatchNothing()
		np := inert.object()
		if err := r.Create(ctx, np, client.FieldOwner(fieldManager)); err != nil {
			return err
		}
		x.have = np
	}
	if !x.run.marks(x.have) {
		return nil
	}
	np := x.marked()
	np.Spec = x.spec
	return r.Update(ctx, np, client.FieldOwner(fieldManager))
}

// remove deletes the wished policies as they were read, side by side; gone
// already is fine. The wishes come from world.exists.
func (r *RunReconciler) remove(ctx context.Context, wishes []wish) error {
	return eachWish("delete", wishes, func(x wish) error {
		if x.have == nil || !x.ours(x.have) {
			return nil
		}
		np := x.have.DeepCopy()
		return client.IgnoreNotFound(r.Delete(ctx, np, client.Preconditions{UID: &np.UID, ResourceVersion: &np.ResourceVersion}))
	})
}

// relabel changes labels and annotations of an object as it was read; nil takes
// a key off. An object that is gone is fine.
func relabel(ctx context.Context, c client.Client, o client.Object, labels, annotations map[string]*string) error {
	type metadata struct {
		UID             types.UID          `json:"uid"`
		ResourceVersion string             `json:"resourceVersion"`
		Labels          map[string]*string `json:"labels,omitempty"`
		Annotations     map[string]*string `json:"annotations,omitempty"`
	}
	patch, err := json.Marshal(map[string]metadata{"metadata": {o.GetUID(), o.GetResourceVersion(), labels, annotations}})
	if err != nil {
		return err
	}
	fresh := o.DeepCopyObject().(client.Object) // what the cache holds is only read
	return client.IgnoreNotFound(c.Patch(ctx, fresh, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager)))
}

// deleteOf deletes an object of the run, that very one, whatever it says by now;
// gone already is fine.
func deleteOf(ctx context.Context, c client.Client, run runKey, o client.Object) error {
	if !run.made(o) {
		return nil
	}
	uid := o.GetUID()
	err := client.IgnoreNotFound(c.Delete(ctx, o, client.Preconditions{UID: &uid}))
	if apierrors.IsConflict(err) {
		return nil // another object has the name now; ours is gone
	}
	return err
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
