package dataplane

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/kernel"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const nodeAddr = "172.31.0.11"

func nodePort(s *corev1.ServiceSpec) {
	s.Type = corev1.ServiceTypeNodePort
	s.Ports[0].NodePort, s.Ports[1].NodePort = 30080, 30081
}

func localOnly(s *corev1.ServiceSpec) {
	nodePort(s)
	s.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

// fromNode tries from the node itself.
func (n *testNode) fromNode(network, address, want string) {
	n.t.Helper()
	patience := silence
	if want != timedOut {
		patience = 5 * time.Second
	}
	if got := attempt(network, address, patience); got != want {
		n.t.Errorf("the node itself to %s by %s: got %q, want %q", address, network, got, want)
	}
}

func TestNodePortsAnswerOnEveryAddressOfTheNode(t *testing.T) {
	n := startNode(t, ModeEnforce)
	one := n.pod("ai", "one", app("gateway")).answers(4000)
	chat, client := n.pod("apps", "chat", app("chat")), n.outside("172.31.0.100")
	n.editedService("gateway", "10.96.0.50", nodePort, one)
	for _, p := range []*testPod{client, chat, one} {
		p.expect("tcp4", nodeAddr+":30080", "one "+nodeAddr)
		p.expect("udp4", nodeAddr+":30081", "one")
	}
	for _, address := range []string{nodeAddr, "127.0.0.1"} {
		n.fromNode("tcp4", address+":30080", "one "+nodeAddr)
		n.fromNode("udp4", address+":30081", "one")
	}
	client.expect("tcp4", nodeAddr+":30081", refused) // that is UDP's
	n.endpoints("gateway")
	client.expect("tcp4", nodeAddr+":30080", refused)
	client.expect("udp4", nodeAddr+":30081", refused)
	n.fromNode("tcp4", "127.0.0.1:30080", refused)
}

func TestLocalTrafficPolicyKeepsTheClientsAddress(t *testing.T) {
	n := startNode(t, ModeEnforce)
	one := n.pod("ai", "one", app("gateway")).answers(4000)
	chat, client := n.pod("apps", "chat", app("chat")), n.outside("172.31.0.100")
	elsewhere := n.outside("172.31.0.101")
	elsewhere.ref.Name = "elsewhere"
	elsewhere.answers(4000)
	n.editedService("gateway", "10.96.0.50", localOnly, one, elsewhere)
	for range 10 {
		client.expect("tcp4", nodeAddr+":30080", "one 172.31.0.100")
	}
	n.endpoints("gateway", elsewhere)
	client.expect("tcp4", nodeAddr+":30080", timedOut) // no endpoint here, and no other may answer
	client.expect("udp4", nodeAddr+":30081", timedOut)
	chat.expect("tcp4", nodeAddr+":30080", "elsewhere "+chat.addr.String()) // inside, all may
	n.fromNode("tcp4", nodeAddr+":30080", "elsewhere "+nodeAddr)
	n.fromNode("tcp4", "127.0.0.1:30080", "elsewhere "+nodeAddr)
	n.endpoints("gateway")
	client.expect("tcp4", nodeAddr+":30080", refused)
}

func TestInternalTrafficPolicyLocal(t *testing.T) {
	n := startNode(t, ModeEnforce)
	one := n.pod("ai", "one", app("gateway")).answers(4000)
	chat := n.pod("apps", "chat", app("chat"))
	elsewhere := n.outside("172.31.0.101").answers(4000)
	local := corev1.ServiceInternalTrafficPolicyLocal
	n.editedService("gateway", "10.96.0.50", func(s *corev1.ServiceSpec) { s.InternalTrafficPolicy = &local }, one, elsewhere)
	for range 10 {
		chat.expect("tcp4", "10.96.0.50:80", "one "+chat.addr.String())
	}
	n.endpoints("gateway", elsewhere)
	chat.expect("tcp4", "10.96.0.50:80", timedOut)
	n.fromNode("tcp4", "10.96.0.50:80", timedOut)
	n.endpoints("gateway")
	chat.expect("tcp4", "10.96.0.50:80", refused)
}

func TestAProcessOnTheNodesNetworkIsAnEndpoint(t *testing.T) {
	n := startNode(t, ModeEnforce)
	chat := n.pod("apps", "chat", app("chat"))
	l, err := net.Listen("tcp4", nodeAddr+":4000")
	must(t, err)
	defer l.Close()
	go serveName(l, "node")
	host := &testPod{ref: PodRef{Namespace: "ai"}, addr: netip.MustParseAddr(nodeAddr)}
	n.editedService("gateway", "10.96.0.50", nodePort, host)
	n.apply(gatewayPolicy()) // selects pods of that label, never the node
	chat.expect("tcp4", "10.96.0.50:80", "node "+chat.addr.String())
	n.fromNode("tcp4", "10.96.0.50:80", "node "+nodeAddr)
	n.outside("172.31.0.100").expect("tcp4", nodeAddr+":30080", "node 172.31.0.100")
}

func TestExternalAddressesBelongToTheFirst(t *testing.T) {
	n := startNode(t, ModeEnforce)
	one := n.pod("ai", "one", app("gateway")).answers(4000)
	two := n.pod("ai", "two", app("gateway")).answers(4000)
	chat := n.pod("apps", "chat", app("chat"))
	outer := func(s *corev1.ServiceSpec) { s.ExternalIPs = []string{"192.0.2.1", "192.0.2.1", "10.96.0.50"} }
	n.editedService("b", "10.96.0.50", func(s *corev1.ServiceSpec) { s.ExternalIPs = []string{"192.0.2.1"} }, two)
	n.editedService("a", "10.96.0.51", outer, one)
	chat.expect("tcp4", "192.0.2.1:80", "one "+nodeAddr)
	chat.expect("tcp4", "10.96.0.50:80", "two "+chat.addr.String()) // a ClusterIP is nobody else's
	var said []string
	for len(n.said.Events) > 0 {
		said = append(said, <-n.said.Events)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "192.0.2.1 port 80/tcp belongs to Service ai/a") || !strings.Contains(all, "10.96.0.50 port 80/tcp belongs to Service ai/b") {
		t.Errorf("events:\n%s", all)
	}
	must(t, n.api.CoreV1().Services("ai").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	lister := n.agent.watch.factory.Core().V1().Services().Lister().Services("ai")
	n.await(func() bool { _, err := lister.Get("a"); return err != nil })
	chat.expect("tcp4", "192.0.2.1:80", "two "+nodeAddr)
}

func sticky(seconds int32) func(*corev1.ServiceSpec) {
	return func(s *corev1.ServiceSpec) {
		nodePort(s)
		s.SessionAffinity = corev1.ServiceAffinityClientIP
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
}

func TestAClientStaysWithItsEndpoint(t *testing.T) {
	n := startNode(t, ModeEnforce)
	one := n.pod("ai", "one", app("gateway")).answers(4000)
	two := n.pod("ai", "two", app("gateway")).answers(4000)
	chat := n.pod("apps", "chat", app("chat"))
	n.editedService("gateway", "10.96.0.50", sticky(60), one, two)
	meet := func(address string) string {
		var got string
		chat.in(func() { got, _, _ = strings.Cut(attempt("tcp4", address, 5*time.Second), " ") })
		return got
	}
	first := meet("10.96.0.50:80")
	for range 15 { // by chance: once in 65,000
		if got := meet("10.96.0.50:80"); got != first {
			t.Fatalf("met %q after %q", got, first)
		}
	}
	if got := meet(nodeAddr + ":30080"); got != first {
		t.Errorf("by NodePort: met %q after %q", got, first)
	}
	left := map[string]*testPod{"one": two, "two": one}[first]
	n.endpoints("gateway", left)
	if got := meet("10.96.0.50:80"); got != left.ref.Name {
		t.Errorf("after its endpoint went: met %q", got)
	}
}

func TestAClientIsForgottenAfterTheTimeout(t *testing.T) {
	n := startNode(t, ModeEnforce)
	one := n.pod("ai", "one", app("gateway")).answers(4000)
	chat := n.pod("apps", "chat", app("chat"))
	n.editedService("gateway", "10.96.0.50", sticky(1), one)
	remembered := func() int {
		c, err := nftables.New()
		must(t, err)
		count := 0
		for name, s := range n.wanted().Sets {
			if s.Kind == ruleset.Remembered {
				e, err := c.GetSetElements(&nftables.Set{Table: &nftables.Table{Name: kernel.TableName, Family: kernel.TableFamily}, Name: name})
				must(t, err)
				count += len(e)
			}
		}
		return count
	}
	chat.expect("tcp4", "10.96.0.50:80", "one "+chat.addr.String())
	if got := remembered(); got != 1 {
		t.Fatalf("%d clients are remembered, want 1", got)
	}
	for end := time.Now().Add(5 * time.Second); remembered() != 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the client is still remembered after 5 s; the timeout is 1 s")
		}
	}
}

// The kernel routes 127.0.0.0/8 for NodePorts; that must open nothing to strangers.
func TestNobodyReachesTheNodesLoopbackByWire(t *testing.T) {
	n := startNode(t, ModeEnforce)
	l, err := net.Listen("tcp4", "127.0.0.1:4000")
	must(t, err)
	defer l.Close()
	go serveName(l, "secret")
	client := n.outside("172.31.0.100")
	client.in(func() {
		must(t, os.WriteFile("/proc/sys/net/ipv4/conf/all/route_localnet", []byte("1"), 0))
		eth0, err := netlink.LinkByName("eth0")
		must(t, err)
		must(t, netlink.RouteReplace(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: ipnet("127.0.0.0/8"), Gw: net.ParseIP(nodeAddr), Src: net.ParseIP("172.31.0.100")}))
	})
	client.expect("tcp4", "127.0.0.1:4000", timedOut)
	n.fromNode("tcp4", "127.0.0.1:4000", "secret 127.0.0.1")
}
