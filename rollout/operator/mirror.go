package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// errNotSynced says that the mirror does not show the whole cluster yet.
var errNotSynced = errors.New("the cluster is still being read")

// mirror is one copy of the cluster for all runs, fed event by event. A look at it
// costs nothing while nothing changes, and it wakes the runs that a change is of.
// What it returns is never changed again; the objects are those of the caches, and
// are only read.
type mirror struct {
	synced []toolscache.InformerSynced

	mu       sync.Mutex
	spaces   map[spaceKey]*space
	others   others
	revision uint64 // of the newest change of policies, or of labels of a namespace, anywhere
	now      *world // all of the cluster; nil: something changed since it was last asked for

	wakes map[spaceKey]map[types.NamespacedName]func() // of the runs that follow a space
}

func emptyMirror() *mirror {
	return &mirror{
		spaces: map[spaceKey]*space{}, wakes: map[spaceKey]map[types.NamespacedName]func(){},
		others: others{turns: make(chan struct{}, 1)},
	}
}

// newMirror makes a mirror that the informers of the cache feed.
func newMirror(ctx context.Context, from cache.Cache) (*mirror, error) {
	m := emptyMirror()
	for _, o := range []client.Object{&corev1.Namespace{}, &networkingv1.NetworkPolicy{}, &corev1.Pod{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}} {
		informer, err := from.GetInformer(ctx, o, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("informer of %T: %w", o, err)
		}
		fed, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: m.put, UpdateFunc: m.replace, DeleteFunc: m.gone,
		})
		if err != nil {
			return nil, fmt.Errorf("follow %T: %w", o, err)
		}
		m.synced = append(m.synced, fed.HasSynced)
	}
	return m, nil
}

func (m *mirror) put(o any) { m.change(o, false) }

// replace puts an object; its labels may say that it is of another run now.
func (m *mirror) replace(was, o any) {
	before, ok1 := was.(client.Object)
	after, ok2 := o.(client.Object)
	if ok1 && ok2 && spaceOf(before) != spaceOf(after) {
		m.gone(was)
	}
	m.put(o)
}

func (m *mirror) gone(o any) {
	if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = last.Obj
	}
	m.change(o, true)
}

func (m *mirror) change(o any, gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	object, ok := o.(client.Object)
	if !ok {
		return // no informer of ours delivers one
	}
	key := spaceOf(object)
	at := m.spaces[key]
	if at == nil {
		at = newSpace()
		m.spaces[key] = at
	}
	if at.change(object, gone) {
		m.revision++
		at.revision = m.revision
	}
	if at.empty() {
		delete(m.spaces, key)
	}
	m.now = nil
	for _, wake := range m.wakes[key] {
		wake()
	}
}

// follow makes changes in the namespaces, and of pods of the run in Tightrope's own,
// wake a run, and nothing else. wake must not block.
func (m *mirror) follow(run types.NamespacedName, namespaces []string, wake func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func(none bool) {
		if none != (len(m.wakes) == 0) {
			m.others.turn()
		}
	}(len(m.wakes) == 0)
	for of, runs := range m.wakes {
		if delete(runs, run); len(runs) == 0 {
			delete(m.wakes, of)
		}
	}
	if wake == nil {
		return
	}
	for _, of := range spacesOf(run.Name, namespaces) {
		if m.wakes[of] == nil {
			m.wakes[of] = map[types.NamespacedName]func(){}
		}
		m.wakes[of][run] = wake
	}
}

// look is the cluster as the newest events show it.
func (m *mirror) look() (*world, error) {
	if !m.whole() {
		return nil, errNotSynced
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil {
		m.now = m.world("", slices.Collect(maps.Keys(m.spaces)), nil)
	}
	return m.now, nil
}

// lookNear is the cluster as one run needs it: some namespaces, and its own objects in
// Tightrope's. It costs what is in these, not what is in the cluster, and nothing where
// nothing changed since last, what the run saw before.
func (m *mirror) lookNear(run string, namespaces []string, last *world) (*world, error) {
	if !m.whole() {
		return nil, errNotSynced
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.world(run, spacesOf(run, namespaces), last), nil
}

// whole reports whether the mirror shows all that there is.
func (m *mirror) whole() bool {
	return !slices.ContainsFunc(m.synced, func(synced toolscache.InformerSynced) bool { return !synced() })
}

// world joins spaces, unless last is joined of the same.
func (m *mirror) world(run string, keys []spaceKey, last *world) *world {
	var parts []*world
	for _, key := range keys {
		if at := m.spaces[key]; at != nil {
			parts = append(parts, at.world(key.namespace))
		}
	}
	if last != nil && last.run == run && slices.Equal(last.parts, parts) && last.othersAt == m.others.version {
		return last
	}
	w := join(parts)
	w.run, w.others, w.othersAt = run, m.others.byNamespace(), m.others.version
	return w
}
