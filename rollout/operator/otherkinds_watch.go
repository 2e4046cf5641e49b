package operator

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
)

// Policies of other kinds are watched, so that one which appears while a step soaks is
// seen at once. They are watched only while the mirror is followed, and nothing waits for
// them: where a kind cannot be watched, what is listed before each write has to do
// (docs/adr/0050-other-kinds-are-watched-while-a-run-is-under-way.md).

const (
	// kindsAgain is how long a kind that is new to the cluster may stay unseen while
	// nobody tightens.
	kindsAgain = time.Minute
	// watchAgain is how long a kind that could not be watched is left alone.
	watchAgain = 10 * time.Minute
)

// kindWatch is the watch of one kind.
type kindWatch struct {
	stop  context.CancelFunc
	ended chan struct{} // closed when the mirror has nothing of it any more
}

func (w kindWatch) end() {
	w.stop()
	<-w.ended
}

// feed keeps the mirror's policies of other kinds as the API server has them, while some
// run follows the mirror. It returns when ctx ends.
func (k *OtherKinds) feed(ctx context.Context, m *mirror) error {
	watches := map[otherKind]kindWatch{}
	defer func() {
		for _, w := range watches {
			w.end()
		}
	}()
	for ctx.Err() == nil {
		var again <-chan time.Time // nil: not before somebody follows
		var served servedKinds
		if m.followed() {
			again = time.After(kindsAgain)
			var err error
			if served, err = k.discover(ctx); err != nil {
				slog.InfoContext(ctx, "policies of other kinds that are new are not seen before the next write", "error", err)
			}
			if err != nil || len(served.unknown) > 0 { // what was served may be still
				served.kinds = slices.AppendSeq(slices.Clip(served.kinds), maps.Keys(watches))
			}
		}
		k.watchExactly(ctx, m, watches, served.kinds)
		select {
		case <-again:
		case <-m.others.turns:
		case <-ctx.Done():
		}
	}
	return nil
}

// watchExactly makes the watches be of those kinds.
func (k *OtherKinds) watchExactly(ctx context.Context, m *mirror, watches map[otherKind]kindWatch, kinds []otherKind) {
	served := map[otherKind]bool{}
	for _, kind := range kinds {
		if served[kind] = true; watches[kind].ended == nil {
			ctx, stop := context.WithCancel(ctx)
			w := kindWatch{stop, make(chan struct{})}
			watches[kind] = w
			go func() {
				defer close(w.ended)
				k.watch(ctx, kind, m)
			}()
		}
	}
	for kind, w := range watches {
		if !served[kind] {
			w.end()
			delete(watches, kind)
		}
	}
}

// watch feeds the mirror with one kind until ctx ends. A kind that may not be watched, or
// that nobody serves that way, is left to the lists, and the log says so once.
func (k *OtherKinds) watch(ctx context.Context, kind otherKind, m *mirror) {
	into := &kindStore{kind, m}
	for ctx.Err() == nil {
		err := k.reflect(ctx, kind, into)
		_ = into.Replace(nil, "")
		if apierrors.IsNotFound(err) { // gone with its CRD, perhaps: the next discovery says so
			k.forget()
		} else if ctx.Err() == nil && k.first(kind) {
			slog.WarnContext(ctx, "policies of this kind cannot be watched: one that appears during a soak is seen by the next write of the run, not at once; "+
				"the controller needs get, list and watch of them", "kind", kind.kind, "resource", kind.GroupResource().String(), "error", err)
		}
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
		}
	}
}

// first reports whether a kind was not found to be unwatchable before.
func (k *OtherKinds) first(kind otherKind) bool {
	_, before := k.unwatched.LoadOrStore(kind, true)
	return !before
}

// reflect feeds a store with one kind until ctx ends, or that is in vain, which is the error.
func (k *OtherKinds) reflect(ctx context.Context, kind otherKind, into toolscache.ReflectorStore) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	client := k.objects.Resource(kind.GroupVersionResource)
	checked := func(err error) error {
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			stop(err)
		}
		return err
	}
	from := &toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, o)
			return list, checked(err)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := client.Watch(ctx, o)
			return w, checked(err)
		},
	}
	toolscache.NewReflectorWithOptions(toolscache.ToListWatcherWithWatchListSemantics(from, k.objects), &unstructured.Unstructured{}, into,
		toolscache.ReflectorOptions{Name: kind.String(), TypeDescription: kind.String()}).RunWithContext(ctx)
	return context.Cause(ctx)
}

// kindStore puts into the mirror what a watch of one kind shows.
type kindStore struct {
	kind   otherKind
	mirror *mirror
}

// Add implements cache.ReflectorStore.
func (s *kindStore) Add(o any) error { return s.put(o) }

// Update implements cache.ReflectorStore.
func (s *kindStore) Update(o any) error { return s.put(o) }

func (s *kindStore) put(o any) error {
	if object, ok := o.(*unstructured.Unstructured); ok {
		s.mirror.putOther(readPolicy(s.kind, object))
	}
	return nil
}

// Delete implements cache.ReflectorStore.
func (s *kindStore) Delete(o any) error {
	if object, ok := o.(*unstructured.Unstructured); ok {
		s.mirror.dropOther(s.kind, types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()})
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *kindStore) Replace(all []any, _ string) error {
	there := map[types.NamespacedName]bool{}
	for _, o := range all {
		if object, ok := o.(*unstructured.Unstructured); ok {
			there[types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}] = true
			s.mirror.putOther(readPolicy(s.kind, object))
		}
	}
	for _, key := range s.mirror.othersOf(s.kind) {
		if !there[key] {
			s.mirror.dropOther(s.kind, key)
		}
	}
	return nil
}

// Resync implements cache.ReflectorStore.
func (*kindStore) Resync() error { return nil }
