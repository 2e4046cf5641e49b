package dataplane

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/compile"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/profile"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// annotate gives the node's data plane a profile by annotation; "" takes it away.
func (n *testNode) annotate(text string) {
	n.t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	if text != "" {
		node.Annotations = map[string]string{profile.Annotation: text}
	}
	if _, err := n.api.CoreV1().Nodes().Update(n.t.Context(), node, metav1.UpdateOptions{}); err != nil {
		_, err = n.api.CoreV1().Nodes().Create(n.t.Context(), node, metav1.CreateOptions{})
		must(n.t, err)
	}
	want, err := profile.Parse(text, n.agent.temper.base)
	must(n.t, err)
	n.await(func() bool {
		n.agent.mu.Lock()
		defer n.agent.mu.Unlock()
		return n.agent.temper.wanted == want
	})
}

func (n *testNode) unapply(p *networkingv1.NetworkPolicy) {
	n.t.Helper()
	must(n.t, n.api.NetworkingV1().NetworkPolicies(p.Namespace).Delete(n.t.Context(), p.Name, metav1.DeleteOptions{}))
	n.await(func() bool { return n.agent.watch.policy(keyOf(p)) == nil })
}

// closed lets nobody into the gateway.
func closed() *networkingv1.NetworkPolicy {
	p := gatewayPolicy()
	p.Name, p.Spec.Ingress = "closed", nil
	return p
}

func TestAnEstablishedStreamSurvivesInOneProfileAndIsCutInTheOther(t *testing.T) {
	n := startNode(t, "established=survive")
	gw := n.pod("ai", "gateway", app("gateway")).echoes("4000")
	chat := n.pod("apps", "chat", app("chat"))
	s := chat.stream(t, gw.at("4000"))

	n.apply(closed())
	chat.expect("tcp4", gw.at("4000"), timedOut)
	s.flows(time.Now())

	n.annotate("established=cut") // what is forbidden already is cut at once
	s.stops(time.Now())
	opened := time.Now()
	n.unapply(closed())
	s.flows(opened) // the same connection goes on when it is allowed in time

	n.apply(closed())
	s.stops(time.Now())
	opened = time.Now()
	n.unapply(closed())
	s.flows(opened)

	changed := time.Now() // the delay runs from the first of several changes
	n.annotate("established=cut:2s")
	n.apply(closed())
	s.flows(time.Now())
	chat.expect("tcp4", gw.at("4000"), timedOut) // new ones have no delay
	n.roundAfter(changed.Add(2 * time.Second))
	s.stops(time.Now())
	if lasted := s.ends().Sub(changed); lasted < 1300*time.Millisecond {
		t.Errorf("the stream was cut after %v, long before its delay was over", lasted)
	}
	opened = time.Now()
	n.unapply(closed())
	s.flows(opened)

	n.annotate("")
	n.apply(closed())
	s.flows(time.Now())
}

func TestCutLeavesWhatIsAllowed(t *testing.T) {
	n := startNode(t, "established=cut")
	gw := n.pod("ai", "gateway", app("gateway"), corev1.ContainerPort{Name: "api", ContainerPort: 4000}).echoes("4000")
	chat, batch := n.pod("apps", "chat", app("chat")), n.pod("apps", "batch", app("batch"))
	allowed, denied := chat.stream(t, gw.at("4000")), batch.stream(t, gw.at("4000"))
	isolated := &networkingv1.NetworkPolicy{ // answers belong to the connection, whatever the gateway may begin
		ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "quiet"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}},
	}
	n.apply(isolated)
	n.apply(gatewayPolicy())
	denied.stops(time.Now())
	allowed.flows(time.Now())
}

func TestDeniedSendersAreTold(t *testing.T) {
	n := startNode(t, "deny=reject,established=cut")
	gw := n.pod("ai", "gateway", app("gateway")).answers(4000).echoes("5000")
	batch := n.pod("apps", "batch", app("batch"))
	s := batch.stream(t, gw.at("5000"))
	n.apply(closed())
	batch.expect("tcp4", gw.at("4000"), refused)
	var got string
	batch.in(func() { got = attempt("udp4", gw.at("4000"), 5*time.Second) })
	if !strings.Contains(got, "no route to host") {
		t.Errorf("by UDP: got %q, want what ICMP's \"administratively prohibited\" becomes", got)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := s.state(); err != nil && strings.Contains(err.Error(), "reset by peer") {
			break
		} else if time.Now().After(end) {
			t.Fatalf("the open stream was not reset: %v", err)
		}
	}
	n.annotate("deny=drop")
	batch.expect("tcp4", gw.at("4000"), timedOut)
	n.annotate("")
	batch.expect("tcp4", gw.at("4000"), refused)
}

// reaches waits until an attempt ends as wanted.
func (p *testPod) reaches(want, to string) {
	p.n.t.Helper()
	var got string
	began := time.Now()
	for time.Since(began) < 10*time.Second {
		p.in(func() { got = attempt("tcp4", to, silence) })
		if strings.HasPrefix(got, want) {
			return
		}
	}
	p.n.t.Errorf("%s to %s: got %q for 10 s, want %q", p.ref.Name, to, got, want)
}

