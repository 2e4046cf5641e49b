package dataplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// watches keeps copies of the objects a data plane depends on. Its client
// should ask for protobuf: pods are many.
type watches struct {
	client  kubernetes.Interface
	factory informers.SharedInformerFactory
	end     chan struct{}
	changed func(change)
}

// change names an object that may not be what it was.
type change struct {
	kind kind
	key  compile.Key
}

// kind is the kind of a watched object.
type kind string

const (
	pods       kind = "pods"
	namespaces kind = "namespaces"
	policies   kind = "networkpolicies"
	services   kind = "services"
	endpoints  kind = "endpointslices"
)

func newWatches(client kubernetes.Interface, changed func(change)) *watches {
	return &watches{
		client:  client,
		changed: changed,
		end:     make(chan struct{}),
		factory: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(forgetManagers)),
	}
}

// forgetManagers frees what nobody here reads and is often half of an object.
func forgetManagers(o any) (any, error) {
	if m, err := meta.Accessor(o); err == nil {
		m.SetManagedFields(nil)
	}
	return o, nil
}

// start returns when all copies are complete.
func (w *watches) start(ctx context.Context) error {
	f := w.factory
	all := map[kind]cache.SharedIndexInformer{
		pods:       f.Core().V1().Pods().Informer(),
		namespaces: f.Core().V1().Namespaces().Informer(),
		policies:   f.Networking().V1().NetworkPolicies().Informer(),
		services:   f.Core().V1().Services().Informer(),
		endpoints:  f.Discovery().V1().EndpointSlices().Informer(),
	}
	var synced []cache.InformerSynced
	for _, k := range slices.Sorted(maps.Keys(all)) {
		h, err := all[k].AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(o any) { w.tell(k, o) },
			UpdateFunc: func(before, after any) {
				if !sameToUs(before, after) {
					w.tell(k, after)
				}
			},
			DeleteFunc: func(o any) { w.tell(k, o) },
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", k, err)
		}
		synced = append(synced, h.HasSynced)
	}
	f.Start(w.end)
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("wait for the first list of objects: %w", context.Cause(ctx))
	}
	return nil
}

// stop ends the watches and waits for their goroutines.
func (w *watches) stop() {
	close(w.end)
	w.factory.Shutdown()
}

func (w *watches) tell(k kind, object any) {
	if gone, is := object.(cache.DeletedFinalStateUnknown); is {
		object = gone.Obj
	}
	if m, err := meta.Accessor(object); err == nil {
		w.changed(change{k, compile.Key{Namespace: m.GetNamespace(), Name: m.GetName()}})
	}
}

// sameToUs passes over the pod updates that change nothing here: of a starting
// pod's status, only its addresses and its end matter.
func sameToUs(before, after any) bool {
	was, ok := before.(*corev1.Pod)
	is, ok2 := after.(*corev1.Pod)
	return ok && ok2 && was.UID == is.UID && maps.Equal(was.Labels, is.Labels) &&
		was.Status.Phase == is.Status.Phase && was.Status.PodIP == is.Status.PodIP &&
		slices.Equal(was.Status.PodIPs, is.Status.PodIPs)
}

func (w *watches) pod(namespace, name string) *corev1.Pod {
	p, err := w.factory.Core().V1().Pods().Lister().Pods(namespace).Get(name)
	if err != nil {
		return nil // only "not found": the lister reads memory
	}
	return p
}

func (w *watches) policy(k compile.Key) *networkingv1.NetworkPolicy {
	p, err := w.factory.Networking().V1().NetworkPolicies().Lister().NetworkPolicies(k.Namespace).Get(k.Name)
	if err != nil {
		return nil // as above
	}
	return p
}

// pass hands the object of a change, which is no policy, to the compiler as it is
// by now. Reading memory cannot fail but by "not found": then the object is gone.
func (w *watches) pass(c *compile.Compiler, ch change) {
	k, core := ch.key, w.factory.Core().V1()
	switch ch.kind {
	case pods:
		c.SetPod(k, w.pod(k.Namespace, k.Name))
	case namespaces:
		ns, _ := core.Namespaces().Lister().Get(k.Name)
		c.SetNamespace(k.Name, ns)
	case services:
		s, _ := core.Services().Lister().Services(k.Namespace).Get(k.Name)
		c.SetService(k, s)
	case endpoints:
		s, _ := w.factory.Discovery().V1().EndpointSlices().Lister().EndpointSlices(k.Namespace).Get(k.Name)
		c.SetSlice(k, s)
	}
}

// catchUp returns when the copies hold every policy that the namespace has by
// now, in that version or a later one, and has noted them as changed. Watches of
// different kinds are not in step: a pod may be seen before a policy that was
// written first; and a copy is made before its watcher is told.
func (w *watches) catchUp(ctx context.Context, namespace string) error {
	const between = 20 * time.Millisecond
	for {
		list, err := w.client.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && w.holds(list.Items) {
			for i := range list.Items {
				w.tell(policies, &list.Items[i])
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(between):
		}
	}
}

func (w *watches) holds(written []networkingv1.NetworkPolicy) bool {
	lister := w.factory.Networking().V1().NetworkPolicies().Lister()
	for _, p := range written {
		have, err := lister.NetworkPolicies(p.Namespace).Get(p.Name)
		if err != nil || version(have.ResourceVersion) < version(p.ResourceVersion) {
			return false
		}
	}
	return true
}

// version reads a resource version; since Kubernetes 1.35 they may be compared
// as numbers.
func version(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}
