package lint

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/repair"
)

const (
	ingress = networkingv1.PolicyTypeIngress
	egress  = networkingv1.PolicyTypeEgress
	tcp     = corev1.ProtocolTCP
	udp     = corev1.ProtocolUDP
)

// class is pods that policies cannot tell apart: those of one workload with the
// same labels. One of them speaks for all.
type class struct {
	verdict.Pod
	other    verdict.Pod        // another pod of the class, real or one that could be
	workload *manifest.Workload // nil for pods that are assumed
	pods     []int              // in Set.Pods
	services []*manifest.Service
}

// name is namespace/name of the workload.
func (c *class) name() string {
	if c.workload == nil {
		return c.Key()
	}
	return c.workload.Namespace + "/" + c.workload.Name
}

// identity are the labels that name the class in a selector: the usual ones if
// it has them, else all that do not change from pod to pod.
func (c *class) identity() map[string]string {
	for _, keys := range [][]string{{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}, {"app"}, {"k8s-app"}, {"name"}, {"run"}} {
		own := map[string]string{}
		for _, k := range keys {
			if v, ok := c.Labels[k]; ok {
				own[k] = v
			}
		}
		if _, ok := own[keys[0]]; ok {
			return own
		}
	}
	own := map[string]string{}
	for k, v := range c.Labels {
		if !slices.Contains(drifting, k) && (c.workload == nil || !slices.Contains(c.workload.Unfixed, k)) {
			own[k] = v
		}
	}
	return own
}

// view is what the mistakes are looked for in.
type view struct {
	set        *manifest.Set
	world      verdict.World // with the candidates of rollouts
	snapshot   *verdict.Snapshot
	policies   []*policy
	classes    []*class            // sorted by workload, as the set has them
	homes      map[string][]*class // by namespace
	isolated   map[*class]map[networkingv1.PolicyType][]*policy
	idle       map[string][]*policy // those that select no pod, by namespace
	parsed     map[*metav1.LabelSelector]labels.Selector
	homesTaken map[taking]struct{ matches, known bool }

	noted    map[string]map[string]string   // annotations of Services by namespace/name
	called   map[string][]manifest.Callback // by Service
	labelled map[string]map[string]string   // labels of Services by namespace/name
	before   map[string][]*class            // classes behind a Service, by namespace/name
	dnsPods  []resolver
	cache    bool // whether NodeLocal DNSCache is in the set
	dns      []lookups
	deaf     []*class               // DNS pods that let not all in who ask them
	unheard  []*class               // who those are
	told     map[*class]repair.Told // that were asked for
	free     *verdict.Snapshot      // see unbound
	offered  map[string]string      // documents of policies to add, by namespace/name
}

func newView(set *manifest.Set) *view { return viewOf(set, policiesOf(set)) }

// viewOf is the set with these policies in the place of its own.
func viewOf(set *manifest.Set, policies []*policy) *view {
	v := &view{set: set, homes: map[string][]*class{}, idle: map[string][]*policy{}, isolated: map[*class]map[networkingv1.PolicyType][]*policy{}, parsed: map[*metav1.LabelSelector]labels.Selector{}, homesTaken: map[taking]struct{ matches, known bool }{},
		told: map[*class]repair.Told{}, offered: map[string]string{}}
	v.policies = policies
	v.world = set.World
	v.world.Policies = nil
	for _, p := range v.policies {
		v.world.Policies = append(v.world.Policies, p.Policy)
	}
	v.snapshot = verdict.Compile(v.world, set.Pods)
	for i := range set.Workloads {
		v.addClasses(&set.Workloads[i])
	}
	for _, c := range v.classes {
		v.homes[c.Namespace] = append(v.homes[c.Namespace], c)
	}
	v.noted, v.labelled, v.before = map[string]map[string]string{}, map[string]map[string]string{}, map[string][]*class{}
	for _, o := range set.Objects.Services {
		v.noted[o.Namespace+"/"+o.Name], v.labelled[o.Namespace+"/"+o.Name] = o.Object.Annotations, o.Object.Labels
	}
	v.called = map[string][]manifest.Callback{}
	for _, cb := range set.Objects.Callbacks {
		v.called[cb.Service] = append(v.called[cb.Service], cb)
	}
	v.addServices()
	for _, p := range v.policies {
		v.isolate(p)
	}
	v.dnsPods, v.cache = v.findResolvers(), v.nodeLocalCache()
	v.dns = v.askAll()
	v.deaf, v.unheard = v.findDeaf()
	return v
}

func (v *view) addClasses(w *manifest.Workload) {
	byLabels := map[string]*class{}
	for _, i := range w.Pods {
		pod := v.set.Pods[i]
		key := fmt.Sprint(fixed(pod.Labels, w.Unfixed), pod.Ports, pod.HostNetwork)
		if c := byLabels[key]; c != nil {
			if len(c.pods) == 1 {
				c.other = pod
			}
			c.pods = append(c.pods, i)
			continue
		}
		twin := pod
		twin.Name, twin.IPs, twin.Node = pod.Name+"-other", nil, ""
		byLabels[key] = &class{Pod: pod, other: twin, workload: w, pods: []int{i}}
		v.classes = append(v.classes, byLabels[key])
	}
}

