package install

import (
	"context"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// colour is an object with one thing to ask for, as somebody wrote it.
func colour(value string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"data": map[string]any{"colour": value}}}
	o.SetAPIVersion("v1")
	o.SetKind("ConfigMap")
	o.SetName("paint")
	o.SetNamespace("default")
	return o
}

// What is taken back is written over the version that was read. Somebody who writes in
// between makes that write fail, and what he asked for decides what happens then.
func TestWhatIsTakenBackIsWrittenByOthersToo(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "paint", errors.New("the object has been modified"))
	for _, tt := range []struct {
		name    string
		between func(c client.WithWatch, try int) error // what happens between the reading and the first writes
		colour  string
		err     string
	}{
		{"nobody writes", func(client.WithWatch, int) error { return nil }, "before", ""},
		{"a controller notes something, three times", func(_ client.WithWatch, try int) error {
			if try <= 3 {
				return conflict
			}
			return nil
		}, "before", ""},
		{"a person asks for something else", func(c client.WithWatch, try int) error {
			if try > 1 {
				return nil
			}
			o := colour("")
			if err := c.Get(context.Background(), client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			o.Object["data"] = map[string]any{"colour": "theirs"}
			return errors.Join(c.Update(context.Background(), o), conflict)
		}, "theirs", "somebody has changed it since"},
		{"it never ends", func(client.WithWatch, int) error { return conflict }, "after", "the object has been modified"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := fake.NewClientBuilder().WithObjects(colour("after")).Build()
			try := 0
			j := &journal{c: interceptor.NewClient(inner, interceptor.Funcs{
				Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
					try++
					if err := tt.between(inner, try); err != nil {
						return err
					}
					return c.Update(ctx, o, opts...)
				},
			})}
			now, err := j.get(t.Context(), colour(""))
			if err != nil {
				t.Fatal(err)
			}
			before := now.DeepCopy()
			before.Object["data"] = map[string]any{"colour": "before"}
			j.changes = []*change{{object: now, before: before, after: now}}
			if err := j.undo(t.Context()); (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("it says %v, want %q", err, tt.err)
			}
			o := colour("")
			if err := inner.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
			if got, _, _ := unstructured.NestedString(o.Object, "data", "colour"); got != tt.colour {
				t.Errorf("it is %s, want %s", got, tt.colour)
			}
		})
	}
}
