package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/podnet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
)

const insideEnv = "TIGHTROPE_TEST_INSIDE"

// TestMain runs the tests again in a user and network namespace of their own,
// as the lab does it, so that they need no root and touch nothing outside.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" {
		os.Exit(m.Run())
	}
	inside := exec.Command("/proc/self/exe", os.Args[1:]...)
	inside.Env = append(os.Environ(), insideEnv+"=1")
	inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	runtime.LockOSThread() // Pdeathsig is about this thread
	err := inside.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && os.Getenv("TIGHTROPE_SKIP_LAB") != "" {
		fmt.Printf("skipped: TIGHTROPE_SKIP_LAB is set and this machine refuses user namespaces: %v\n", err)
		return
	}
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "the data plane's tests need user namespaces and this machine refuses them: %v; to run the other tests, set TIGHTROPE_SKIP_LAB=1\n", err)
		os.Exit(1)
	}
	os.Exit(inside.ProcessState.ExitCode())
}

// testNode is the node of the tests: this process's network namespace with an
// underlay bridge, an agent over a fake API, and pods in namespaces of their own.
type testNode struct {
	t      testing.TB
	api    *fake.Clientset
	agent  *Agent
	said   *record.FakeRecorder
	rounds chan struct{} // one token per round of the agent
	next   int
	stop   func() // ends the agent; may be called twice

	mu   sync.Mutex
	told map[change]bool // all that the agent was ever told of
}

func startNode(t testing.TB, mode Mode) *testNode {
	t.Helper()
	n := &testNode{t: t, api: fake.NewClientset(), said: record.NewFakeRecorder(1000), rounds: make(chan struct{}, 10000), next: 2, told: map[change]bool{}}
	must(t, podnet.SetUpNode(false))
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	must(t, netlink.LinkAdd(link))
	t.Cleanup(func() { netlink.LinkDel(link) })
	must(t, netlink.AddrAdd(link, &netlink.Addr{IPNet: ipnet("172.31.0.11/16")}))
	must(t, netlink.LinkSetUp(link))
	must(t, netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("172.31.0.1")}))
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	for _, ns := range []string{"ai", "apps"} {
		must(t, n.api.Tracker().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{corev1.LabelMetadataName: ns}}}))
	}
	n.start(Config{NodeName: "node-1", NodeIPs: []string{"172.31.0.11"}, PodCIDRs: []string{"10.244.1.0/24"}, Mode: mode}, func(run func()) { run() })
	return n
}

// start starts the node's agent, on a thread that inside chooses, and stops it
// with the test.
func (n *testNode) start(cfg Config, inside func(run func())) {
	t := n.t
	t.Helper()
	cfg.Client, cfg.Recorder, cfg.Logger = n.api, n.said, slog.New(roundLog{slog.NewTextHandler(io.Discard, nil), n})
	var err error
	n.agent, err = New(cfg)
	must(t, err)
	note := n.agent.watch.changed
	n.agent.watch.changed = func(ch change) {
		n.mu.Lock()
		n.told[ch] = true
		n.mu.Unlock()
		note(ch)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go inside(func() { done <- n.agent.Run(ctx) })
	n.stop = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("agent: %v", err)
		}
	})
	t.Cleanup(n.stop)
}

// testPod is a pod with its network, wired as the node wires it.
type testPod struct {
	n    *testNode
	ref  PodRef
	addr netip.Addr
	ns   netns.NsHandle
}

func (n *testNode) pod(namespace, name string, labels map[string]string, ports ...corev1.ContainerPort) *testPod {
	n.t.Helper()
	p := &testPod{n: n, ref: PodRef{namespace, name, "uid-" + name}, addr: netip.AddrFrom4([4]byte{10, 244, 1, byte(n.next)})}
	n.next++
	_, err := n.api.CoreV1().Pods(namespace).Create(n.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(p.ref.UID), Labels: labels},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "c", Ports: ports}}},
	}, metav1.CreateOptions{})
	must(n.t, err)
	ctx, stop := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer stop()
	must(n.t, n.agent.AddPod(ctx, p.ref, p.addr))
	p.wire(fmt.Sprintf("veth%d", n.next))
	return p
}

// wire makes the pod's network: a routed veth whose gateway is 169.254.1.1.
func (p *testPod) wire(name string) {
	t := p.n.t
	p.ns = newNetNS(t)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(p.ns)}
	must(t, netlink.LinkAdd(veth))
	t.Cleanup(func() { netlink.LinkDel(veth) })
	host, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.LinkSetUp(host))
	h, err := netlink.NewHandleAt(p.ns)
	must(t, err)
	defer h.Close()
	lo, err := h.LinkByName("lo")
	must(t, err)
	must(t, h.LinkSetUp(lo))
	eth0, err := h.LinkByName("eth0")
	must(t, err)
	must(t, h.AddrAdd(eth0, &netlink.Addr{IPNet: ipnet(p.addr.String() + "/32")}))
	must(t, h.LinkSetUp(eth0))
	gw := ipnet("169.254.1.1/32")
	must(t, h.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: gw, Scope: netlink.SCOPE_LINK}))
	must(t, h.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gw.IP, Src: p.addr.AsSlice()}))
	must(t, h.NeighAdd(&netlink.Neigh{LinkIndex: eth0.Attrs().Index, State: netlink.NUD_PERMANENT, IP: gw.IP, HardwareAddr: host.Attrs().HardwareAddr}))
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: host.Attrs().Index, Dst: ipnet(p.addr.String() + "/32"), Scope: netlink.SCOPE_LINK}))
}

