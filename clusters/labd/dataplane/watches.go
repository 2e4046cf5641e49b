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
	"k8s.io/apimachinery/pkg/labels"
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
	changed func()
}

func newWatches(client kubernetes.Interface, changed func()) *watches {
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
	all := map[string]cache.SharedIndexInformer{
		"pods":            f.Core().V1().Pods().Informer(),
		"namespaces":      f.Core().V1().Namespaces().Informer(),
		"networkpolicies": f.Networking().V1().NetworkPolicies().Informer(),
		"services":        f.Core().V1().Services().Informer(),
		"endpointslices":  f.Discovery().V1().EndpointSlices().Informer(),
	}
	var synced []cache.InformerSynced
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h, err := all[name].AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { w.changed() },
			UpdateFunc: w.updated,
			DeleteFunc: func(any) { w.changed() },
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", name, err)
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

// updated passes over the pod updates that change nothing here: of a starting
// pod's status, only its address and its end matter.
func (w *watches) updated(before, after any) {
	was, ok := before.(*corev1.Pod)
	is, ok2 := after.(*corev1.Pod)
	if ok && ok2 && was.UID == is.UID && maps.Equal(was.Labels, is.Labels) &&
		was.Status.Phase == is.Status.Phase && was.Status.PodIP == is.Status.PodIP &&
		slices.Equal(was.Status.PodIPs, is.Status.PodIPs) {
		return
	}
	w.changed()
}

func (w *watches) pod(namespace, name string) *corev1.Pod {
	p, err := w.factory.Core().V1().Pods().Lister().Pods(namespace).Get(name)
	if err != nil {
		return nil // only "not found": the lister reads memory
	}
	return p
}

// fill puts all objects into in. Listing memory with a selector that matches
// everything cannot fail.
func (w *watches) fill(in *compile.Input) {
	all := labels.Everything()
	core := w.factory.Core().V1()
	in.Pods, _ = core.Pods().Lister().List(all)
	in.Namespaces, _ = core.Namespaces().Lister().List(all)
	in.Policies, _ = w.factory.Networking().V1().NetworkPolicies().Lister().List(all)
	in.Services, _ = core.Services().Lister().List(all)
	in.Slices, _ = w.factory.Discovery().V1().EndpointSlices().Lister().List(all)
}

// catchUp returns when the copies hold every policy that the namespace has by
// now, in that version or a later one. Watches of different kinds are not in
// step: a pod may be seen before a policy that was written first.
func (w *watches) catchUp(ctx context.Context, namespace string) error {
	const between = 20 * time.Millisecond
	for {
		list, err := w.client.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && w.holds(list.Items) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(between):
		}
	}
}

func (w *watches) holds(policies []networkingv1.NetworkPolicy) bool {
	lister := w.factory.Networking().V1().NetworkPolicies().Lister()
	for _, p := range policies {
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
