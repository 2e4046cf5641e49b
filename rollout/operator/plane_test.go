package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/literal"
)

// bend changes what one attempt would see; the zero value changes nothing.
type bend struct {
	ignore bool // no policy has any effect
	silent bool // the probe pods say nothing more
	slow   *lag // what is written acts only later; nil: at once
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

	beats sync.WaitGroup // of the nodes

	verdicts sync.Map // of string to bool: what was allowed, by all that it follows from

	mu      sync.Mutex
	bends   map[string]bend     // by run
	touched map[string][]string // by run: production pods that a policy of it selected
	active  map[string][]string // by run: roles of its policies that were not inert
	nextIP  uint32
}

func newPlane(ctx context.Context, kube kubernetes.Interface) (*plane, error) {
	f := informers.NewSharedInformerFactory(kube, 0)
	p := &plane{
		kube: kube, factory: f, bends: map[string]bend{}, touched: map[string][]string{}, active: map[string][]string{},
		pods: f.Core().V1().Pods().Lister(), namespaces: f.Core().V1().Namespaces().Lister(),
		services: f.Core().V1().Services().Lister(), plans: f.Core().V1().ConfigMaps().Lister(),
		policies: f.Networking().V1().NetworkPolicies().Lister(),
	}
	start := func(o any) { p.run(ctx, o.(*corev1.Pod)) }
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
	return p, errors.Join(err, err1, err2, p.join(ctx))
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
	for _, name := range theNodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
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

// run is the kubelet: every new pod gets an address and runs; one with a
// readiness gate never turns ready.
func (p *plane) run(ctx context.Context, pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil && pod.Spec.NodeName != "" {
		now := metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
		_ = p.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, now) // gone already is fine
	}
	if pod.Status.PodIP != "" || pod.DeletionTimestamp != nil {
		return
	}
	p.mu.Lock()
	p.nextIP++
	ip := netip.AddrFrom4([4]byte{10, 99, byte(p.nextIP >> 8), byte(p.nextIP)}).String()
	p.mu.Unlock()
	is := corev1.ConditionTrue
	if len(pod.Spec.ReadinessGates) > 0 {
		is = corev1.ConditionFalse
	}
	patch := fmt.Sprintf(`{"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%q}],"conditions":[{"type":"Ready","status":%q}]}}`, ip, ip, is)
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

// Follow implements LogReader: it is the agent that runs in the pod.
func (p *plane) Follow(ctx context.Context, pod types.NamespacedName) (io.ReadCloser, error) {
	if _, err := p.pods.Pods(pod.Namespace).Get(pod.Name); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError((&fakeAgent{plane: p, pod: pod, out: w}).serve(ctx)) }()
	return r, nil
}

// fakeAgent is one probe pod's process.
type fakeAgent struct {
	plane *plane
	pod   types.NamespacedName
	out   io.Writer
	seq   uint64
	last  map[string]*probes.Count

	plan    probes.Plan
	version string // of the ConfigMap it was read from
}

func (a *fakeAgent) serve(ctx context.Context) error {
	a.last = map[string]*probes.Count{}
	every := 20 * time.Millisecond
	for {
		from := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
		me, err := a.plane.pods.Pods(a.pod.Namespace).Get(a.pod.Name)
		if err != nil {
			return io.EOF // deleted: its log ends
		}
		cm, err := a.plane.plans.ConfigMaps(a.pod.Namespace).Get(a.pod.Name)
		if err != nil || me.Status.PodIP == "" || a.plane.bendOf(me.Labels[v1alpha1.LabelRun]).silent {
			continue
		}
		if a.version != cm.ResourceVersion {
			if a.plan, err = probes.ParsePlan([]byte(cm.Data[pods.PlanKey])); err != nil {
				return fmt.Errorf("agent %s: %w", a.pod, err)
			}
			a.version = cm.ResourceVersion
		}
		if a.plan.Interval > 0 {
			every = a.plan.Interval
		}
		if err := a.say(me, a.plan, from); err != nil {
			return err
		}
	}
}

func (a *fakeAgent) say(me *corev1.Pod, plan probes.Plan, from time.Time) error {
	a.seq++
	line := probes.Line{Agent: plan.Agent, Seq: a.seq, Digest: plan.Digest(), From: from, To: time.Now()}
	for _, c := range plan.Checks {
		got := a.plane.attempt(me, c, int(a.seq))
		n := a.last[c.ID]
		if n == nil || n.Last.Connected() != got.Connected() {
			n = &probes.Count{ID: c.ID, Since: from}
			a.last[c.ID] = n
		}
		n.Last, n.Newest = got, line.To
		n.Streak++
		n.Outcomes = map[probes.Outcome]int{got: 1}
		line.Counts = append(line.Counts, *n)
	}
	raw, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(raw, '\n'))
	return err
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
		if pod.Labels["app"] == name && ready(pod) {
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
	all, _ := p.services.List(labels.Everything()) // a synced cache never fails
	for _, svc := range all {
		if svc.Spec.ClusterIP == address {
			return svc
		}
	}
	return nil
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