// in runs f on a thread in the pod's network namespace.
func (p *testPod) in(f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := netns.Set(p.ns)
		if err == nil {
			f()
		}
		done <- err
	}()
	must(p.n.t, <-done)
}

// answers makes the pod answer on TCP ports, and on the same UDP ports.
func (p *testPod) answers(ports ...int) *testPod {
	t := p.n.t
	p.in(func() {
		for _, port := range ports {
			l, err := net.Listen("tcp4", fmt.Sprintf(":%d", port))
			if err != nil {
				t.Errorf("listen: %v", err)
				return
			}
			u, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
			if err != nil {
				t.Errorf("listen: %v", err)
				return
			}
			t.Cleanup(func() { l.Close(); u.Close() })
			go serveName(l, p.ref.Name)
			go echoName(u, p.ref.Name)
		}
	})
	return p
}

func serveName(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Write([]byte(name + " " + c.RemoteAddr().(*net.TCPAddr).IP.String()))
		c.Close()
	}
}

func echoName(u net.PacketConn, name string) {
	buf := make([]byte, 64)
	for {
		_, from, err := u.ReadFrom(buf)
		if err != nil {
			return
		}
		u.WriteTo([]byte(name), from)
	}
}

// expect tries once and compares. Silence is believed soon; an answer is waited
// for as long as a busy machine may take.
func (p *testPod) expect(network, address, want string) {
	p.n.t.Helper()
	patience := silence
	if want != timedOut {
		patience = 5 * time.Second
	}
	var got string
	p.in(func() { got = attempt(network, address, patience) })
	if got != want {
		p.n.t.Errorf("%s to %s by %s: got %q, want %q", p.ref.Name, address, network, got, want)
	}
}

func (p *testPod) at(port string) string { return p.addr.String() + ":" + port }

const (
	silence  = 150 * time.Millisecond
	timedOut = "timeout"
	refused  = "refused"
)

// attempt says what one attempt gives: the name (and, for TCP, the client's
// address as the server sees it) that answered, timedOut or refused.
func attempt(network, address string, patience time.Duration) string {
	d := net.Dialer{Timeout: patience}
	c, err := d.Dial(network, address)
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if strings.HasPrefix(network, "udp") {
			_, err = c.Write([]byte("?"))
		}
		buf := make([]byte, 64)
		var n int
		if err == nil {
			if n, err = c.Read(buf); err == nil {
				return string(buf[:n])
			}
		}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return timedOut
	}
	return err.Error()
}

func newNetNS(t testing.TB) netns.NsHandle {
	made := make(chan netns.NsHandle)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.New()
		if err != nil {
			t.Errorf("new network namespace: %v", err)
		}
		made <- ns
	}()
	ns := <-made
	t.Cleanup(func() { ns.Close() })
	return ns
}

func ipnet(s string) *net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return &net.IPNet{IP: ip, Mask: n.Mask}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// outside is a machine on the underlay that is neither node nor pod.
func (n *testNode) outside(address string) *testPod {
	t := n.t
	p := &testPod{n: n, ref: PodRef{Name: "outside"}, addr: netip.MustParseAddr(address), ns: newNetNS(t)}
	name := fmt.Sprintf("out%d", n.next)
	n.next++
	br, err := netlink.LinkByName("br0")
	must(t, err)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: br.Attrs().Index}, PeerName: "eth0", PeerNamespace: netlink.NsFd(p.ns)}
	must(t, netlink.LinkAdd(veth))
	t.Cleanup(func() { netlink.LinkDel(veth) })
	must(t, netlink.LinkSetUp(veth))
	h, err := netlink.NewHandleAt(p.ns)
	must(t, err)
	defer h.Close()
	eth0, err := h.LinkByName("eth0")
	must(t, err)
	must(t, h.AddrAdd(eth0, &netlink.Addr{IPNet: ipnet(address + "/16")}))
	must(t, h.LinkSetUp(eth0))
	must(t, h.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: ipnet("10.244.1.0/24"), Gw: net.ParseIP("172.31.0.11")}))
	return p
}

// quick says whether a datagram is answered within a few milliseconds.
func quick(network, address string) bool {
	c, err := net.Dial(network, address)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Millisecond))
	if _, err := c.Write([]byte("?")); err != nil {
		return false
	}
	_, err = c.Read(make([]byte, 64))
	return err == nil
}
