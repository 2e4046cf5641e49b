package operator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/literal"
)

// bend changes what one attempt would see; the zero value changes nothing.
type bend struct {
	ignore bool                                   // no policy has any effect
	silent bool                                   // the probe pods say nothing more
	mishap func(agent string, line uint64) mishap // what befalls a line of a probe pod; nil: nothing ever does
	slow   *lag                                   // what is written acts only later; nil: at once
	force  func(from, to *corev1.Pod, got probes.Outcome) probes.Outcome
}

// byAddress is the index of pods by their address.
const byAddress = "address"

// plane plays the kubelets, the probe agents and an ideal data plane: what an
// attempt sees follows at once from the policies and labels in the API.
type plane struct {
	kube       kubernetes.Interface
	factory    informers.SharedInformerFactory
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	services   corelisters.ServiceLister
	plans      corelisters.ConfigMapLister
	policies   networkinglisters.NetworkPolicyLister

	nodes   []string       // that it keeps alive
	kubelet kubeletAddress // of all of them
	beats   sync.WaitGroup // of the nodes

	verdicts  sync.Map // of string to bool: what was allowed, by all that it follows from
	processes sync.Map // of UID to *process: of probe pods that something may befall

	mu      sync.Mutex
	bends   map[string]bend     // by run
	touched map[string][]string // by run: production pods that a policy of it selected
	active  map[string][]string // by run: roles of its policies that were not inert
	nextIP  uint32
	given   map[types.UID]string // addresses of pods
}

// kubeletAddress is where a kubelet serves logs; the zero value is nowhere.
type kubeletAddress struct {
	ip   string
	port int32
}

func newPlane(ctx context.Context, kube kubernetes.Interface, nodes []string, kubelet kubeletAddress) (*plane, error) {
	f := informers.NewSharedInformerFactory(kube, 0)
	p := &plane{
		kube: kube, nodes: nodes, kubelet: kubelet, factory: f, bends: map[string]bend{}, touched: map[string][]string{}, active: map[string][]string{}, given: map[types.UID]string{},
		pods: f.Core().V1().Pods().Lister(), namespaces: f.Core().V1().Namespaces().Lister(),
		services: f.Core().V1().Services().Lister(), plans: f.Core().V1().ConfigMaps().Lister(),
		policies: f.Networking().V1().NetworkPolicies().Lister(),
	}
	slots := make(chan struct{}, kubeletHands)
	start := func(o any) {
		slots <- struct{}{}
		p.beats.Go(func() {
			defer func() { <-slots }()
			p.run(ctx, o.(*corev1.Pod))
		})
	}
	err3 := f.Core().V1().Services().Informer().AddIndexers(cache.Indexers{byAddress: func(o any) ([]string, error) {
		return []string{o.(*corev1.Service).Spec.ClusterIP}, nil
	}})
	err := f.Core().V1().Pods().Informer().AddIndexers(cache.Indexers{byAddress: func(o any) ([]string, error) {
		return []string{o.(*corev1.Pod).Status.PodIP}, nil
	}})
	_, err1 := f.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: start, UpdateFunc: func(_, o any) { start(o) },
	})
	note := func(o any) { p.note(o.(*networkingv1.NetworkPolicy)) }
	_, err2 := f.Networking().V1().NetworkPolicies().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: note, UpdateFunc: func(_, o any) { note(o) },
	})
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	return p, errors.Join(err, err1, err2, err3, p.join(ctx))
}

func (p *plane) wait() {
	p.factory.Shutdown()
	p.beats.Wait()
}

// theNodes are where the pods of stories run. Their kubelets are the plane's.
var theNodes = []string{"node-1", "node-2"}

