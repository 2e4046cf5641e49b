package dataplane

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/kernel"
	"github.com/tightrope-dev/tightrope/clusters/labd/podnet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
)

// fleet is nodes that share one API, in one process: what takes long here has
// taken the time of all of them.
type fleet struct {
	t     testing.TB
	api   *fake.Clientset
	nodes []*testNode
	pods  []*corev1.Pod

	spaces []*podnet.Space // of the nodes
}

const (
	fleetNodes      = 8
	fleetNamespaces = 50
	podsPerSpace    = 20
	policiesPer     = 10
)

// newFleet brings up eight nodes with 1,000 pods and 500 policies: in each of 50
// namespaces 20 pods of five apps, and two policies for each app.
func newFleet(t testing.TB) *fleet {
	f := &fleet{t: t, api: fake.NewClientset()}
	for s := range fleetNamespaces {
		ns := fmt.Sprintf("ns-%d", s)
		must(t, f.api.Tracker().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{corev1.LabelMetadataName: ns}}}))
		for i := range podsPerSpace {
			n := len(f.pods)
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("pod-%d", i), UID: types.UID(fmt.Sprint(n)), Labels: app(fmt.Sprint(i % 5))},
				Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.244.%d.%d", 1+n%fleetNodes, 1+n/fleetNodes)}}
			f.pods = append(f.pods, p)
			must(t, f.api.Tracker().Add(p))
		}
		for i := range policiesPer {
			must(t, f.api.Tracker().Add(fleetPolicy(s, i)))
		}
	}
	for i := 1; i <= fleetNodes; i++ {
		f.addNode(i)
	}
	var g errgroup.Group
	g.SetLimit(32)
	for i, p := range f.pods {
		g.Go(func() error {
			return f.nodes[i%fleetNodes].agent.AddPod(t.Context(), PodRef{p.Namespace, p.Name, string(p.UID)}, netip.MustParseAddr(p.Status.PodIP))
		})
	}
	must(t, g.Wait())
	for _, n := range f.nodes {
		n.settle()
	}
	return f
}

// fleetPolicy lets one app of its own and one of the next namespace in.
func fleetPolicy(space, i int) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("ns-%d", space), Name: fmt.Sprintf("policy-%d", i)},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: app(fmt.Sprint(i % 5))},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From: []networkingv1.NetworkPolicyPeer{
					{PodSelector: &metav1.LabelSelector{MatchLabels: app(fmt.Sprint((i + 1) % 5))}},
					podsIn(fmt.Sprintf("ns-%d", (space+1)%fleetNamespaces), fmt.Sprint(i%5)),
				},
				Ports: []networkingv1.NetworkPolicyPort{port(intstr.FromInt32(int32(1000 + i)))},
			}},
		},
	}
}

func (f *fleet) addNode(i int) {
	t := f.t
	space, err := podnet.OpenSpace()
	must(t, err)
	t.Cleanup(space.Close)
	ip := fmt.Sprintf("172.31.0.%d", 10+i)
	must(t, space.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		must(t, err)
		must(t, netlink.LinkSetUp(lo))
		return netlink.AddrAdd(lo, &netlink.Addr{IPNet: ipnet(ip + "/32")})
	}))
	n := &testNode{t: t, api: f.api, said: record.NewFakeRecorder(1 << 16), rounds: make(chan struct{}, 1<<20), told: map[change]bool{}}
	n.start(Config{NodeName: fmt.Sprintf("node-%d", i), NodeIPs: []string{ip}, PodCIDRs: []string{fmt.Sprintf("10.244.%d.0/24", i)}, NetNS: space.FD()}, func(run func()) {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		must(t, netns.Set(netns.NsHandle(space.FD())))
		run()
	})
	f.nodes, f.spaces = append(f.nodes, n), append(f.spaces, space)
}

// spread writes by change, again and again, and returns how long each change took
// to be in force on every node, shortest first.
func (f *fleet) spread(times int, change func(i int)) []time.Duration {
	var took []time.Duration
	for i := range times {
		for _, n := range f.nodes {
			for len(n.rounds) > 0 {
				<-n.rounds
			}
		}
		began := time.Now()
		change(i)
		for _, n := range f.nodes {
			<-n.rounds
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// BenchmarkEnforcedOnEveryNode measures from the write of an object to the end of
// the last node's transaction, at 1,000 pods and 500 policies on eight nodes. The
// bar is 500 ms, p99.
func BenchmarkEnforcedOnEveryNode(b *testing.B) {
	f := newFleet(b)
	measure := func(change func(i int)) func(*testing.B) {
		return func(b *testing.B) {
			took := f.spread(b.N, change)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
			b.ReportMetric(float64(took[(len(took)*99)/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(500, "bar-p99-ms")
		}
	}
	written := 0 // a benchmark runs several times; what is written again changes nothing
	b.Run("policy", measure(func(i int) {
		written++
		p := fleetPolicy(i%fleetNamespaces, i%policiesPer)
		p.Spec.Ingress[0].Ports = []networkingv1.NetworkPolicyPort{port(intstr.FromInt32(int32(2000 + written)))}
		_, err := f.api.NetworkingV1().NetworkPolicies(p.Namespace).Update(b.Context(), p, metav1.UpdateOptions{})
		must(b, err)
	}))
	b.Run("pod", measure(func(i int) {
		written++
		p := f.pods[i%len(f.pods)].DeepCopy()
		p.Labels = app(fmt.Sprintf("other-%d", written))
		_, err := f.api.CoreV1().Pods(p.Namespace).Update(b.Context(), p, metav1.UpdateOptions{})
		must(b, err)
	}))
}

// Eight nodes with 1,000 pods and 500 policies hold in their kernels what was
// compiled, although no node's table fits into one transaction.
func TestALargeTableIsMadeInParts(t *testing.T) {
	f := newFleet(t)
	n := f.nodes[0]
	rules := 0
	for _, c := range n.wanted().Chains {
		rules += len(c.Rules)
	}
	if rules < 1000 {
		t.Fatalf("only %d rules: that fits into one transaction", rules)
	}
	must(t, f.spaces[0].Do(func() error { n.compare(); return nil }))
	ruleset := n.wanted()
	n.agent.table.Close()
	again := kernel.Open(f.spaces[0].FD()) // who knows nothing makes all of it
	defer again.Close()
	if rebuilt, err := again.Apply(ruleset); err != nil || !rebuilt {
		t.Fatalf("rebuilt %v, %v", rebuilt, err)
	}
	must(t, f.spaces[0].Do(func() error { n.compare(); return nil }))
}
