package writer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldManager owns every field that Tightrope writes.
const FieldManager = "tightrope"

// Options tunes a Writer. The zero value works.
type Options struct {
	Manager string // the field manager; empty means FieldManager
	DryRun  bool   // the API server checks every write and stores none
}

// Writer writes objects. It may be used by several goroutines at once.
type Writer struct {
	api   client.Client
	twice bool // a write may reach the API server twice: see Lanes
}

// New returns a writer that writes with the rights of a client.
func New(api client.Client, o Options) *Writer {
	api = client.WithFieldOwner(api, cmp.Or(o.Manager, FieldManager))
	if o.DryRun {
		api = client.NewDryRunClient(api)
	}
	return &Writer{api: api}
}

// Create makes an object. One of that name is an error, whoever made it.
func (w *Writer) Create(ctx context.Context, o client.Object) error {
	return w.unlessStored(ctx, o, says, w.api.Create(ctx, o))
}

// Rehearse has the API server default and check an object that is to be created,
// without storing it. What came of it is in o.
func (w *Writer) Rehearse(ctx context.Context, o client.Object) error {
	return w.api.Create(ctx, o, client.DryRunAll)
}

// RehearseUpdate has the API server check an object that is to be written, as it was
// read and edited since, without storing it.
func (w *Writer) RehearseUpdate(ctx context.Context, o client.Object) error {
	if err := wasRead(o); err != nil {
		return err
	}
	return w.api.Update(ctx, o, client.DryRunAll)
}

// May asks the API server whether it would let the writer do something. It stores
// nothing. An error that is Forbidden says that the writer may not even ask: it may
// not act as the account that it is for.
func (w *Writer) May(ctx context.Context, want authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &want}}
	if err := w.api.Create(ctx, review); err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// Update writes an object as it was read and edited since. An edit by somebody
// else is a conflict.
func (w *Writer) Update(ctx context.Context, o client.Object) error {
	if err := wasRead(o); err != nil {
		return err
	}
	return w.unlessStored(ctx, o, says, w.api.Update(ctx, o))
}

// UpdateStatus is Update of the status subresource.
func (w *Writer) UpdateStatus(ctx context.Context, o client.Object) error {
	if err := wasRead(o); err != nil {
		return err
	}
	return w.unlessStored(ctx, o, saysStatus, w.api.Status().Update(ctx, o))
}

// wasRead refuses a write that would pass over whatever the object is by now.
func wasRead(o client.Object) error {
	if o.GetResourceVersion() == "" {
		return fmt.Errorf("%T %s/%s has no resourceVersion: read it before it is written", o, o.GetNamespace(), o.GetName())
	}
	return nil
}

// Relabel changes labels and annotations of an object as it was read; nil takes
// a key off. An object that is gone is fine. o itself stays as it is.
func (w *Writer) Relabel(ctx context.Context, o client.Object, labels, annotations map[string]*string) error {
	type metadata struct {
		UID             types.UID          `json:"uid"`
		ResourceVersion string             `json:"resourceVersion"`
		Labels          map[string]*string `json:"labels,omitempty"`
		Annotations     map[string]*string `json:"annotations,omitempty"`
	}
	if err := wasRead(o); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]metadata{"metadata": {o.GetUID(), o.GetResourceVersion(), labels, annotations}})
	if err != nil {
		return err
	}
	own := o.DeepCopyObject().(client.Object) // what a cache holds is only read
	return client.IgnoreNotFound(w.unlessStored(ctx, own, wears(labels, annotations), w.merge(ctx, own, patch)))
}

// Set merges fields into the spec of that very object, whatever else it says by
// now: for the one field that nobody but the caller decides, on an object that is
// written so often that a conflict would only delay it.
func (w *Writer) Set(ctx context.Context, o client.Object, spec map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.GetUID()}, "spec": spec})
	if err != nil {
		return err
	}
	return w.merge(ctx, o, patch)
}

// SetMarked is Set that puts annotations on the object in the same write.
func (w *Writer) SetMarked(ctx context.Context, o client.Object, annotations map[string]string, spec map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.GetUID(), "annotations": annotations}, "spec": spec})
	if err != nil {
		return err
	}
	return w.merge(ctx, o, patch)
}

// GiveBack says that others have the fields of that very object, as they had them
// before: what was only borrowed is no conflict for its owner's next apply.
func (w *Writer) GiveBack(ctx context.Context, o client.Object, fields []metav1.ManagedFieldsEntry) error {
	if len(fields) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.GetUID(), "resourceVersion": o.GetResourceVersion(), "managedFields": fields}})
	if err != nil {
		return err
	}
	return w.merge(ctx, o, patch)
}

func (w *Writer) merge(ctx context.Context, o client.Object, patch []byte) error {
	return w.api.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch))
}

// Delete deletes that very object, whatever it says by now. It is fine if it is
// gone, also if another object has its name.
func (w *Writer) Delete(ctx context.Context, o client.Object) error {
	uid := o.GetUID()
	err := client.IgnoreNotFound(w.api.Delete(ctx, o, client.Preconditions{UID: &uid}))
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// DeleteAsRead deletes an object as it was read; an edit by somebody else is a
// conflict. It is fine if it is gone.
func (w *Writer) DeleteAsRead(ctx context.Context, o client.Object) error {
	if err := wasRead(o); err != nil {
		return err
	}
	uid, version := o.GetUID(), o.GetResourceVersion()
	err := w.api.Delete(ctx, o, client.Preconditions{UID: &uid, ResourceVersion: &version})
	return client.IgnoreNotFound(w.unlessStored(ctx, o, leaves, err))
}

// SetStatus merges fields into the status of an object as it was read; an edit by
// somebody else is a conflict.
func (w *Writer) SetStatus(ctx context.Context, o client.Object, status map[string]any) error {
	if err := wasRead(o); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": o.GetUID(), "resourceVersion": o.GetResourceVersion()}, "status": status})
	if err != nil {
		return err
	}
	return w.api.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, patch))
}
