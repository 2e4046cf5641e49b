package dataplane

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func app(name string) map[string]string { return map[string]string{"app": name} }

func podsIn(namespace, name string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		PodSelector:       &metav1.LabelSelector{MatchLabels: app(name)},
	}
}

func port(p intstr.IntOrString) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Port: &p}
}

// gatewayPolicy lets chat into the gateway's port that is called api, by TCP.
func gatewayPolicy() *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "gateway"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: app("gateway")},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{podsIn("apps", "chat")},
				Ports: []networkingv1.NetworkPolicyPort{port(intstr.FromString("api"))},
			}},
		},
	}
}

func TestPacketsFollowIngressPolicy(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw := n.pod("ai", "gateway", app("gateway"), corev1.ContainerPort{Name: "api", ContainerPort: 4000}).answers(4000, 4001)
	chat, batch := n.pod("apps", "chat", app("chat")), n.pod("apps", "batch", app("batch"))
	chat.expect("tcp4", gw.at("4000"), "gateway "+chat.addr.String()) // source addresses stay real
	batch.expect("udp4", gw.at("4000"), "gateway")

	changed := time.Now()
	n.apply(gatewayPolicy())
	chat.expect("tcp4", gw.at("4000"), "gateway "+chat.addr.String())
	chat.expect("tcp4", gw.at("4001"), timedOut)
	chat.expect("udp4", gw.at("4000"), timedOut)
	batch.expect("tcp4", gw.at("4000"), timedOut)
	if got := attempt("tcp4", gw.at("4001"), 5*time.Second); !strings.HasPrefix(got, "gateway ") {
		t.Errorf("the pod's own node must always get through, got %q", got)
	}

	r, err := n.agent.Report()
	must(t, err)
	if len(r.Counters) != 1 || r.Counters[0].Policy != "ai/gateway" || r.Counters[0].Allowed != 1 || r.Counters[0].Denied != 3 {
		t.Errorf("counters: got %+v, want ai/gateway with 1 allowed and 3 denied", r.Counters)
	}
	if len(r.Drops) != 1 || r.Drops[0].Pod != "ai/gateway" || r.Drops[0].Packets != 3 {
		t.Fatalf("drops: got %+v, want 3 of ai/gateway", r.Drops)
	}
	if first := r.Drops[0].First; first == nil || first.Before(changed) || first.After(time.Now()) {
		t.Errorf("first drop: got %v, want a time since %v", first, changed)
	}
	wantFirstDrops(t, n, changed, []flow{
		{chat.addr, gw.addr, 4001, "TCP"}, {chat.addr, gw.addr, 4000, "UDP"}, {batch.addr, gw.addr, 4000, "TCP"},
	})

	// A change of another policy leaves what was counted.
	n.apply(&networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "closed"},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: app("batch")}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	})
	batch.expect("tcp4", gw.at("4000"), timedOut)
	wantFirstDrops(t, n, changed, []flow{
		{chat.addr, gw.addr, 4001, "TCP"}, {chat.addr, gw.addr, 4000, "UDP"}, {batch.addr, gw.addr, 4000, "TCP"},
		{batch.addr, gw.addr, 4000, "TCP"}, // once more: now it is batch's own policy that drops
	})
	if r, err = n.agent.Report(); err != nil || len(r.Counters) != 2 || r.Counters[0].Denied != 3 || r.Counters[1].Denied != 1 {
		t.Errorf("counters after egress of batch was closed: got %+v, %v", r.Counters, err)
	}
}

// wantFirstDrops wants just these flows, in this order, each with a time since then.
func wantFirstDrops(t *testing.T, n *testNode, since time.Time, want []flow) {
	t.Helper()
	n.await(func() bool { return len(n.agent.FirstDrops()) >= len(want) })
	got := n.agent.FirstDrops()
	for i, d := range got {
		if i >= len(want) || d.flow != want[i] || d.First.Before(since) || d.First.After(time.Now()) {
			t.Errorf("first drops: got %+v, want %+v", got, want)
			return
		}
	}
}

