package operator

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// maxStrays bounds what a report lists of endpoints that are not what they say.
const maxStrays = 50

// maxBackends bounds how many pods behind one Service are tried by address.
const maxBackends = 8

// world is the cluster as one pass sees it. It is never changed.
type world struct {
	mirrored  bool              // many passes see it; if not, nothing is known of what it has in common with another one
	run       string            // it is what this run needs of the cluster; empty: all of it
	parts     []*world          // that it is joined of; nil: of none
	revisions map[string]uint64 // of the policies and of the labels of each namespace
	verdict   verdict.World
	policies  []networkingv1.NetworkPolicy
	pods      map[types.NamespacedName]*corev1.Pod
	services  map[types.NamespacedName]*corev1.Service
	slices    map[types.NamespacedName][]*discoveryv1.EndpointSlice
	others    map[string][]otherPolicy // of other kinds, by namespace, as far as they can be watched; empty name: of the cluster
	othersAt  uint64                   // counts the changes of them

	grouped sync.Once
	inSpace map[string][]*corev1.Pod // by namespace; see podsIn
	indexed sync.Once
	byName  map[types.NamespacedName]*networkingv1.NetworkPolicy // see named
}

// named are the policies by their names. Those of a world that many passes see are
// indexed once.
func (w *world) named() map[types.NamespacedName]*networkingv1.NetworkPolicy {
	index := func() map[types.NamespacedName]*networkingv1.NetworkPolicy {
		policies := make(map[types.NamespacedName]*networkingv1.NetworkPolicy, len(w.policies))
		for i := range w.policies {
			policies[client.ObjectKeyFromObject(&w.policies[i])] = &w.policies[i]
		}
		return policies
	}
	if !w.mirrored {
		return index()
	}
	w.indexed.Do(func() { w.byName = index() })
	return w.byName
}

// podsIn lists the pods of a namespace, in no order. Those of a world that many passes
// see are grouped once.
func (w *world) podsIn(namespace string) []*corev1.Pod {
	if !w.mirrored {
		return w.bySpace()[namespace]
	}
	w.grouped.Do(func() { w.inSpace = w.bySpace() })
	return w.inSpace[namespace]
}

func (w *world) bySpace() map[string][]*corev1.Pod {
	pods := map[string][]*corev1.Pod{}
	for key, pod := range w.pods {
		pods[key.Namespace] = append(pods[key.Namespace], pod)
	}
	return pods
}

// versionOf tells two states of the policies and labels of some namespaces apart; 0: it
// does not.
func (w *world) versionOf(namespaces []string) uint64 {
	if !w.mirrored {
		return 0
	}
	version := fnv.New64a()
	fmt.Fprint(version, w.run)
	for _, ns := range namespaces {
		fmt.Fprint(version, " ", ns, "/", w.revisions[ns])
	}
	return version.Sum64()
}

// readWorld reads what verdicts depend on. The client is the manager's, so the
// reads cost no request; what they return belongs to the cache and is only read.
func readWorld(ctx context.Context, c client.Reader) (*world, error) {
	var (
		namespaces corev1.NamespaceList
		policies   networkingv1.NetworkPolicyList
		pods       corev1.PodList
		services   corev1.ServiceList
		endpoints  discoveryv1.EndpointSliceList
	)
	for _, list := range []client.ObjectList{&namespaces, &policies, &pods, &services, &endpoints} {
		if err := c.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list %T: %w", list, err)
		}
	}
	return worldOf(Cluster{namespaces.Items, policies.Items, pods.Items, services.Items, endpoints.Items}), nil
}

// newWorld is a world with nothing in it.
func newWorld() *world {
	return &world{
		verdict:  verdict.World{Namespaces: map[string]map[string]string{}},
		pods:     map[types.NamespacedName]*corev1.Pod{},
		services: map[types.NamespacedName]*corev1.Service{},
		slices:   map[types.NamespacedName][]*discoveryv1.EndpointSlice{},
	}
}

// worldOf is the world of what was listed.
func worldOf(c Cluster) *world {
	w := newWorld()
	w.policies = c.Policies
	for _, ns := range c.Namespaces {
		w.verdict.Namespaces[ns.Name] = ns.Labels
	}
	for i := range c.Policies {
		w.verdict.Policies = append(w.verdict.Policies, verdict.PolicyOf(&c.Policies[i]))
	}
	for i := range c.Pods {
		w.pods[client.ObjectKeyFromObject(&c.Pods[i])] = &c.Pods[i]
	}
	for i := range c.Services {
		w.services[client.ObjectKeyFromObject(&c.Services[i])] = &c.Services[i]
	}
	for i := range c.Slices {
		key := types.NamespacedName{Namespace: c.Slices[i].Namespace, Name: c.Slices[i].Labels[discoveryv1.LabelServiceName]}
		w.slices[key] = append(w.slices[key], &c.Slices[i])
	}
	return w
}

// verdictPod is a pod as policies see it.
func verdictPod(p *corev1.Pod) *verdict.Pod {
	v := verdict.PodOf(p)
	return &v
}

// backend is one pod behind a Service's port, with the port it listens on.
type backend struct {
	pod  *corev1.Pod
	addr string
	port int32
}

// backends lists the pods behind a target that are tried: the first maxBackends.
func (w *world) backends(t v1alpha1.ServiceTarget) []backend {
	all := w.allBackends(t)
	return all[:min(len(all), maxBackends)]
}

