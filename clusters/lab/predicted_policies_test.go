package lab_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// drawing draws policies that the API server accepts, over the pods of the test.
type drawing struct {
	*rand.Rand
	addresses []netip.Addr // of the pods
}

func pick[T any](d drawing, of ...T) T { return of[d.IntN(len(of))] }

func some[T any](d drawing, max int, draw func() T) []T {
	var all []T
	for range d.IntN(max + 1) {
		all = append(all, draw())
	}
	return all
}

func (d drawing) policies() []networkingv1.NetworkPolicy {
	var all []networkingv1.NetworkPolicy
	for i := range 1 + d.IntN(6) {
		p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i), Namespace: pick(d, predictedSpaces...)}}
		p.Spec.PodSelector = d.selector()
		p.Spec.PolicyTypes = pick(d, nil, []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
		p.Spec.Ingress = some(d, 2, func() networkingv1.NetworkPolicyIngressRule {
			return networkingv1.NetworkPolicyIngressRule{From: some(d, 3, d.peer), Ports: some(d, 2, d.port)}
		})
		p.Spec.Egress = some(d, 2, func() networkingv1.NetworkPolicyEgressRule {
			return networkingv1.NetworkPolicyEgressRule{To: some(d, 3, d.peer), Ports: some(d, 2, d.port)}
		})
		all = append(all, p)
	}
	return all
}

func (d drawing) selector() metav1.LabelSelector {
	return pick(d,
		metav1.LabelSelector{},
		metav1.LabelSelector{MatchLabels: map[string]string{"app": pick(d, "web", "db")}},
		metav1.LabelSelector{MatchLabels: map[string]string{"app": pick(d, "web", "db"), "team": pick(d, "a", "b")}},
		metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app",
			Operator: pick(d, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn), Values: pick(d, []string{"web"}, []string{"web", "db"})}}},
		metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team",
			Operator: pick(d, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}}})
}

func (d drawing) peer() networkingv1.NetworkPolicyPeer {
	pods := d.selector()
	spaces := pick(d, metav1.LabelSelector{}, metav1.LabelSelector{MatchLabels: map[string]string{"zone": pick(d, "one", "two")}},
		metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: pick(d, predictedSpaces...)}})
	return pick(d,
		networkingv1.NetworkPolicyPeer{PodSelector: &pods},
		networkingv1.NetworkPolicyPeer{NamespaceSelector: &spaces},
		networkingv1.NetworkPolicyPeer{PodSelector: &pods, NamespaceSelector: &spaces},
		networkingv1.NetworkPolicyPeer{IPBlock: d.block()})
}

// block is a block around a pod, with or without a hole around another one.
func (d drawing) block() *networkingv1.IPBlock {
	a := pick(d, d.addresses...)
	within := func(host ...int) netip.Prefix {
		p, err := a.Prefix(a.BitLen() - pick(d, host...))
		if err != nil {
			panic(err)
		}
		return p
	}
	block := &networkingv1.IPBlock{CIDR: within(16, 8, 3, 0).String()}
	outer := netip.MustParsePrefix(block.CIDR)
	if d.IntN(2) == 0 {
		a = pick(d, d.addresses...)
		if hole := within(2, 0); outer.Contains(a) && hole.Bits() > outer.Bits() {
			block.Except = []string{hole.String()}
		}
	}
	return block
}

func (d drawing) port() networkingv1.NetworkPolicyPort {
	protocol := pick(d, corev1.ProtocolTCP, corev1.ProtocolUDP)
	number := func(n int32) *intstr.IntOrString { v := intstr.FromInt32(n); return &v }
	name := intstr.FromString(pick(d, "http", "metrics", "dns", "nobody"))
	last := int32(pick(d, 8080, 8081, 9090))
	return pick(d,
		networkingv1.NetworkPolicyPort{},
		networkingv1.NetworkPolicyPort{Protocol: &protocol},
		networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: number(pick[int32](d, 8080, 8081, 9090, 5353, 1))},
		networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: number(8080), EndPort: &last},
		networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &name})
}