func TestPacketsFollowEgressPolicyAndBlocks(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw := n.pod("ai", "gateway", app("gateway"), corev1.ContainerPort{Name: "api", ContainerPort: 4000}).answers(4000, 4001, 4005)
	db := n.pod("ai", "db", app("db"), corev1.ContainerPort{Name: "api", ContainerPort: 4001}).answers(4000, 4001)
	chat := n.pod("apps", "chat", app("chat")).answers(80)
	far, banned := n.outside("172.31.0.100").answers(443), n.outside("172.31.0.101").answers(443)
	far.ref.Name, banned.ref.Name = "far", "banned"

	end := int32(4009)
	block := networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "172.31.0.0/16", Except: []string{"172.31.0.101/32"}}}
	ranged := port(intstr.FromInt32(4005))
	ranged.EndPort = &end
	n.apply(&networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "chat"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: app("chat")},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			Egress: []networkingv1.NetworkPolicyEgressRule{
				{To: []networkingv1.NetworkPolicyPeer{block}, Ports: []networkingv1.NetworkPolicyPort{port(intstr.FromInt32(443))}},
				{Ports: []networkingv1.NetworkPolicyPort{port(intstr.FromString("api"))}},
				{To: []networkingv1.NetworkPolicyPeer{podsIn("ai", "gateway")}, Ports: []networkingv1.NetworkPolicyPort{ranged}},
			},
		},
	})
	chat.expect("tcp4", far.at("443"), "outside "+chat.addr.String())
	chat.expect("tcp4", banned.at("443"), timedOut)
	chat.expect("tcp4", gw.at("4000"), "gateway "+chat.addr.String()) // a name means each target's own port
	chat.expect("tcp4", gw.at("4001"), timedOut)
	chat.expect("tcp4", db.at("4001"), "db "+chat.addr.String())
	chat.expect("tcp4", db.at("4000"), timedOut)
	chat.expect("tcp4", gw.at("4005"), "gateway "+chat.addr.String())
	gw.expect("tcp4", chat.at("80"), "chat "+gw.addr.String()) // only egress is isolated; answers belong to the connection
	far.expect("tcp4", chat.at("80"), "chat 172.31.0.100")
}

func TestAPodWithoutItsPoliciesGetsNoPacket(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw := n.pod("ai", "gateway", app("gateway")).answers(4000)
	late := &testPod{n: n, ref: PodRef{"apps", "late", "uid-late"}, addr: gw.addr.Next()}
	n.next += 2
	late.wire("veth-late")
	late.answers(4000)
	late.expect("tcp4", gw.at("4000"), timedOut)
	gw.expect("tcp4", late.at("4000"), timedOut)

	added := make(chan error, 1)
	go func() { added <- n.agent.AddPod(t.Context(), late.ref, late.addr) }()
	n.settle()
	n.settle()
	select {
	case err := <-added:
		t.Fatalf("AddPod returned (%v) before the API showed the pod", err)
	default:
	}
	late.expect("tcp4", gw.at("4000"), timedOut)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "late", UID: "uid-late"}}
	_, err := n.api.CoreV1().Pods("apps").Create(t.Context(), pod, metav1.CreateOptions{})
	must(t, err)
	must(t, <-added)
	late.expect("tcp4", gw.at("4000"), "gateway "+late.addr.String())

	n.agent.RemovePod(late.ref)
	n.settle()
	late.expect("tcp4", gw.at("4000"), timedOut)
}

func TestNoPacketSlipsThroughWhileADenyingPolicyIsReplaced(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw := n.pod("ai", "gateway", app("gateway")).answers(4000)
	batch := n.pod("apps", "batch", app("batch"))
	with := func(peer string) *networkingv1.NetworkPolicy {
		p := gatewayPolicy()
		p.Spec.Ingress[0].From[0] = podsIn("apps", peer)
		p.Spec.Ingress[0].Ports = nil
		return p
	}
	n.apply(with("nobody"))
	stop, through := make(chan struct{}), make(chan int)
	go func() {
		count := 0
		batch.in(func() {
			for {
				select {
				case <-stop:
					through <- count
					return
				default:
				}
				if quick("udp4", gw.at("4000")) {
					count++
				}
			}
		})
	}()
	tried := func() uint64 {
		r, err := n.agent.Report()
		must(t, err)
		return r.Drops[0].Packets
	}
	// However slow the machine, a hundred replacements and a hundred packets.
	until := time.Now().Add(time.Minute)
	for i := 0; i < 100 || tried() < 100 && time.Now().Before(until); i++ {
		n.apply(with([]string{"someone", "nobody"}[i%2]))
	}
	close(stop)
	if count := <-through; count > 0 {
		t.Errorf("%d packets came through while the policy was replaced", count)
	}
	if n := tried(); n < 100 {
		t.Errorf("only %d packets were tried: the test proves nothing", n)
	}
}

func TestModeIgnoreEnforcesNothingAndSaysSo(t *testing.T) {
	n := startNode(t, ModeIgnore)
	gw := n.pod("ai", "gateway", app("gateway")).answers(4000)
	batch := n.pod("apps", "batch", app("batch"))
	n.apply(gatewayPolicy())
	batch.expect("tcp4", gw.at("4000"), "gateway "+batch.addr.String())
	if got := <-n.said.Events; !strings.Contains(got, "not enforced") {
		t.Errorf("event: got %q", got)
	}
}