// fixed are the labels without those whose values are not known beforehand.
func fixed(set map[string]string, unfixed []string) map[string]string {
	set = maps.Clone(set)
	maps.DeleteFunc(set, func(k, _ string) bool { return slices.Contains(unfixed, k) })
	return set
}

func (v *view) addServices() {
	of := map[int]*class{}
	for _, c := range v.classes {
		for _, pod := range c.pods {
			of[pod] = c
		}
	}
	for i := range v.set.Services {
		s := &v.set.Services[i]
		for _, pod := range s.Pods {
			if c := of[pod]; c != nil && !slices.Contains(c.services, s) {
				c.services = append(c.services, s)
				v.before[s.Namespace+"/"+s.Name] = append(v.before[s.Namespace+"/"+s.Name], c)
			}
		}
	}
}

// isolate notes the policy at the classes that it isolates. Each class has its
// policies with the more specific ones first: they are where a forgotten rule
// belongs.
func (v *view) isolate(p *policy) {
	selected := v.selected(p)
	if len(selected) == 0 {
		v.idle[p.Namespace] = append(v.idle[p.Namespace], p)
	}
	for _, c := range selected {
		if c.HostNetwork {
			continue // what a policy does to it is not defined, and most plugins do nothing
		}
		if v.isolated[c] == nil {
			v.isolated[c] = map[networkingv1.PolicyType][]*policy{}
		}
		for _, d := range []networkingv1.PolicyType{ingress, egress} {
			if !p.Affects(d) {
				continue
			}
			v.isolated[c][d] = append(v.isolated[c][d], p)
			slices.SortStableFunc(v.isolated[c][d], func(a, b *policy) int {
				return cmp.Or(cmp.Compare(a.breadth(d), b.breadth(d)), strings.Compare(a.Key(), b.Key()))
			})
		}
	}
}

// selected lists the classes that the policy selects.
func (v *view) selected(p *policy) []*class {
	sel := v.selector(&p.Spec.PodSelector)
	var all []*class
	for _, c := range v.in(p.Namespace) {
		if sel.Matches(labels.Set(c.Labels)) {
			all = append(all, c)
		}
	}
	return all
}

// selector parses once; an invalid selector matches nothing, and the API server
// would not have taken it.
func (v *view) selector(s *metav1.LabelSelector) labels.Selector {
	if sel, ok := v.parsed[s]; ok {
		return sel
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		sel = labels.Nothing()
	}
	v.parsed[s] = sel
	return sel
}

// in lists the classes of a namespace.
func (v *view) in(namespace string) []*class { return v.homes[namespace] }

// between judges a connection between two classes; within one class it is one
// between two of its pods.
func (v *view) between(from, to *class, number int32, protocol corev1.Protocol) verdict.Verdict {
	return v.snapshot.Judge(conn(from, to, port{number, protocol}))
}

func conn(from, to *class, p port) verdict.Conn {
	target := &to.Pod
	if from == to {
		target = &to.other
	}
	return verdict.Conn{From: verdict.End{Pod: &from.Pod}, To: verdict.End{Pod: target}, Port: p.number, Protocol: p.protocol}
}

// matchesNamespace says whether the selector takes the namespace, and whether
// that is known: of a namespace that nothing declares only the name is.
func (v *view) matchesNamespace(s *metav1.LabelSelector, namespace string) (matches, known bool) {
	key := taking{s, namespace}
	had, ok := v.homesTaken[key]
	if !ok {
		had.matches, had.known = v.matchNamespace(s, namespace)
		v.homesTaken[key] = had
	}
	return had.matches, had.known
}

// taking is a question that is asked for every class of a namespace.
type taking struct {
	selector  *metav1.LabelSelector
	namespace string
}

func (v *view) matchNamespace(s *metav1.LabelSelector, namespace string) (matches, known bool) {
	own, declared := v.world.Namespaces[namespace]
	all := labels.Set{corev1.LabelMetadataName: namespace}
	maps.Copy(all, own)
	if v.selector(s).Matches(all) {
		return true, true
	}
	requirements, _ := v.selector(s).Requirements()
	if declared {
		return false, true
	}
	for _, r := range requirements {
		if r.Key() == corev1.LabelMetadataName && !r.Matches(all) {
			return false, true
		}
	}
	return false, false
}

// takes says whether a peer of a policy in the namespace takes the class, and
// whether that is known. A peer with an ipBlock takes no class by its labels.
func (v *view) takes(namespace string, peer *networkingv1.NetworkPolicyPeer, c *class) (takes, known bool) {
	if peer.IPBlock != nil || peer.NamespaceSelector == nil && c.Namespace != namespace {
		return false, true
	}
	if peer.PodSelector != nil && !v.selector(peer.PodSelector).Matches(labels.Set(c.Labels)) {
		return false, true
	}
	if peer.NamespaceSelector != nil {
		return v.matchesNamespace(peer.NamespaceSelector, c.Namespace)
	}
	return true, true
}

// names lists workloads for people: at most three, and how many more.
func names(classes []*class) string {
	var all []string
	for _, c := range classes {
		if !slices.Contains(all, c.name()) {
			all = append(all, c.name())
		}
	}
	if more := len(all) - 3; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:3], ", "), more)
	}
	return strings.Join(all, ", ")
}
