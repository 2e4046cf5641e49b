package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// errNotSynced says that the mirror does not show the whole cluster yet.
var errNotSynced = errors.New("the cluster is still being read")

// mirror is one copy of the cluster for all runs, fed event by event. A look at it
// costs nothing while nothing changes, and it wakes the runs that a change is of.
// What it returns is never changed again; the objects are those of the caches, and
// are only read.
type mirror struct {
	synced []toolscache.InformerSynced

	mu         sync.Mutex
	namespaces map[types.NamespacedName]*corev1.Namespace
	policies   map[types.NamespacedName]*networkingv1.NetworkPolicy
	pods       map[types.NamespacedName]*corev1.Pod
	services   map[types.NamespacedName]*corev1.Service
	slices     map[types.NamespacedName]*discoveryv1.EndpointSlice
	others     others
	revisions  map[string]uint64 // of the policies and of the labels of each namespace
	now        *world            // nil: something changed since the last look
	last       *world            // the newest world that was looked at, whose parts that did not change are used again
	fresh      map[kind]bool     // which parts those are

	wakes map[string]map[types.NamespacedName]func() // by namespace, and by run for what is in Tightrope's own
}

// kind is a part of the world.
type kind uint8

const (
	kindNamespaces kind = iota
	kindPolicies
	kindPods
	kindServices
	kindSlices
	kindOthers
)

// newMirror makes a mirror that the informers of the cache feed.
func newMirror(ctx context.Context, from cache.Cache) (*mirror, error) {
	m := &mirror{
		namespaces: map[types.NamespacedName]*corev1.Namespace{}, policies: map[types.NamespacedName]*networkingv1.NetworkPolicy{},
		pods: map[types.NamespacedName]*corev1.Pod{}, services: map[types.NamespacedName]*corev1.Service{},
		slices: map[types.NamespacedName]*discoveryv1.EndpointSlice{}, revisions: map[string]uint64{},
		others: others{turns: make(chan struct{}, 1)},
		fresh:  map[kind]bool{}, wakes: map[string]map[types.NamespacedName]func(){},
	}
	for _, o := range []client.Object{&corev1.Namespace{}, &networkingv1.NetworkPolicy{}, &corev1.Pod{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}} {
		informer, err := from.GetInformer(ctx, o, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("informer of %T: %w", o, err)
		}
		fed, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: m.put, UpdateFunc: func(_, o any) { m.put(o) }, DeleteFunc: m.gone,
		})
		if err != nil {
			return nil, fmt.Errorf("follow %T: %w", o, err)
		}
		m.synced = append(m.synced, fed.HasSynced)
	}
	return m, nil
}

func (m *mirror) put(o any) { m.change(o, false) }

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
	key := client.ObjectKeyFromObject(object)
	switch o := o.(type) {
	case *corev1.Namespace:
		if was := m.namespaces[key]; gone || was == nil || !maps.Equal(was.Labels, o.Labels) || was.UID != o.UID {
			m.revisions[key.Name]++
		}
		keep(m, kindNamespaces, m.namespaces, key, o, gone)
	case *networkingv1.NetworkPolicy:
		m.revisions[key.Namespace]++
		keep(m, kindPolicies, m.policies, key, o, gone)
	case *corev1.Pod:
		keep(m, kindPods, m.pods, key, o, gone)
	case *corev1.Service:
		keep(m, kindServices, m.services, key, o, gone)
	case *discoveryv1.EndpointSlice:
		keep(m, kindSlices, m.slices, key, o, gone)
	}
	m.tell(object)
}

func keep[T client.Object](m *mirror, k kind, objects map[types.NamespacedName]T, key types.NamespacedName, o T, gone bool) {
	if gone {
		delete(objects, key)
	} else {
		objects[key] = o
	}
	m.now, m.fresh[k] = nil, false
}

// tell wakes the runs that the object is of. Of Tightrope's own namespace, where every
// run has pods, each hears of its own only.
func (m *mirror) tell(o client.Object) {
	of := o.GetNamespace()
	switch o.(type) {
	case *corev1.Namespace:
		of = o.GetName()
	}
	if run := o.GetLabels()[v1alpha1.LabelRun]; of == v1alpha1.SystemNamespace && run != "" {
		of = "run " + run
	}
	for _, wake := range m.wakes[of] {
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
	for _, of := range append([]string{"run " + run.Name}, namespaces...) {
		if m.wakes[of] == nil {
			m.wakes[of] = map[types.NamespacedName]func(){}
		}
		m.wakes[of][run] = wake
	}
}

// look is the cluster as the newest events show it.
func (m *mirror) look() (*world, error) {
	for _, synced := range m.synced {
		if !synced() {
			return nil, errNotSynced
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil {
		m.now = m.world()
		m.last = m.now
	}
	return m.now, nil
}

// world is a new world, of the parts of the last one that did not change and of
// copies of the others.
func (m *mirror) world() *world {
	w := &world{mirrored: true, revisions: maps.Clone(m.revisions)}
	if last := m.last; last != nil {
		w.verdict, w.policies, w.pods, w.services, w.slices, w.others = last.verdict, last.policies, last.pods, last.services, last.slices, last.others
	}
	if !m.fresh[kindNamespaces] {
		w.verdict.Namespaces = make(map[string]map[string]string, len(m.namespaces))
		for key, ns := range m.namespaces {
			w.verdict.Namespaces[key.Name] = ns.Labels
		}
	}
	if !m.fresh[kindPolicies] {
		w.policies, w.verdict.Policies = make([]networkingv1.NetworkPolicy, 0, len(m.policies)), make([]verdict.Policy, 0, len(m.policies))
		for _, np := range m.policies {
			w.policies, w.verdict.Policies = append(w.policies, *np), append(w.verdict.Policies, verdict.PolicyOf(np))
		}
	}
	if !m.fresh[kindPods] {
		w.pods = maps.Clone(m.pods)
	}
	if !m.fresh[kindServices] {
		w.services = maps.Clone(m.services)
	}
	if !m.fresh[kindSlices] {
		w.slices = make(map[types.NamespacedName][]*discoveryv1.EndpointSlice, len(m.slices))
		for key, slice := range m.slices {
			service := types.NamespacedName{Namespace: key.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
			w.slices[service] = append(w.slices[service], slice)
		}
	}
	if !m.fresh[kindOthers] {
		w.others = m.others.byNamespace()
	}
	for k := kindNamespaces; k <= kindOthers; k++ {
		m.fresh[k] = true
	}
	return w
}
