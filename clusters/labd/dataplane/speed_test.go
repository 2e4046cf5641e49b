package dataplane

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/kernel"
	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// crowd adds pods to the node that have no network of their own.
func (n *testNode) crowd(count int) {
	n.t.Helper()
	for i := range count {
		name := fmt.Sprintf("crowd-%d", i)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: name, UID: types.UID(name), Labels: app(fmt.Sprintf("crowd-%d", i%10))}}
		_, err := n.api.CoreV1().Pods("ai").Create(n.t.Context(), pod, metav1.CreateOptions{})
		must(n.t, err)
		must(n.t, n.agent.AddPod(n.t.Context(), PodRef{"ai", name, name}, netip.AddrFrom4([4]byte{10, 244, 1, byte(100 + i)})))
	}
}

// BenchmarkPolicyAcceptedToEnforced measures from the write of a policy to the
// end of its transaction, at 100 pods and 21 policies. The bar is 50 ms, p99.
func BenchmarkPolicyAcceptedToEnforced(b *testing.B) {
	n := startNode(b, ModeEnforce)
	n.crowd(100)
	for i := range 20 {
		p := gatewayPolicy()
		p.Name = fmt.Sprintf("standing-%d", i)
		p.Spec.PodSelector.MatchLabels = app(fmt.Sprintf("crowd-%d", i%10))
		n.apply(p)
	}
	n.settle()
	p := gatewayPolicy()
	p.Spec.PodSelector = metav1.LabelSelector{}
	_, err := n.api.NetworkingV1().NetworkPolicies("ai").Create(b.Context(), p, metav1.CreateOptions{})
	must(b, err)
	n.settle()
	b.ResetTimer()
	took := n.replace(p, b.N)
	b.StopTimer()
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[(len(took)*99)/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(50, "bar-p99-ms")
}

// replace updates the policy again and again and returns how long each update
// took to be in force, shortest first.
func (n *testNode) replace(p *networkingv1.NetworkPolicy, times int) []time.Duration {
	var took []time.Duration
	for range times {
		n.next++
		for len(n.rounds) > 0 {
			<-n.rounds
		}
		p.Spec.Ingress[0].Ports = []networkingv1.NetworkPolicyPort{port(intstr.FromInt32(int32(1000 + n.next)))}
		began := time.Now()
		_, err := n.api.NetworkingV1().NetworkPolicies(p.Namespace).Update(n.t.Context(), p, metav1.UpdateOptions{})
		must(n.t, err)
		<-n.rounds
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// What the kernel holds is what was compiled: rules per chain, elements per set.
func TestTheKernelHoldsWhatWasCompiled(t *testing.T) {
	n := startNode(t, ModeEnforce)
	n.crowd(20)
	for i := range 30 {
		p := gatewayPolicy()
		p.Name = fmt.Sprintf("p%d", i%7)
		p.Spec.PodSelector.MatchLabels = app(fmt.Sprintf("crowd-%d", i%10))
		if i%3 == 0 {
			p.Spec.Ingress[0].From = append(p.Spec.Ingress[0].From, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{fmt.Sprintf("10.%d.0.0/16", i)}}})
		}
		n.apply(p)
		n.compare()
	}
	for i := range 7 {
		must(t, n.api.NetworkingV1().NetworkPolicies("ai").Delete(t.Context(), fmt.Sprintf("p%d", i), metav1.DeleteOptions{}))
	}
	lister := n.agent.watch.factory.Networking().V1().NetworkPolicies()
	n.await(func() bool { return len(lister.Informer().GetStore().List()) == 0 })
	n.compare()
	if left := n.wanted().Counters; len(left) != 0 {
		t.Errorf("counters left: %v", left)
	}
}

// wanted is the ruleset that the agent believes the kernel holds.
func (n *testNode) wanted() ruleset.Ruleset {
	n.agent.mu.Lock()
	defer n.agent.mu.Unlock()
	return n.agent.output.Ruleset
}

func (n *testNode) compare() {
	n.t.Helper()
	want := n.wanted()
	c, err := nftables.New()
	must(n.t, err)
	table := &nftables.Table{Name: kernel.TableName, Family: kernel.TableFamily}
	chains, err := c.ListChainsOfTableFamily(kernel.TableFamily)
	must(n.t, err)
	if len(chains) != len(want.Chains) {
		n.t.Fatalf("kernel has %d chains, want %d", len(chains), len(want.Chains))
	}
	for _, chain := range chains {
		rules, err := c.GetRules(table, chain)
		must(n.t, err)
		if len(rules) != len(want.Chains[chain.Name].Rules) {
			n.t.Errorf("chain %s: kernel has %d rules, want %d", chain.Name, len(rules), len(want.Chains[chain.Name].Rules))
		}
	}
	for name, set := range want.Sets {
		elements, err := c.GetSetElements(&nftables.Set{Table: table, Name: name})
		must(n.t, err)
		count := 0
		for _, e := range elements {
			if !e.IntervalEnd {
				count++
			}
		}
		if count != len(set.Elements) {
			n.t.Errorf("set %s: kernel has %d elements, want %d", name, count, len(set.Elements))
		}
	}
}

// A transaction the kernel refuses leaves the old table in force; the next one
// builds everything anew, and counters go on.
func TestARefusedTransactionChangesNothing(t *testing.T) {
	table := kernel.Open(0)
	t.Cleanup(func() { table.Close() })
	good := ruleset.New()
	good.Counters["seen"] = true
	good.Chains["out"] = ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Output, Priority: 50}, Rules: []ruleset.Rule{{Counter: "seen"}}}
	if rebuilt, err := table.Apply(good); err != nil || !rebuilt {
		t.Fatalf("first: rebuilt %v, %v", rebuilt, err)
	}
	attempt("udp4", "127.0.0.1:9", silence)
	before, err := table.Counters()
	must(t, err)
	bad := ruleset.New()
	bad.Counters["seen"] = true
	bad.Chains["out"] = ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Output, Priority: 50}, Rules: []ruleset.Rule{{Family: ruleset.IPv4, SrcSet: "no-such-set", Action: ruleset.Drop}}}
	if _, err := table.Apply(bad); err == nil {
		t.Fatal("a rule that refers to no set was accepted")
	}
	attempt("udp4", "127.0.0.1:9", silence)
	after, err := table.Counters()
	must(t, err)
	if before["seen"] == 0 || after["seen"] <= before["seen"] {
		t.Errorf("the old rules must go on counting: %d, then %d", before["seen"], after["seen"])
	}
	if rebuilt, err := table.Apply(good); err != nil || !rebuilt {
		t.Errorf("after the error: rebuilt %v, %v", rebuilt, err)
	}
	if last, err := table.Counters(); err != nil || last["seen"] < after["seen"] {
		t.Errorf("counters after the rebuild: %v, %v; want at least %d", last, err, after["seen"])
	}
	_, err = table.Apply(ruleset.New())
	must(t, err)
}

func TestCountersAreServedOnTheNode(t *testing.T) {
	n := startNode(t, ModeEnforce)
	n.crowd(1)
	p := gatewayPolicy()
	p.Spec.PodSelector = metav1.LabelSelector{}
	n.apply(p)
	resp, err := http.Get("http://172.31.0.11:10260/counters")
	must(t, err)
	defer resp.Body.Close()
	var got Report
	must(t, json.NewDecoder(resp.Body).Decode(&got))
	if got.Node != "node-1" || len(got.Counters) != 1 || got.Counters[0].Policy != "ai/gateway" || len(got.Drops) != 1 {
		t.Errorf("got %+v", got)
	}
}
