package lab_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/tightrope-dev/tightrope/clusters/lab"
)

func portOf(n int32) intstr.IntOrString { return intstr.FromInt32(n) }

// TestFaults sees each fault's effect with real packets or requests, and sees it
// undone. One lab serves all: bringing one up is most of the time.
func TestFaults(t *testing.T) {
	c := startCluster(t, "faults", "")
	c.peers("peer")
	for _, tt := range []struct {
		name string
		test func(*testing.T, *cluster)
	}{
		{"a paused node answers nobody", testPausedNode},
		{"a partition parts nodes and leaves the API", testPartition},
		{"a node may be parted from the control plane", testPartedFromControlPlane},
		{"loss takes its share of the packets", testLoss},
		{"dead DNS pods answer no name", testDNS},
		{"one client's requests are late, or fail", testAPI},
		{"the control plane may be away", testControlPlane},
		{"a killed node is gone, and comes back", testKilledNode},
		{"an open stream survives in one profile and is cut in the other", testProfiles},
		{"a node's annotation holds its fault", testAnnotation},
		{"what is not possible is refused", testRefusals},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := *c
			inner.t = t
			tt.test(t, &inner)
		})
	}
}

func testPausedNode(t *testing.T, c *cluster) {
	one, two := c.address("peer-node-1"), c.address("peer-node-2")
	c.wants("reached", "peer-node-1", "try", "to", two)
	undo := c.hold(lab.Fault{Kind: lab.FaultPause, Targets: []string{"node-2"}})
	c.atOnce("timeout", "peer-node-1", "try", "to", two)
	if _, err := c.lab.Hold(deadline(t), lab.Fault{Kind: lab.FaultKill, Targets: []string{"node-2"}}); !errors.Is(err, lab.ErrBadRequest) ||
		!strings.Contains(err.Error(), "node-2 is in fault") {
		t.Errorf("a frozen node is killed: %v", err)
	}
	undo()
	c.wants("reached", "peer-node-1", "try", "to", two)
	c.wants("reached", "peer-node-2", "try", "to", one)
}

func testPartition(t *testing.T, c *cluster) {
	one, two := c.address("peer-node-1"), c.address("peer-node-2")
	undo := c.hold(lab.Fault{Kind: lab.FaultPartition, Groups: [][]string{{"node-1"}}})
	c.atOnce("timeout", "peer-node-1", "try", "to", two) // the question itself comes by the API server
	c.atOnce("timeout", "peer-node-2", "try", "to", one)
	undo()
	c.wants("reached", "peer-node-1", "try", "to", two)
	c.wants("reached", "peer-node-2", "try", "to", one)
}

func testPartedFromControlPlane(t *testing.T, c *cluster) {
	two := c.address("peer-node-2")
	undo := c.hold(lab.Fault{Kind: lab.FaultPartition, Groups: [][]string{{"node-2"}, {lab.FaultControlPlane}}})
	c.atOnce("reached", "peer-node-1", "try", "to", two)
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	_, err := c.api.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/node-2/proxy/healthz").DoRaw(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the API server reaches node-2: %v", err)
	}
	undo()
	c.wants("reached", "peer-node-2", "try", "to", two)
}

