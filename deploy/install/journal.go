package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// change is one object that is written, or was. It is noted before the write: the
// answer may never come, though the write was done.
type change struct {
	object  *unstructured.Unstructured // which
	before  *unstructured.Unstructured // nil: it was not there
	after   *unstructured.Unstructured // as we wrote it; nil: not known
	deleted bool                       // it was deleted, or was to be
}

// journal remembers what was written, so that it can be taken back.
type journal struct {
	c       client.WithWatch
	changes []*change
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

// undoTries bounds how often one object is read and written while somebody else writes
// it: for two and a half seconds.
var undoTries = wait.Backoff{Steps: 9, Duration: 10 * time.Millisecond, Factor: 2, Jitter: 0.1}

// undo takes back the newest change first. What somebody else changed since is left,
// and named.
func (j *journal) undo(ctx context.Context) error {
	var errs []error
	for _, c := range slices.Backward(j.changes) {
		// The cluster's controllers write too: a Deployment's status changes while its
		// pods start, so a write over the version that was read may come too late.
		if err := retry.RetryOnConflict(undoTries, func() error { return j.undoOne(ctx, c) }); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", Title(c.object), err))
		}
	}
	j.changes = nil
	return errors.Join(errs...)
}

func (j *journal) undoOne(ctx context.Context, c *change) error {
	now, err := j.get(ctx, c.object)
	switch {
	case err != nil:
		return err
	case c.before == nil && now == nil:
		return nil
	case c.before == nil && !applied(now):
		return errors.New("somebody else has made it since; it is left")
	case c.before == nil:
		return j.erase(ctx, now)
	case now == nil && c.deleted:
		return j.putBack(ctx, c.before)
	case now == nil:
		return errors.New("somebody has deleted it since")
	case now.GetUID() != c.before.GetUID():
		return errors.New("somebody has made another one since; it is left")
	case alike(now, c.before):
		return nil
	case c.after != nil && !alike(now, c.after):
		return errors.New("somebody has changed it since; it is left as it is now")
	}
	return j.restore(ctx, c.before, now.GetResourceVersion())
}

// putBack makes an object that was deleted.
func (j *journal) putBack(ctx context.Context, before *unstructured.Unstructured) error {
	o := before.DeepCopy()
	o.SetResourceVersion("")
	o.SetUID("")
	return j.c.Create(ctx, o, client.FieldOwner(fieldManager))
}

// restore writes an object as it was over the version that is there. A second write,
// which changes no field, gives each field back to who had it: the next installation
// would else be in conflict with this one.
func (j *journal) restore(ctx context.Context, before *unstructured.Unstructured, over string) error {
	o := before.DeepCopy()
	o.SetResourceVersion(over)
	if err := j.c.Update(ctx, o, client.FieldOwner(fieldManager)); err != nil {
		return fmt.Errorf("restore it: %w", err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": before.GetUID(), "managedFields": before.GetManagedFields()}})
	if err == nil {
		err = j.c.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager))
	}
	if err != nil {
		return fmt.Errorf("give its fields back: %w", err)
	}
	return nil
}

// alike reports whether two versions of an object ask for the same. What controllers
// note of it is no difference.
func alike(a, b *unstructured.Unstructured) bool {
	return equality.Semantic.DeepEqual(asked(a), asked(b))
}

// asked is an object without what the cluster itself writes.
func asked(o *unstructured.Unstructured) map[string]any {
	content := o.DeepCopy()
	content.SetManagedFields(nil)
	content.SetResourceVersion("")
	content.SetGeneration(0)
	delete(content.Object, "status")
	annotations := content.GetAnnotations()
	maps.DeleteFunc(annotations, func(key, _ string) bool { return strings.HasPrefix(key, "deployment.kubernetes.io/") })
	if len(annotations) == 0 {
		annotations = nil
	}
	content.SetAnnotations(annotations)
	return content.Object
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
				select {
				case <-ctx.Done():
				case <-time.After(look):
				}
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