// allBackends lists the running pods behind a target, by name, without the probe
// pods that wear its labels.
// Pods that are not ready stay in: were they dropped, a policy that makes them
// fail would take its own evidence away.
func (w *world) allBackends(t v1alpha1.ServiceTarget) []backend {
	key := types.NamespacedName{Namespace: t.Namespace, Name: t.Name}
	svc := w.services[key]
	if svc == nil {
		return nil
	}
	port, ok := servicePort(svc, t)
	if !ok {
		return nil
	}
	var out []backend
	for _, slice := range w.slices[key] {
		number := slicePort(slice, port)
		if number == 0 {
			continue
		}
		for _, ep := range slice.Endpoints {
			pod := w.behind(t.Namespace, ep)
			if pod != nil && pod.Labels[v1alpha1.LabelRole] == "" && pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil && hasAddress(pod, ep.Addresses[0]) {
				out = append(out, backend{pod, ep.Addresses[0], number})
			}
		}
	}
	slices.SortFunc(out, func(a, b backend) int {
		return cmp.Or(strings.Compare(a.pod.Name, b.pod.Name), strings.Compare(a.addr, b.addr))
	})
	return out
}

// behind is the pod that an endpoint of a Service says it is; nil: none. A Service has pods
// of its own namespace: whoever may write EndpointSlices in one must not lead probes to those of others.
func (w *world) behind(namespace string, ep discoveryv1.Endpoint) *corev1.Pod {
	if ep.TargetRef == nil || len(ep.Addresses) == 0 || ep.TargetRef.Namespace != namespace {
		return nil
	}
	return w.pods[types.NamespacedName{Namespace: ep.TargetRef.Namespace, Name: ep.TargetRef.Name}]
}

// hasAddress reports whether the kubelet says that the pod has the address.
func hasAddress(pod *corev1.Pod, address string) bool {
	return pod.Status.PodIP == address || slices.Contains(pod.Status.PodIPs, corev1.PodIP{IP: address})
}

// strays lists the endpoints of the plan's targets whose address is not that of
// the pod they name, or whose pod is of another namespace. An EndpointSlice is
// anybody's to write, and probes go to no address because it says so.
func (p *Plan) strays(w *world) []report.NotTested {
	var out []report.NotTested
	seen, more := map[string]bool{}, 0
	for _, path := range p.Paths {
		t := path.To.Service
		for _, slice := range w.slices[types.NamespacedName{Namespace: t.Namespace, Name: t.Name}] {
			for _, ep := range slice.Endpoints {
				why := w.stray(t.Namespace, ep)
				if why == "" || seen[t.Namespace+"/"+slice.Name+"/"+ep.Addresses[0]] {
					continue
				}
				seen[t.Namespace+"/"+slice.Name+"/"+ep.Addresses[0]] = true
				if len(out) == maxStrays {
					more++
					continue
				}
				out = append(out, report.NotTested{What: fmt.Sprintf("endpoint %s of Service %s/%s", ep.Addresses[0], t.Namespace, t.Name),
					Reason: fmt.Sprintf("EndpointSlice %s %s", slice.Name, why)})
			}
		}
	}
	if more > 0 {
		out = append(out, report.NotTested{What: fmt.Sprintf("and %d more endpoints", more), Reason: "their EndpointSlices name pods of other namespaces, or other addresses than their pods have"})
	}
	return out
}

// stray says what is not right about an endpoint of a Service of a namespace; empty: nothing.
func (w *world) stray(namespace string, ep discoveryv1.Endpoint) string {
	if ep.TargetRef == nil || len(ep.Addresses) == 0 {
		return ""
	}
	if ep.TargetRef.Namespace != namespace {
		return "names a pod of another namespace, and a Service has those of its own only"
	}
	if pod := w.behind(namespace, ep); pod != nil && !hasAddress(pod, ep.Addresses[0]) {
		return fmt.Sprintf("says it is pod %s/%s, which has another address", pod.Namespace, pod.Name)
	}
	return ""
}

// anyReady reports whether one of the pods could answer now.
func anyReady(backends []backend) bool {
	return slices.ContainsFunc(backends, func(b backend) bool { return ready(b.pod) })
}

func servicePort(svc *corev1.Service, t v1alpha1.ServiceTarget) (corev1.ServicePort, bool) {
	protocol := corev1.Protocol(t.Protocol)
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	for _, p := range svc.Spec.Ports {
		if p.Port == t.Port && (p.Protocol == protocol || p.Protocol == "" && protocol == corev1.ProtocolTCP) {
			return p, true
		}
	}
	return corev1.ServicePort{}, false
}

// slicePort is the number that an EndpointSlice maps a Service's port to; 0: none.
func slicePort(slice *discoveryv1.EndpointSlice, port corev1.ServicePort) int32 {
	for _, p := range slice.Ports {
		if p.Name != nil && *p.Name == port.Name && p.Port != nil {
			return *p.Port
		}
	}
	return 0
}

// selected lists the production pods that some candidate or original selects:
// running, not ours, not on the host's network.
func (w *world) selected(p *Plan) []*corev1.Pod {
	on := map[string][]labels.Selector{} // by namespace
	add := func(policy plan.Policy) {
		on[policy.Namespace] = append(on[policy.Namespace], selectorOf(&policy.Spec.PodSelector))
	}
	for _, c := range p.Candidates {
		add(c.Policy)
	}
	for _, o := range p.Originals {
		add(o.Policy)
	}
	var out []*corev1.Pod
	for ns, selectors := range on {
		for _, pod := range w.podsIn(ns) {
			if pod.Labels[v1alpha1.LabelRole] != "" || pod.Spec.HostNetwork || finished(pod) || pod.DeletionTimestamp != nil {
				continue
			}
			if slices.ContainsFunc(selectors, func(s labels.Selector) bool { return s.Matches(labels.Set(pod.Labels)) }) {
				out = append(out, pod)
			}
		}
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return out
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}
