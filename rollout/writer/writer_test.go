package writer_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/rollout/writer"
)

func aPod(uid types.UID, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", UID: uid, Labels: labels}}
}

// api is an API server in memory that, unlike the fake alone, compares the UID of
// a request with that of the object, as every API server does.
func api(objects ...client.Object) client.WithWatch {
	other := func(ctx context.Context, c client.Client, o client.Object, uid types.UID) error {
		now := o.DeepCopyObject().(client.Object)
		if err := c.Get(ctx, client.ObjectKeyFromObject(o), now); err != nil || uid == "" || now.GetUID() == uid {
			return err
		}
		return apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, o.GetName(), errors.New("another UID"))
	}
	return interceptor.NewClient(fake.NewClientBuilder().WithObjects(objects...).WithStatusSubresource(&corev1.Pod{}).Build(), interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if p := new(client.DeleteOptions).ApplyOptions(opts).Preconditions; p != nil && p.UID != nil {
				if err := other(ctx, c, o, *p.UID); err != nil {
					return err
				}
			}
			return c.Delete(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			var sent corev1.Pod
			raw, err := patch.Data(o)
			if err := errors.Join(err, json.Unmarshal(raw, &sent)); err != nil {
				return err
			}
			if err := other(ctx, c, o, sent.UID); err != nil {
				return err
			}
			return c.Patch(ctx, o, patch, opts...)
		},
	})
}

// read is the pod as it is in the API server; nil: it is not there.
func read(t *testing.T, c client.Client) *corev1.Pod {
	t.Helper()
	var pod corev1.Pod
	err := c.Get(t.Context(), client.ObjectKeyFromObject(aPod("", nil)), &pod)
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	return &pod
}

// successor puts another pod in the place of the one that is there.
func successor(t *testing.T, c client.Client) {
	t.Helper()
	if err := errors.Join(c.Delete(t.Context(), aPod("", nil)), c.Create(t.Context(), aPod("second", map[string]string{"app": "x"}))); err != nil {
		t.Fatal(err)
	}
}

// edited writes to the pod that is there, as somebody else.
func edited(t *testing.T, c client.Client) {
	t.Helper()
	pod := read(t, c)
	pod.Labels = map[string]string{"app": "edited"}
	if err := c.Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
}

func TestNoWritePassesOverWhatWasNotRead(t *testing.T) {
	value := "v"
	writes := map[string]func(ctx context.Context, write *writer.Writer, seen *corev1.Pod) error{
		"update":         func(ctx context.Context, w *writer.Writer, seen *corev1.Pod) error { return w.Update(ctx, seen) },
		"status":         func(ctx context.Context, w *writer.Writer, seen *corev1.Pod) error { return w.UpdateStatus(ctx, seen) },
		"delete":         func(ctx context.Context, w *writer.Writer, seen *corev1.Pod) error { return w.Delete(ctx, seen) },
		"delete as read": func(ctx context.Context, w *writer.Writer, seen *corev1.Pod) error { return w.DeleteAsRead(ctx, seen) },
		"relabel": func(ctx context.Context, w *writer.Writer, seen *corev1.Pod) error {
			return w.Relabel(ctx, seen, map[string]*string{"l": &value}, nil)
		},
	}
	for _, tt := range []struct {
		write    string
		then     func(*testing.T, client.Client) // after it was read
		conflict bool                            // wanted of the write
		left     types.UID                       // of the pod that is there in the end; empty: none
	}{
		{"update", edited, true, "first"},
		{"update", successor, true, "second"},
		{"status", edited, true, "first"},
		{"relabel", edited, true, "first"},
		{"relabel", successor, true, "second"},
		{"delete as read", edited, true, "first"},
		{"delete as read", successor, true, "second"},
		{"delete", edited, false, ""},
		{"delete", successor, false, "second"},
	} {
		t.Run(tt.write, func(t *testing.T) {
			c := api(aPod("first", nil))
			seen := read(t, c)
			tt.then(t, c)
			after := read(t, c)
			err := writes[tt.write](t.Context(), writer.New(c, writer.Options{}), seen)
			if apierrors.IsConflict(err) != tt.conflict || err != nil && !tt.conflict {
				t.Errorf("got %v; want a conflict: %v", err, tt.conflict)
			}
			now := read(t, c)
			switch {
			case tt.left == "" && now != nil:
				t.Errorf("%s is still there", now.UID)
			case tt.left != "" && (now == nil || now.UID != tt.left || now.ResourceVersion != after.ResourceVersion):
				t.Errorf("the pod was written to: %+v", now)
			}
		})
	}
}

