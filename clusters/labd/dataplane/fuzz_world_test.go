package dataplane

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
)

// world is where the data plane is compared with the specification: two nodes
// with an agent each, pods of three namespaces, a machine that is neither, and
// everybody listens.
//
//	pods ── node-1 ──┐
//	                 br0 ── outside
//	pods ── node-2 ──┘
type world struct {
	t         testing.TB
	families  int // 1: IPv4; 2: both
	api       *fake.Clientset
	nodes     []*testNode
	endpoints []*endpoint

	mu      sync.Mutex
	arrived map[arrival]bool
}

// endpoint is who can send and be sent to. A node is an endpoint as well, with a
// pod on its network whose labels must not count.
type endpoint struct {
	index int
	name  string
	node  string // "" outside
	host  bool   // the node itself
	pod   *corev1.Pod
	addrs []netip.Addr
	space *podnet.Space
	port  int // of its next probe
}

// arrival is a packet that reached a server.
type arrival struct {
	server  int
	network string
	port    int
	client  netip.AddrPort
}

var fuzzPorts = []int{80, 81, 443, 5000}

func newWorld(t testing.TB, dual bool) *world {
	w := &world{t: t, families: 1, api: fake.NewClientset(), arrived: map[arrival]bool{}}
	if dual {
		w.families = 2
		if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
			t.Skip("this kernel has no IPv6")
		}
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	must(t, netlink.LinkAdd(br))
	t.Cleanup(func() { netlink.LinkDel(br) })
	must(t, netlink.LinkSetUp(br))
	for _, ns := range []string{"x", "y", "z"} {
		must(t, w.api.Tracker().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}))
	}
	for i := 1; i <= 2; i++ {
		w.addNode(i)
	}
	for i := range 8 {
		w.addPod(1+i%2, i)
	}
	w.plug("outside", fmt.Sprintf("172.31.0.%d", 100), fmt.Sprintf("fd00:172:31::%d", 100))
	w.endpoints[len(w.endpoints)-1].node = ""
	for _, e := range w.endpoints {
		w.listen(e)
	}
	return w
}

// plug adds a machine to the underlay.
func (w *world) plug(name, v4, v6 string) *endpoint {
	t := w.t
	space, err := podnet.OpenSpace()
	must(t, err)
	t.Cleanup(space.Close)
	must(t, space.Do(func() error { return podnet.SetUpNode(w.families == 2) }))
	br, err := netlink.LinkByName("br0")
	must(t, err)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "u-" + name, MasterIndex: br.Attrs().Index}, PeerName: "eth0", PeerNamespace: netlink.NsFd(space.FD())}
	must(t, netlink.LinkAdd(veth))
	t.Cleanup(func() { netlink.LinkDel(veth) })
	must(t, netlink.LinkSetUp(veth))
	e := &endpoint{index: len(w.endpoints), name: name, node: name, space: space, port: 10000,
		addrs: []netip.Addr{netip.MustParseAddr(v4), netip.MustParseAddr(v6)}[:w.families]}
	must(t, space.Do(func() error {
		for _, link := range []string{"lo", "eth0"} {
			l, err := netlink.LinkByName(link)
			must(t, err)
			must(t, netlink.LinkSetUp(l))
		}
		eth0, err := netlink.LinkByName("eth0")
		must(t, err)
		must(t, netlink.AddrAdd(eth0, &netlink.Addr{IPNet: ipnet(v4 + "/16")}))
		if w.families == 2 {
			must(t, netlink.AddrAdd(eth0, &netlink.Addr{IPNet: ipnet(v6 + "/64")}))
			link := "fe80::" + v6[strings.LastIndex(v6, ":")+1:] + "/64" // whoever forwards asks for neighbours with it
			must(t, netlink.AddrAdd(eth0, &netlink.Addr{IPNet: ipnet(link)}))
		}
		for f, all := range []string{"0.0.0.0/0", "::/0"}[:w.families] {
			if name != "outside" {
				must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: ipnet(all), Gw: net.ParseIP([]string{"172.31.0.100", "fd00:172:31::100"}[f])}))
			}
		}
		for i := 1; i <= 2; i++ {
			if name == fmt.Sprintf("node-%d", i) {
				continue
			}
			for f, cidr := range podRanges(i)[:w.families] {
				gw := []string{fmt.Sprintf("172.31.0.%d", 10+i), fmt.Sprintf("fd00:172:31::%d", 10+i)}[f]
				must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: ipnet(cidr), Gw: net.ParseIP(gw)}))
			}
		}
		return nil
	}))
	w.endpoints = append(w.endpoints, e)
	return e
}

func podRanges(node int) []string {
	return []string{fmt.Sprintf("10.244.%d.0/24", node), fmt.Sprintf("fd00:10:244:%d::/64", node)}
}

func (w *world) addNode(i int) {
	e := w.plug(fmt.Sprintf("node-%d", i), fmt.Sprintf("172.31.0.%d", 10+i), fmt.Sprintf("fd00:172:31::%d", 10+i))
	e.host = true
	n := &testNode{t: w.t, api: w.api, said: record.NewFakeRecorder(1 << 20), rounds: make(chan struct{}, 1<<20), told: map[change]bool{}}
	cfg := Config{NodeName: e.name, PodCIDRs: podRanges(i)[:w.families], NetNS: e.space.FD()}
	for _, a := range e.addrs {
		cfg.NodeIPs = append(cfg.NodeIPs, a.String())
	}
	n.start(cfg, func(run func()) {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		must(w.t, netns.Set(netns.NsHandle(e.space.FD())))
		run()
	})
	w.nodes = append(w.nodes, n)
	w.apiPod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "on-" + e.name, UID: types.UID("on-" + e.name), Labels: map[string]string{"app": "a"}},
		Spec:       corev1.PodSpec{NodeName: e.name, HostNetwork: true},
		Status:     corev1.PodStatus{PodIP: e.addrs[0].String()},
	})
}