func TestProgrammingIsLate(t *testing.T) {
	n := startNode(t, "delay=2s")
	gw := n.pod("ai", "gateway", app("gateway")).answers(4000)
	batch := n.pod("apps", "batch", app("batch"))
	changed := time.Now()
	n.apply(closed())
	batch.expect("tcp4", gw.at("4000"), "gateway "+batch.addr.String())
	n.roundAfter(changed.Add(2 * time.Second))
	batch.expect("tcp4", gw.at("4000"), timedOut)
	n.unapply(closed())
	batch.expect("tcp4", gw.at("4000"), timedOut)
	batch.reaches("gateway", gw.at("4000"))

	n.annotate("delay=1h")
	n.apply(closed())
	batch.expect("tcp4", gw.at("4000"), "gateway "+batch.addr.String())
	n.annotate("delay=0s")
	batch.expect("tcp4", gw.at("4000"), timedOut)
}

func TestUpdatesGetLost(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw := n.pod("ai", "gateway", app("gateway")).answers(4000)
	batch := n.pod("apps", "batch", app("batch"))
	through := "gateway " + batch.addr.String()
	open := closed()
	open.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}

	n.apply(closed())
	n.annotate("updates=stale,resync=500ms")
	n.apply(open)
	batch.expect("tcp4", gw.at("4000"), timedOut)
	batch.reaches("gateway", gw.at("4000"))

	n.annotate("")
	n.apply(closed())
	n.annotate("updates=lost")
	batch.expect("tcp4", gw.at("4000"), timedOut)
	shut := closed()
	shut.Labels = map[string]string{"touched": "yes"}
	shut.Spec.PolicyTypes = append(shut.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	n.apply(shut) // tighter, and yet it opens
	batch.expect("tcp4", gw.at("4000"), through)
	n.annotate("")
	batch.expect("tcp4", gw.at("4000"), timedOut)
}

func TestAPolicysAnnotationConcernsItAlone(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw, db := n.pod("ai", "gateway", app("gateway")).answers(4000), n.pod("ai", "db", app("db")).answers(4000)
	batch := n.pod("apps", "batch", app("batch"))
	ignored, wrong := closed(), closed()
	ignored.Annotations = map[string]string{profile.Annotation: "ignore"}
	wrong.Name, wrong.Spec.PodSelector.MatchLabels = "wrong", app("db")
	wrong.Annotations = map[string]string{profile.Annotation: "deny=reject"}
	n.apply(ignored)
	n.apply(wrong)
	batch.expect("tcp4", gw.at("4000"), "gateway "+batch.addr.String())
	batch.expect("tcp4", db.at("4000"), timedOut)
	if got := <-n.said.Events; !strings.Contains(got, `no key "deny" here`) || !strings.Contains(got, profile.Annotation) {
		t.Errorf("event: got %q", got)
	}
	n.unapply(ignored)
	n.apply(closed())
	batch.expect("tcp4", gw.at("4000"), timedOut)
}

func TestANodesAnnotationThatCannotBeReadCountsForNothing(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw := n.pod("ai", "gateway", app("gateway")).answers(4000)
	batch := n.pod("apps", "batch", app("batch"))
	n.apply(closed())
	n.annotate("ignore")
	batch.expect("tcp4", gw.at("4000"), "gateway "+batch.addr.String())
	_, err := n.api.CoreV1().Nodes().Update(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1",
		Annotations: map[string]string{profile.Annotation: "ignore,colour=red"}}}, metav1.UpdateOptions{})
	must(t, err)
	for got := range n.said.Events {
		if strings.Contains(got, `no key "colour"`) {
			break
		}
	}
	n.settle()
	batch.expect("tcp4", gw.at("4000"), timedOut)
}

func TestAProfileThatIsNotKnownIsRefused(t *testing.T) {
	_, err := New(Config{NodeName: "node-1", NodeIPs: []string{"172.31.0.11"}, PodCIDRs: []string{"10.244.1.0/24"}, Mode: "colour=red"})
	if err == nil || !strings.Contains(err.Error(), `no key "colour"`) {
		t.Errorf("New: %v", err)
	}
}

func keyOf(p *networkingv1.NetworkPolicy) compile.Key {
	return compile.Key{Namespace: p.Namespace, Name: p.Name}
}

// A server that goes on sending must not keep a connection alive that its client
// may not use any more.
func TestACutConnectionHasNoAnswersEither(t *testing.T) {
	n := startNode(t, "established=cut")
	gw := n.pod("ai", "gateway", app("gateway")).pushes("4000")
	chat := n.pod("apps", "chat", app("chat"))
	var c net.Conn
	chat.in(func() {
		var err error
		c, err = net.Dial("udp4", gw.at("4000"))
		must(t, err)
	})
	defer c.Close()
	ask := func() {
		_, err := c.Write([]byte("?"))
		must(t, err)
	}
	comes := func(patience time.Duration) bool {
		c.SetReadDeadline(time.Now().Add(patience))
		_, err := c.Read(make([]byte, 64))
		return err == nil
	}
	ask()
	if !comes(5 * time.Second) {
		t.Fatal("nothing is pushed, so nothing can stop")
	}
	n.apply(closed())
	ask() // is denied, and by that its connection is known to be
	for end := time.Now().Add(5 * time.Second); comes(silence); {
		if time.Now().After(end) {
			t.Fatal("answers of a cut connection come for 5 s")
		}
	}
	n.unapply(closed())
	if !comes(5 * time.Second) {
		t.Error("the connection does not go on when it is allowed again")
	}
}
