package writer

import (
	"context"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A write that is sent twice may be refused for what it did itself. What is stored
// tells: if it is what was to be written, it was written, by the twin or by somebody
// who wants the same.

// unlessStored forgives a conflict, or a name that is taken, where the write may have
// met its twin and what is stored is as wanted. o is then what is stored.
func (w *Writer) unlessStored(ctx context.Context, o client.Object, as func(now, want client.Object) bool, refused error) error {
	if !w.twice || !apierrors.IsConflict(refused) && !apierrors.IsAlreadyExists(refused) {
		return refused
	}
	now, err := w.stored(ctx, o)
	if apierrors.IsNotFound(err) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w; whether this write came through was not seen: %w", refused, err)
	}
	if o.GetUID() != "" && o.GetUID() != now.GetUID() || !as(now, o) {
		return refused
	}
	reflect.ValueOf(o).Elem().Set(reflect.ValueOf(now).Elem())
	return nil
}

// stored reads an object by its name, into nothing that says anything yet.
func (w *Writer) stored(ctx context.Context, o client.Object) (client.Object, error) {
	kind, err := w.api.GroupVersionKindFor(o)
	if err != nil {
		return nil, err
	}
	fresh, err := w.api.Scheme().New(kind)
	if err != nil {
		return nil, err
	}
	now, ok := fresh.(client.Object)
	if !ok || reflect.TypeOf(now) != reflect.TypeOf(o) {
		return nil, fmt.Errorf("%T is not how the scheme has %s", o, kind)
	}
	return now, w.api.Get(ctx, client.ObjectKeyFromObject(o), now)
}

// says reports whether an object says what another one does, apart from its status and
// from what the API server fills in.
func says(now, want client.Object) bool {
	a, b := plain(now), plain(want)
	for _, o := range []map[string]any{a, b} {
		delete(o, "metadata")
		delete(o, "status")
		delete(o, "apiVersion")
		delete(o, "kind")
	}
	return a != nil && equality.Semantic.DeepEqual(a, b) &&
		equality.Semantic.DeepEqual(now.GetLabels(), want.GetLabels()) && equality.Semantic.DeepEqual(now.GetAnnotations(), want.GetAnnotations()) &&
		equality.Semantic.DeepEqual(now.GetFinalizers(), want.GetFinalizers()) && equality.Semantic.DeepEqual(now.GetOwnerReferences(), want.GetOwnerReferences())
}

// saysStatus is says of the status alone.
func saysStatus(now, want client.Object) bool {
	a, b := plain(now), plain(want)
	return a != nil && equality.Semantic.DeepEqual(a["status"], b["status"])
}

// wears reports whether an object has labels and annotations; nil: that it has not.
func wears(labels, annotations map[string]*string) func(now, _ client.Object) bool {
	all := func(have map[string]string, want map[string]*string) bool {
		for key, value := range want {
			if has, ok := have[key]; ok != (value != nil) || ok && has != *value {
				return false
			}
		}
		return true
	}
	return func(now, _ client.Object) bool {
		return all(now.GetLabels(), labels) && all(now.GetAnnotations(), annotations)
	}
}

// leaves reports whether an object is being deleted.
func leaves(now, _ client.Object) bool { return now.GetDeletionTimestamp() != nil }

// plain is an object as JSON has it; nil: it cannot be.
func plain(o client.Object) map[string]any {
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil
	}
	return out
}