// join makes the nodes, and keeps them alive until ctx ends.
func (p *plane) join(ctx context.Context) error {
	leases := p.kube.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	for _, name := range p.nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if p.kubelet.ip != "" {
			node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: p.kubelet.ip}}
			node.Status.DaemonEndpoints.KubeletEndpoint.Port = p.kubelet.port
			node.Status.Capacity = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("10000"), corev1.ResourceCPU: resource.MustParse("1000"), corev1.ResourceMemory: resource.MustParse("10Ti")}
			node.Status.Allocatable = node.Status.Capacity
		}
		if _, err := p.kube.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return err
		}
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: name}}
		lease.Spec.HolderIdentity = &name
		if _, err := leases.Create(ctx, lease, metav1.CreateOptions{}); err != nil {
			return err
		}
		p.beats.Go(func() {
			for every := time.NewTicker(5 * time.Second); ; {
				patch := fmt.Sprintf(`{"spec":{"renewTime":%q}}`, time.Now().UTC().Format(metav1.RFC3339Micro))
				_, _ = leases.Patch(ctx, name, types.MergePatchType, []byte(patch), patchOptions) // the next beat makes up for it
				select {
				case <-every.C:
				case <-ctx.Done():
					every.Stop()
					return
				}
			}
		})
	}
	return nil
}

// kubeletHands are the pods that are started at a time: one after the other, ten
// thousand of them take longer than whoever makes them.
const kubeletHands = 16

// addressOf a pod is the same each time.
func (p *plane) addressOf(pod types.UID) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given[pod] == "" {
		p.nextIP++
		p.given[pod] = netip.AddrFrom4([4]byte{10, byte(99 + p.nextIP>>16), byte(p.nextIP >> 8), byte(p.nextIP)}).String()
	}
	return p.given[pod]
}

// run is the kubelet: every new pod gets an address and runs; one with a
// readiness gate never turns ready.
func (p *plane) run(ctx context.Context, pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil && pod.Spec.NodeName != "" {
		now := metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
		_ = p.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, now) // gone already is fine
	}
	if pod.Status.PodIP != "" || pod.DeletionTimestamp != nil || p.kubelet.ip != "" && !slices.Contains(p.nodes, pod.Spec.NodeName) {
		return
	}
	ip := p.addressOf(pod.UID)
	is := corev1.ConditionTrue
	if len(pod.Spec.ReadinessGates) > 0 {
		is = corev1.ConditionFalse
	}
	patch := fmt.Sprintf(`{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}],"conditions":[{"type":"Ready","status":%q}],
		"containerStatuses":[{"name":%q,"image":"none","imageID":"none","containerID":"plane://%s"}]}}`, ip, ip, is, pod.Spec.Containers[0].Name, pod.UID)
	// A pod that is gone by now needs no address; any other trouble shows as a story that waits in vain.
	_, _ = p.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(patch), patchOptions, "status")
}

// note writes down which policies of a run select any pod, and which production
// pods they do.
func (p *plane) note(np *networkingv1.NetworkPolicy) {
	run := np.Labels[v1alpha1.LabelRun]
	pods, err := p.pods.Pods(np.Namespace).List(labels.Everything())
	if run == "" || err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !equality.Semantic.DeepEqual(np.Spec.PodSelector, rollout.MatchNothing()) {
		p.active[run] = append(p.active[run], np.Labels[v1alpha1.LabelRole])
	}
	for _, pod := range pods {
		if pod.Labels[v1alpha1.LabelRole] == "" && selects(&np.Spec.PodSelector, pod.Labels) {
			p.touched[run] = append(p.touched[run], pod.Name+" by "+np.Name)
		}
	}
}

func (p *plane) touchedBy(run string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.touched[run]
}

func (p *plane) activatedBy(run string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.active[run]
}

func (p *plane) bend(run string, b bend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bends[run] = b
}

func (p *plane) bendOf(run string) bend {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bends[run]
}

// attempt is one attempt of a check, through the ideal data plane.
func (p *plane) attempt(from *corev1.Pod, c probes.Check, turn int) probes.Outcome {
	to, port := p.resolve(c, turn)
	if to == nil {
		return probes.TimedOut
	}
	got := probes.Reached
	b := p.bendOf(from.Labels[v1alpha1.LabelRun])
	if !b.ignore && !p.allowed(from, to, port, c.Protocol, b.slow) {
		got = probes.TimedOut
	}
	if b.force != nil {
		got = b.force(from, to, got)
	}
	return got
}

