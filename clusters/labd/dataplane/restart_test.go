package dataplane

import (
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/kernel"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// restart ends the node's agent and begins another one, to which the API does not
// show anything before release is called.
func (n *testNode) restart(between func()) (release func()) {
	t := n.t
	n.stop()
	between()
	open := make(chan struct{})
	n.api.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		<-open
		return false, nil, nil
	})
	n.rounds = make(chan struct{}, 10000)
	n.start(Config{NodeName: "node-1", NodeIPs: []string{"172.31.0.11"}, PodCIDRs: []string{"10.244.1.0/24"}}, func(run func()) { run() })
	for end := time.Now().Add(5 * time.Second); !n.begun(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new agent did not program anything for 5 s")
		}
	}
	return func() { close(open) }
}

// begun says whether the agent has programmed anything.
func (n *testNode) begun() bool {
	n.agent.mu.Lock()
	defer n.agent.mu.Unlock()
	return n.agent.output.Ruleset.Chains != nil
}

// deny has the gateway closed by the old agent, with two pods that want to reach it.
func (n *testNode) deny() (gw, chat, batch *testPod) {
	gw = n.pod("ai", "gateway", app("gateway")).answers(4000)
	chat, batch = n.pod("apps", "chat", app("chat")), n.pod("apps", "batch", app("batch"))
	p := gatewayPolicy()
	p.Spec.Ingress[0].Ports = nil
	n.apply(p)
	batch.expect("tcp4", gw.at("4000"), timedOut)
	return gw, chat, batch
}

func (n *testNode) addAgain(pods ...*testPod) {
	for _, p := range pods {
		must(n.t, n.agent.AddPod(n.t.Context(), p.ref, p.addr))
	}
}

func TestANodeWhoseTableIsGoneForwardsNothingBeforeItIsRebuilt(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw, chat, batch := n.deny()
	release := n.restart(func() {
		c, err := nftables.New()
		must(t, err)
		c.DelTable(&nftables.Table{Name: kernel.TableName, Family: kernel.TableFamily})
		must(t, c.Flush())
		batch.expect("tcp4", gw.at("4000"), "gateway "+batch.addr.String()) // nobody forbids it
	})
	chat.expect("tcp4", gw.at("4000"), timedOut)
	batch.expect("tcp4", gw.at("4000"), timedOut)
	release()
	n.addAgain(gw, chat, batch)
	chat.expect("tcp4", gw.at("4000"), "gateway "+chat.addr.String())
	batch.expect("tcp4", gw.at("4000"), timedOut)
}

func TestANodeWhoseTableIsStaleForwardsNothingByIt(t *testing.T) {
	n := startNode(t, ModeEnforce)
	gw, chat, batch := n.deny()
	release := n.restart(func() { // meanwhile the policy lets the other one in
		p := gatewayPolicy()
		p.Spec.Ingress[0].Ports = nil
		p.Spec.Ingress[0].From[0] = podsIn("apps", "batch")
		_, err := n.api.NetworkingV1().NetworkPolicies("ai").Update(t.Context(), p, metav1.UpdateOptions{})
		must(t, err)
		chat.expect("tcp4", gw.at("4000"), "gateway "+chat.addr.String()) // the old rules stand
	})
	chat.expect("tcp4", gw.at("4000"), timedOut)
	release()
	n.addAgain(gw, chat, batch)
	chat.expect("tcp4", gw.at("4000"), timedOut)
	batch.expect("tcp4", gw.at("4000"), "gateway "+batch.addr.String())
}