func TestWhatWasNeverReadIsNotWritten(t *testing.T) {
	c := api(aPod("first", nil))
	write := writer.New(c, writer.Options{})
	for name, do := range map[string]func(*corev1.Pod) error{
		"update":         func(pod *corev1.Pod) error { return write.Update(t.Context(), pod) },
		"status":         func(pod *corev1.Pod) error { return write.UpdateStatus(t.Context(), pod) },
		"relabel":        func(pod *corev1.Pod) error { return write.Relabel(t.Context(), pod, nil, nil) },
		"delete as read": func(pod *corev1.Pod) error { return write.DeleteAsRead(t.Context(), pod) },
	} {
		if err := do(aPod("first", nil)); err == nil || !strings.Contains(err.Error(), "a/p has no resourceVersion") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}

func TestWhatIsGoneNeedsNoDeletion(t *testing.T) {
	c := api(aPod("first", nil))
	write, seen, value := writer.New(c, writer.Options{}), read(t, c), "v"
	if err := c.Delete(t.Context(), aPod("", nil)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write.Delete(t.Context(), seen), write.DeleteAsRead(t.Context(), seen),
		write.Relabel(t.Context(), seen, map[string]*string{"l": &value}, nil)); err != nil {
		t.Error(err)
	}
}

func TestLabelsAndAnnotationsComeAndGo(t *testing.T) {
	c := api(aPod("first", map[string]string{"old": "x", "app": "x"}))
	seen, value := read(t, c), "v"
	err := writer.New(c, writer.Options{}).Relabel(t.Context(), seen, map[string]*string{"old": nil, "new": &value}, map[string]*string{"note": &value})
	now := read(t, c)
	if _, old := now.Labels["old"]; err != nil || old || now.Labels["new"] != "v" || now.Labels["app"] != "x" || now.Annotations["note"] != "v" {
		t.Errorf("%v: labels %v, annotations %v", err, now.Labels, now.Annotations)
	}
	if seen.Labels["new"] != "" || seen.Labels["old"] == "" {
		t.Error("what was read, which belongs to a cache, was changed")
	}
}

// Every write names the manager of its fields, so that an edit by somebody else is seen.
func TestEveryWriteNamesItsManager(t *testing.T) {
	for want, o := range map[string]writer.Options{writer.FieldManager: {}, "doctor": {Manager: "doctor"}} {
		got := map[string]string{}
		c := interceptor.NewClient(api(aPod("first", nil)), interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				got["create"] = new(client.CreateOptions).ApplyOptions(opts).FieldManager
				return nil
			},
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				got["update"] = new(client.UpdateOptions).ApplyOptions(opts).FieldManager
				return nil
			},
			SubResourceUpdate: func(_ context.Context, _ client.Client, _ string, _ client.Object, opts ...client.SubResourceUpdateOption) error {
				got["status"] = new(client.SubResourceUpdateOptions).ApplyOptions(opts).FieldManager
				return nil
			},
			Patch: func(_ context.Context, _ client.WithWatch, _ client.Object, _ client.Patch, opts ...client.PatchOption) error {
				got["patch"] = new(client.PatchOptions).ApplyOptions(opts).FieldManager
				return nil
			},
		})
		write, pod := writer.New(c, o), read(t, c)
		if err := errors.Join(write.Create(t.Context(), pod), write.Update(t.Context(), pod), write.UpdateStatus(t.Context(), pod),
			write.Set(t.Context(), pod, map[string]any{"nodeName": "n"})); err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"create", "update", "status", "patch"} {
			if got[verb] != want {
				t.Errorf("%s names %q, want %q", verb, got[verb], want)
			}
		}
	}
}

