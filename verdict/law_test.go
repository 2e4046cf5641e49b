package verdict

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestLaws holds random policy sets against the sentences that everything else
// relies on: policies add up, their order does not matter, and a policy changes
// nothing for pods that it does not select.
func TestLaws(t *testing.T) {
	pods := []*Pod{gateway, model, store, prom}
	decisions := map[Decision]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := world(t)
		for i := range r.IntN(5) {
			w.Policies = append(w.Policies, randomPolicy(r, fmt.Sprint("p", i)))
		}
		c := to(pods[r.IntN(4)], pods[r.IntN(4)], []int32{53, 4000, 8000}[r.IntN(3)], []corev1.Protocol{"", udp}[r.IntN(2)])
		got := judge(t, w, c)
		decisions[got.Decision]++
		if !c.toItself() {
			checkUnion(t, seed, w, c, got)
		}
		slices.Reverse(w.Policies)
		if again := judge(t, w, c); again != got {
			t.Fatalf("seed %d: the order of policies changed the verdict: %+v, then %+v", seed, got, again)
		}
	}
	if decisions[Allow] < 300 || decisions[Deny] < 300 {
		t.Errorf("the generator is lopsided, so the laws were hardly tested: %v", decisions)
	}
}

// checkUnion: a side denies if and only if some policy isolates its pod and
// each such policy, standing alone, denies.
func checkUnion(t *testing.T, seed uint64, w World, c Conn, got Verdict) {
	t.Helper()
	for _, d := range []direction{ingress, egress} {
		side := sideOf(got, d)
		subject, _ := c.ends(d)
		isolated, allowed := false, false
		for _, p := range w.Policies {
			if on, err := p.Isolates(*subject.Pod, d.policyType()); err != nil {
				t.Fatal(err)
			} else if on {
				isolated = true
				alone := judge(t, World{Namespaces: w.Namespaces, Policies: []Policy{p}}, c)
				allowed = allowed || sideOf(alone, d).Decision == Allow
			}
		}
		want := Allow
		if isolated && !allowed {
			want = Deny
		}
		if side.Decision != want {
			t.Fatalf("seed %d: %s of %+v: got %s (%s), want %s", seed, d, c, side.Decision, side.Reason, want)
		}
	}
}

func sideOf(v Verdict, d direction) Side {
	if d == egress {
		return v.Egress
	}
	return v.Ingress
}

func randomPolicy(r *rand.Rand, name string) Policy {
	p := Policy{Namespace: []string{"ai", "data", "mon"}[r.IntN(3)], Name: name}
	p.Spec.PodSelector = randomSelector(r)
	p.Spec.PolicyTypes = [][]networkingv1.PolicyType{nil, {networkingv1.PolicyTypeIngress}, {networkingv1.PolicyTypeEgress}, {networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}}[r.IntN(4)]
	for range r.IntN(3) {
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: randomPeers(r), Ports: randomPorts(r)})
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: randomPeers(r), Ports: randomPorts(r)})
	}
	return p
}

func randomSelector(r *rand.Rand) metav1.LabelSelector {
	if r.IntN(2) == 0 {
		return metav1.LabelSelector{}
	}
	op := []metav1.LabelSelectorOperator{metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn}[r.IntN(2)]
	value := []string{"gateway", "model", "store", "prom"}[r.IntN(4)]
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: op, Values: []string{value}}}}
}

func randomPeers(r *rand.Rand) []networkingv1.NetworkPolicyPeer {
	var all []networkingv1.NetworkPolicyPeer
	for range r.IntN(3) {
		sel := randomSelector(r)
		all = append(all, []networkingv1.NetworkPolicyPeer{
			{PodSelector: &sel},
			{PodSelector: &sel, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "ai"}}},
			{IPBlock: &networkingv1.IPBlock{CIDR: "10.1.0.0/29", Except: []string{"10.1.0.3/32"}}},
		}[r.IntN(3)])
	}
	return all
}

func randomPorts(r *rand.Rand) []networkingv1.NetworkPolicyPort {
	var all []networkingv1.NetworkPolicyPort
	for range r.IntN(3) {
		port := []intstr.IntOrString{intstr.FromInt32(53), intstr.FromInt32(8000), intstr.FromString("http")}[r.IntN(3)]
		protocol := []corev1.Protocol{corev1.ProtocolTCP, udp}[r.IntN(2)]
		all = append(all, networkingv1.NetworkPolicyPort{Port: &port, Protocol: &protocol})
	}
	return all
}