func testLoss(t *testing.T, c *cluster) {
	two := c.address("peer-node-2")
	echoes := func(from, to string) int {
		n, err := strconv.Atoi(c.ask(from, "count", "to", to, "n", "1000"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	side := func(node string) lab.FaultPods { return lab.FaultPods{Namespace: "default", Selector: "on=" + node} }
	undo := c.hold(lab.Fault{Kind: lab.FaultLoss, From: side("node-1"), To: side("node-2"), Percent: 30, OneWay: true})
	if n := echoes("peer-node-1", two); n < 600 || n > 780 { // 5 standard deviations are 73; some are late on a busy machine
		t.Errorf("%d of 1000 echoes came at a loss of 30%%", n)
	}
	undo()
	undo = c.hold(lab.Fault{Kind: lab.FaultLoss, From: side("node-2"), To: side("node-1"), Percent: 100, OneWay: true})
	if n := echoes("peer-node-1", two); n != 0 {
		t.Errorf("%d of 1000 echoes came back where all answers are lost", n)
	}
	undo()
	if n := echoes("peer-node-1", two); n < 950 {
		t.Errorf("%d of 1000 echoes came after the loss was undone", n)
	}
}

func testDNS(t *testing.T, c *cluster) {
	c.wants("known", "peer-node-1", "lookup", "name", "kubernetes.default")
	undo := c.hold(lab.Fault{Kind: lab.FaultKill, Targets: []string{lab.FaultDNS}})
	c.atOnce("unknown", "peer-node-1", "lookup", "name", "kubernetes.default")
	undo()
	c.wants("known", "peer-node-1", "lookup", "name", "kubernetes.default")
}

func testAPI(t *testing.T, c *cluster) {
	token, err := c.api.CoreV1().ServiceAccounts("default").CreateToken(deadline(t), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	account := c.client(func(r *rest.Config) {
		r.BearerToken, r.CertData, r.KeyData = token.Status.Token, nil, nil
	})
	agent := c.client(func(r *rest.Config) { r.UserAgent = "slowcoach/1.0" })
	version := func(who interface{ rest() rest.Interface }) string {
		_, err := who.rest().Get().AbsPath("/version").DoRaw(deadline(t))
		return status(err)
	}
	all := func(accountWants, agentWants string) {
		t.Helper()
		if got := version(asker{account.RESTClient()}); got != accountWants {
			t.Errorf("the service account hears %q, want %q", got, accountWants)
		}
		if got := version(asker{agent.RESTClient()}); got != agentWants {
			t.Errorf("the other agent hears %q, want %q", got, agentWants)
		}
		if got := version(asker{c.api.CoreV1().RESTClient()}); got != "ok" {
			t.Errorf("who has no fault hears %q", got)
		}
	}
	all("ok", "ok")
	undo := c.hold(lab.Fault{Kind: lab.FaultAPI, Rule: lab.FaultRule{User: "system:serviceaccount:default:default", Status: 503}})
	all("503", "ok")
	undo()
	undo = c.hold(lab.Fault{Kind: lab.FaultAPI, Rule: lab.FaultRule{Agent: "slowcoach", Verbs: []string{"list"}, Resources: []string{"pods"}, Delay: 700 * time.Millisecond, Status: 429}})
	all("ok", "ok") // it is about lists of pods only
	began := time.Now()
	_, err = agent.CoreV1().RESTClient().Get().AbsPath("/api/v1/pods").MaxRetries(0).DoRaw(deadline(t))
	if took := time.Since(began); status(err) != "429" || took < 700*time.Millisecond {
		t.Errorf("a late and failing list: %v after %v", err, took)
	}
	undo()
	if _, err := agent.CoreV1().Pods("").List(deadline(t), metav1.ListOptions{}); err != nil {
		t.Errorf("after the fault: %v", err)
	}
}

type asker struct{ r rest.Interface }

func (a asker) rest() rest.Interface { return a.r }

func testControlPlane(t *testing.T, c *cluster) {
	hasty := c.client(func(r *rest.Config) { r.Timeout = time.Second })
	write := func() error {
		_, err := hasty.CoreV1().ConfigMaps("default").Create(deadline(t), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "try-"}}, metav1.CreateOptions{})
		return err
	}
	two := c.address("peer-node-2")
	if got := c.ask("peer-node-1", "open", "to", two); got != "open" {
		t.Fatalf("a stream to look at: %s", got)
	}
	for _, f := range []lab.Fault{
		{Kind: lab.FaultPause, Targets: []string{"apiserver"}},
		{Kind: lab.FaultKill, Targets: []string{"apiserver"}},
		{Kind: lab.FaultPause, Targets: []string{"etcd"}},
		{Kind: lab.FaultKill, Targets: []string{"etcd"}},
	} {
		undo := c.hold(f)
		if err := write(); err == nil {
			t.Errorf("%s %v: an object is written all the same", f.Kind, f.Targets)
		}
		undo()
		eventually(t, func() bool { return write() == nil })
	}
	both := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "both"}, Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Port: 80}}, IPFamilyPolicy: new(corev1.IPFamilyPolicyRequireDualStack)}}
	if s, err := c.api.CoreV1().Services("default").Create(deadline(t), both, metav1.CreateOptions{}); err != nil || len(s.Spec.ClusterIPs) != 2 {
		t.Errorf("an API server that was started anew has forgotten a family: %v", err)
	}
	c.wants("reached", "peer-node-1", "try", "to", two)
	if got := c.ask("peer-node-1", "stream"); !strings.HasSuffix(got, " open") {
		t.Errorf("the pods' own traffic has nothing to do with the control plane, and the stream is %q", got)
	}
}

func testKilledNode(t *testing.T, c *cluster) {
	two := c.address("peer-node-2")
	undo := c.hold(lab.Fault{Kind: lab.FaultKill, Targets: []string{"node-2"}})
	c.atOnce("timeout", "peer-node-1", "try", "to", two)
	undo()
	c.wants("reached", "peer-node-2", "try", "to", c.address("peer-node-1"))
	eventually(t, func() bool { return c.ask("peer-node-1", "try", "to", c.address("peer-node-2")) == "reached" })
}