func TestADryRunStoresNothing(t *testing.T) {
	c := api(aPod("first", nil))
	write, seen, value := writer.New(c, writer.Options{DryRun: true}), read(t, c), "v"
	other := aPod("", nil)
	other.Name = "q"
	fresh := seen.DeepCopy()
	fresh.Labels = map[string]string{"app": "x"}
	if err := errors.Join(write.Create(t.Context(), other), write.Update(t.Context(), fresh),
		write.Relabel(t.Context(), seen, map[string]*string{"l": &value}, nil), write.Delete(t.Context(), seen)); err != nil {
		t.Fatal(err)
	}
	if err := writer.New(c, writer.Options{}).Rehearse(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	var all corev1.PodList
	if err := c.List(t.Context(), &all); err != nil || len(all.Items) != 1 || len(all.Items[0].Labels) != 0 {
		t.Errorf("%v: %+v", err, all.Items)
	}
}

func TestSetReachesThatVeryObjectThoughItWasEdited(t *testing.T) {
	c := api(aPod("first", nil))
	seen := read(t, c)
	edited(t, c)
	write := writer.New(c, writer.Options{})
	if err := write.Set(t.Context(), seen, map[string]any{"nodeName": "n"}); err != nil {
		t.Fatal(err)
	}
	if now := read(t, c); now.Spec.NodeName != "n" || now.Labels["app"] != "edited" {
		t.Errorf("now %+v", now)
	}
	successor(t, c)
	if err := write.Set(t.Context(), aPod("first", nil), map[string]any{"nodeName": "m"}); err == nil {
		t.Error("a field meant for a pod that is gone went to its successor")
	}
}

func TestOneThatFailsStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done, now atomic.Int32
		release, ended := make(chan struct{}), make(chan error)
		go func() {
			ended <- writer.Each(make([]struct{}, 100), func(struct{}) error {
				now.Add(1)
				<-release
				now.Add(-1)
				if done.Add(1)%50 == 0 {
					return errors.New("refused")
				}
				return nil
			})
		}()
		synctest.Wait()
		if n := now.Load(); n != 32 {
			t.Errorf("%d at once, want 32", n)
		}
		close(release)
		if err := <-ended; done.Load() != 100 || err == nil || strings.Count(err.Error(), "refused") != 2 {
			t.Errorf("%d done, %v; want all done, and both errors", done.Load(), err)
		}
	})
}

// A forward write is authorised by the API server as the account that it is made for.
func TestWritesAsAnAccount(t *testing.T) {
	var user, groups, token string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, groups, token = r.Header.Get("Impersonate-User"), r.Header.Get("Impersonate-Group"), r.Header.Get("Authorization")
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer server.Close()
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	cfg := &rest.Config{Host: server.URL, BearerToken: "ours"}
	write, err := writer.As(cfg, types.NamespacedName{Namespace: "ai", Name: "rollout"},
		client.Options{Mapper: mapper, HTTPClient: http.DefaultClient}, writer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := write.Create(t.Context(), aPod("", nil)); !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want what the API server said", err)
	}
	if user != "system:serviceaccount:ai:rollout" || groups != "" || token != "Bearer ours" {
		t.Errorf("written as %q, groups %q, with token %q", user, groups, token)
	}
	if cfg.Impersonate.UserName != "" {
		t.Error("the caller's own configuration was changed")
	}
	if _, err := writer.As(cfg, types.NamespacedName{Namespace: "ai"}, client.Options{Mapper: mapper}, writer.Options{}); err == nil {
		t.Error("an account without a name is no account, and nobody's rights")
	}
}
