package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// change is one object that was written.
type change struct {
	before *unstructured.Unstructured // nil: it was not there
	after  *unstructured.Unstructured // nil: it was deleted
}

// journal remembers what was written, so that it can be taken back.
type journal struct {
	c       client.WithWatch
	changes []change
}

// get returns the object as the API server has it; nil: it has none.
func (j *journal) get(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(o.GroupVersionKind())
	err := j.c.Get(ctx, client.ObjectKeyFromObject(o), now)
	if apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", Title(o), err)
	}
	return now, nil
}

// undo takes back the newest change first. What somebody else changed since is left,
// and named.
func (j *journal) undo(ctx context.Context) error {
	var errs []error
	for _, c := range slices.Backward(j.changes) {
		switch {
		case c.before == nil:
			errs = append(errs, j.erase(ctx, c.after))
		case c.after == nil:
			errs = append(errs, j.restore(ctx, c.before, ""))
		default:
			errs = append(errs, j.restore(ctx, c.before, c.after.GetResourceVersion()))
		}
	}
	j.changes = nil
	return errors.Join(errs...)
}

// restore writes an object as it was over the version that we wrote; empty: it was
// deleted.
func (j *journal) restore(ctx context.Context, before *unstructured.Unstructured, over string) error {
	o := before.DeepCopy()
	o.SetResourceVersion(over)
	var err error
	if over == "" {
		o.SetUID("")
		err = j.c.Create(ctx, o, client.FieldOwner(fieldManager))
	} else {
		err = j.c.Update(ctx, o, client.FieldOwner(fieldManager))
		if apierrors.IsConflict(err) { // its status changed, or somebody edited it
			err = j.restoreNow(ctx, before)
		}
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", Title(before), err)
	}
	return nil
}

// restoreNow writes an object as it was over what is there now.
func (j *journal) restoreNow(ctx context.Context, before *unstructured.Unstructured) error {
	now, err := j.get(ctx, before)
	if err != nil {
		return err
	}
	if now == nil || now.GetUID() != before.GetUID() {
		return errors.New("somebody has deleted it")
	}
	o := before.DeepCopy()
	o.SetResourceVersion(now.GetResourceVersion())
	return j.c.Update(ctx, o, client.FieldOwner(fieldManager))
}

// erase deletes that very object and waits until it is gone: what is installed next
// must not meet a namespace that is being deleted.
func (j *journal) erase(ctx context.Context, o *unstructured.Unstructured) error {
	uid := o.GetUID()
	err := j.c.Delete(ctx, o.DeepCopy(), client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationForeground))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // gone, or somebody's own by now
		return nil
	}
	if err == nil {
		err = j.gone(ctx, o, uid)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", Title(o), err)
	}
	return nil
}

// gone waits until the object with the UID is no longer there.
func (j *journal) gone(ctx context.Context, o client.Object, uid types.UID) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
	list.SetKind(list.GetKind() + "List")
	where := []client.ListOption{client.InNamespace(o.GetNamespace()), client.MatchingFields{"metadata.name": o.GetName()}}
	w, err := j.c.Watch(ctx, list, where...)
	if err != nil {
		return err
	}
	defer w.Stop()
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
	if err := j.c.Get(ctx, client.ObjectKeyFromObject(o), now); apierrors.IsNotFound(err) || err == nil && now.GetUID() != uid {
		return nil
	} else if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is still there: %w%s", context.Cause(ctx), finalizersOf(now))
		case e, ok := <-w.ResultChan():
			if !ok { // the watch ended: ask again
				return j.gone(ctx, o, uid)
			}
			if e.Type == watch.Deleted {
				return nil
			}
		}
	}
}

// finalizersOf says who keeps an object from being deleted.
func finalizersOf(o *unstructured.Unstructured) string {
	if names := o.GetFinalizers(); len(names) > 0 {
		return " (waiting for finalizers " + strings.Join(names, ", ") + ")"
	}
	return ""
}

// Title is an object as kubectl names it.
func Title(o client.Object) string {
	gvk := o.GetObjectKind().GroupVersionKind()
	kind := strings.ToLower(gvk.Kind)
	if o.GetNamespace() == "" {
		return kind + "/" + o.GetName()
	}
	return kind + "/" + o.GetName() + " in " + o.GetNamespace()
}