func (w *world) apiPod(p *corev1.Pod) {
	_, err := w.api.CoreV1().Pods(p.Namespace).Create(w.t.Context(), p, metav1.CreateOptions{})
	must(w.t, err)
}

// addPod makes a pod; which ports it calls web and alt depends on its number.
func (w *world) addPod(node, i int) {
	t, name := w.t, fmt.Sprintf("p%d", i)
	e := &endpoint{index: len(w.endpoints), name: name, node: fmt.Sprintf("node-%d", node), port: 10000,
		addrs: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.244.%d.%d", node, 2+i)), netip.MustParseAddr(fmt.Sprintf("fd00:10:244:%d::%d", node, 2+i))}[:w.families]}
	named := []corev1.ContainerPort{{Name: "web", ContainerPort: int32(fuzzPorts[i%3])}, {Name: "alt", ContainerPort: 5000, Protocol: corev1.ProtocolUDP}}
	status := corev1.PodStatus{PodIP: e.addrs[0].String()}
	for _, a := range e.addrs {
		status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	e.pod = &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: []string{"x", "y", "z"}[i%3], Name: name, UID: types.UID(name)},
		Spec:       corev1.PodSpec{NodeName: e.node, Containers: []corev1.Container{{Name: "c", Ports: named[:1+i%2]}}},
		Status:     status,
	}
	w.apiPod(e.pod)
	w.endpoints = append(w.endpoints, e)
	var err error
	e.space, err = podnet.OpenSpace()
	must(t, err)
	t.Cleanup(e.space.Close)
	host := w.find(e.node)
	must(t, host.space.Do(func() error {
		link, err := podnet.Prepare(e.space, name, e.addrs...)
		must(t, err)
		must(t, w.nodes[node-1].agent.AddPod(t.Context(), PodRef{e.pod.Namespace, name, name}, e.addrs...))
		return link.Up()
	}))
}

func (w *world) find(name string) *endpoint {
	i := slices.IndexFunc(w.endpoints, func(e *endpoint) bool { return e.name == name })
	if i < 0 {
		w.t.Fatalf("nobody is called %q", name)
	}
	return w.endpoints[i]
}

// listen makes an endpoint accept everything and note who came.
func (w *world) listen(e *endpoint) {
	must(w.t, e.space.Do(func() error {
		for _, port := range fuzzPorts {
			l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
			must(w.t, err)
			u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
			must(w.t, err)
			w.t.Cleanup(func() { l.Close(); u.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					w.note(e, "TCP", port, c.RemoteAddr().(*net.TCPAddr).AddrPort())
					c.Close()
				}
			}()
			go func() {
				for buf := make([]byte, 16); ; {
					n, from, err := u.ReadFrom(buf)
					if err != nil {
						return
					}
					w.note(e, "UDP", port, from.(*net.UDPAddr).AddrPort())
					u.WriteTo(buf[:n], from)
				}
			}()
		}
		return nil
	}))
}

func (w *world) note(e *endpoint, network string, port int, client netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrived[arrival{e.index, network, port, netip.AddrPortFrom(client.Addr().Unmap().WithZone(""), client.Port())}] = true
}

func (w *world) has(a arrival) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.arrived[a]
}

// become writes a situation to the API and returns when both nodes enforce it.
func (w *world) become(s *situation) {
	t := w.t
	for name, labels := range s.Namespaces {
		_, err := w.api.CoreV1().Namespaces().Update(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.UpdateOptions{})
		must(t, err)
	}
	for name, labels := range s.Pods {
		e := w.find(name)
		e.pod = e.pod.DeepCopy()
		e.pod.Labels = labels
		_, err := w.api.CoreV1().Pods(e.pod.Namespace).Update(t.Context(), e.pod, metav1.UpdateOptions{})
		must(t, err)
	}
	api := w.api.NetworkingV1()
	old, err := api.NetworkPolicies("").List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, p := range old.Items {
		if s.policy(p.Namespace, p.Name) == nil {
			must(t, api.NetworkPolicies(p.Namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}))
		}
	}
	for i := range s.Policies {
		p := &s.Policies[i]
		if slices.ContainsFunc(old.Items, func(o networkingv1.NetworkPolicy) bool {
			return o.Namespace == p.Namespace && o.Name == p.Name && reflect.DeepEqual(o.Spec, p.Spec)
		}) {
			continue // what is written again would be looked at again
		}
		if _, err := api.NetworkPolicies(p.Namespace).Update(t.Context(), p, metav1.UpdateOptions{}); err != nil {
			_, err = api.NetworkPolicies(p.Namespace).Create(t.Context(), p, metav1.CreateOptions{})
			must(t, err)
		}
	}
	for _, n := range w.nodes {
		w.catchUp(n, s)
	}
}

func (w *world) catchUp(n *testNode, s *situation) {
	for end := time.Now().Add(20 * time.Second); !s.seenBy(n.agent.watch); time.Sleep(time.Millisecond / 2) {
		if time.Now().After(end) {
			w.t.Fatal("an agent did not see the objects for 20 s")
		}
	}
	n.noteAll()
	n.settle()
}