// allowed is the literal reading of the policies between two pods. Agents ask the
// same thing twenty-five times a second, so an answer is kept for the versions it was read from.
func (p *plane) allowed(from, to *corev1.Pod, port int32, protocol string, slow *lag) bool {
	from, to = slow.pod(from), slow.pod(to)
	w := verdict.World{Namespaces: map[string]map[string]string{}}
	var key strings.Builder
	version := func(o metav1.Object) { fmt.Fprintf(&key, "%s@%s ", o.GetUID(), o.GetResourceVersion()) }
	version(from)
	version(to)
	fmt.Fprintf(&key, "%d/%s ", port, protocol)
	var policies []*networkingv1.NetworkPolicy
	for _, name := range []string{from.Namespace, to.Namespace} {
		ns, err := p.namespaces.Get(name)
		if err != nil || w.Namespaces[name] != nil {
			continue
		}
		w.Namespaces[name] = ns.Labels
		version(ns)
		found, _ := p.policies.NetworkPolicies(name).List(labels.Everything()) // a synced cache never fails
		policies = append(policies, slow.policies(name, found)...)
	}
	slices.SortFunc(policies, func(a, b *networkingv1.NetworkPolicy) int { return strings.Compare(string(a.UID), string(b.UID)) })
	for _, np := range policies {
		version(np)
	}
	if known, ok := p.verdicts.Load(key.String()); ok {
		return known.(bool)
	}
	for _, np := range policies {
		w.Policies = append(w.Policies, verdict.PolicyOf(np))
	}
	is := literal.Judge(w, connect(verdictPod(from), verdictPod(to), port, protocol)).Decision == verdict.Allow
	p.verdicts.Store(key.String(), is)
	return is
}

// resolve finds the pod an attempt ends at: by address, or one behind a Service
// in turn.
func (p *plane) resolve(c probes.Check, turn int) (*corev1.Pod, int32) {
	if svc := p.serviceAt(c.Host); svc != nil {
		c.Host = svc.Name + "." + svc.Namespace
	}
	if _, err := netip.ParseAddr(c.Host); err == nil {
		found, _ := p.factory.Core().V1().Pods().Informer().GetIndexer().ByIndex(byAddress, c.Host) // the index exists
		if len(found) == 0 {
			return nil, 0
		}
		return found[0].(*corev1.Pod), c.Port
	}
	name, rest, _ := strings.Cut(c.Host, ".")
	ns, _, _ := strings.Cut(rest, ".")
	svc, err := p.services.Services(ns).Get(name)
	if err != nil {
		return nil, 0
	}
	var behind []*corev1.Pod
	pods, _ := p.pods.Pods(ns).List(labels.Everything())
	for _, pod := range pods {
		if (pod.Labels["app"] == name || pod.Labels["k8s-app"] == name) && ready(pod) {
			behind = append(behind, pod)
		}
	}
	if len(behind) == 0 {
		return nil, 0
	}
	return behind[turn%len(behind)], svc.Spec.Ports[0].TargetPort.IntVal
}

// serviceAt is the Service that has an address; nil: none.
func (p *plane) serviceAt(address string) *corev1.Service {
	found, _ := p.factory.Core().V1().Services().Informer().GetIndexer().ByIndex(byAddress, address) // the index exists
	if len(found) == 0 || address == "" {
		return nil
	}
	return found[0].(*corev1.Service)
}

// isolated reports whether a policy of ours selects the pod: a data plane that
// breaks such pods is at fault, whatever the policies say.
func (p *plane) isolated(pod *corev1.Pod) bool {
	policies, _ := p.policies.NetworkPolicies(pod.Namespace).List(labels.Everything())
	for _, np := range policies {
		if np.Labels[v1alpha1.LabelRun] != "" && selects(&np.Spec.PodSelector, pod.Labels) {
			return true
		}
	}
	return false
}