// denyNodeTwo lets only the tests' questions in to the peer on node-2.
func (c *cluster) denyNodeTwo() (undo func()) {
	c.t.Helper()
	port := portOf(8080)
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "deny"}, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"on": "node-2"}},
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: &port}}}}}}
	policies := c.api.NetworkingV1().NetworkPolicies("default")
	if _, err := policies.Create(deadline(c.t), p, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		if err := policies.Delete(deadline(c.t), p.Name, metav1.DeleteOptions{}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// lastEcho is when the pod's stream had its last one.
func (c *cluster) lastEcho(pod string) time.Time {
	c.t.Helper()
	said := c.ask(pod, "stream")
	at, err := strconv.ParseInt(strings.Fields(said + " ")[0], 10, 64)
	if err != nil {
		c.t.Fatalf("the stream of %s: %q", pod, said)
	}
	return time.UnixMilli(at)
}

func testProfiles(t *testing.T, c *cluster) {
	const pod, after = "peer-node-1", time.Second
	two := c.address("peer-node-2")
	c.wants("open", pod, "open", "to", two)
	undo := c.denyNodeTwo()
	c.wants("timeout", pod, "try", "to", two) // takes a second, too
	if quiet := time.Since(c.lastEcho(pod)); quiet > after/2 {
		t.Errorf("the open stream does not survive: no echo for %v", quiet)
	}
	undo()
	c.wants("reached", pod, "try", "to", two)

	end := c.hold(lab.Fault{Kind: lab.FaultDataplane, Profile: "established=cut:1s,deny=reject", Targets: []string{"node-2"}})
	c.wants("open", pod, "open", "to", two)
	changed := time.Now()
	undo = c.denyNodeTwo()
	c.wants("refused", pod, "try", "to", two)
	eventually(t, func() bool { return time.Since(c.lastEcho(pod)) > after })
	if lived := c.lastEcho(pod).Sub(changed); lived < after/2 || lived > after+after/2 {
		t.Errorf("the open stream lived on for %v after the change, want about %v", lived, after)
	}
	if said := c.ask(pod, "stream"); !strings.HasSuffix(said, " reset") {
		t.Errorf("where denied senders are told, the stream says %q", said)
	}
	end()
	c.wants("timeout", pod, "try", "to", two)
	undo()
	c.wants("reached", pod, "try", "to", two)
}

func testAnnotation(t *testing.T, c *cluster) {
	one, two := c.address("peer-node-1"), c.address("peer-node-2")
	annotate := func(text string) {
		kubectl(t, c.bin, c.lab.Kubeconfig(), "", "annotate", "node", "node-2", "--overwrite", lab.FaultAnnotation+text)
	}
	annotate("=partition")
	c.wants("timeout", "peer-node-2", "try", "to", one)
	annotate("=pause")
	c.wants("timeout", "peer-node-1", "try", "to", two)
	annotate("-")
	c.wants("reached", "peer-node-1", "try", "to", two)
	c.wants("reached", "peer-node-2", "try", "to", one)
	annotate("=melt")
	eventually(t, func() bool {
		return strings.Contains(kubectl(t, c.bin, c.lab.Kubeconfig(), "", "get", "events", "-A"), "want kill, pause, partition")
	})
	annotate("-")
}

func testRefusals(t *testing.T, c *cluster) {
	for _, tt := range []struct {
		fault lab.Fault
		part  string
	}{
		{lab.Fault{Kind: "melt"}, `no fault "melt"`},
		{lab.Fault{Kind: lab.FaultKill}, "name what: node-1, node-2, etcd"},
		{lab.Fault{Kind: lab.FaultPause, Targets: []string{"node-9"}}, `no component "node-9"`},
		{lab.Fault{Kind: lab.FaultPartition, Groups: [][]string{{"node-1", "node-2"}}}, "nothing to part it from"},
		{lab.Fault{Kind: lab.FaultLoss}, "more than 0"},
		{lab.Fault{Kind: lab.FaultLoss, Percent: 1, From: lab.FaultPods{Selector: "a=b=c"}}, "selector"},
		{lab.Fault{Kind: lab.FaultAPI, Rule: lab.FaultRule{Status: 503}}, "name one client"},
		{lab.Fault{Kind: lab.FaultDataplane, Profile: "deny=maybe"}, "want drop or reject"},
	} {
		if _, err := c.lab.Hold(deadline(t), tt.fault); !errors.Is(err, lab.ErrBadRequest) || !strings.Contains(err.Error(), tt.part) {
			t.Errorf("%+v: %v, want a refusal with %q", tt.fault, err, tt.part)
		}
	}
	if held, err := lab.Faults(deadline(t), c.name()); err != nil || len(held) != 0 {
		t.Errorf("refused faults are held: %+v, %v", held, err)
	}
}
