package compare

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// A random world is small and dense: few names, so that selectors hit, and every
// feature by which policies tell pods apart.
type dice struct{ *rand.Rand }

func (r dice) one(all ...string) string { return all[r.IntN(len(all))] }

func (r dice) pods() []verdict.Pod {
	var all []verdict.Pod
	for i := range 3 + r.IntN(6) {
		p := verdict.Pod{Namespace: r.one("ai", "apps"), Name: fmt.Sprint("p", i), Node: r.one("", "n1", "n2")}
		if r.IntN(4) > 0 {
			p.Labels = map[string]string{"app": r.one("a", "b", "c", "d")}
		}
		if r.IntN(3) > 0 {
			p.IPs = append(p.IPs, netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(2)), byte(i)}))
		}
		if r.IntN(3) == 0 {
			p.IPs = append(p.IPs, netip.AddrFrom16([16]byte{0: 0xfd, 13: byte(r.IntN(2)), 15: byte(i)}))
		}
		if r.IntN(2) == 0 {
			p.Ports = []verdict.Port{{Name: r.one("web", "api", ""), Number: int32(80 + r.IntN(4)), Protocol: r.protocol()}}
		}
		p.HostNetwork = r.IntN(5) == 0
		all = append(all, p)
	}
	return all
}

func (r dice) protocol() corev1.Protocol {
	return []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP}[r.IntN(3)]
}

func (r dice) selector() metav1.LabelSelector {
	switch r.IntN(4) {
	case 0:
		return metav1.LabelSelector{}
	case 1:
		op := []metav1.LabelSelectorOperator{metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn}[r.IntN(2)]
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: op, Values: []string{r.one("a", "b"), "c"}}}}
	case 2:
		op := []metav1.LabelSelectorOperator{metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist}[r.IntN(2)]
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: op}}}
	}
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": r.one("a", "b")}}
}

func (r dice) peers() []networkingv1.NetworkPolicyPeer {
	var all []networkingv1.NetworkPolicyPeer
	for range r.IntN(3) {
		p := networkingv1.NetworkPolicyPeer{}
		switch r.IntN(4) {
		case 0:
			p.IPBlock = &networkingv1.IPBlock{CIDR: r.one("10.0.0.0/8", "10.0.1.0/24", "0.0.0.0/0", "fd00::/16", "192.0.2.0/24")}
			if p.IPBlock.CIDR == "10.0.0.0/8" && r.IntN(2) == 0 {
				p.IPBlock.Except = []string{"10.0.0.0/29"}
			}
		case 1:
			sel := metav1.LabelSelector{MatchLabels: map[string]string{"tier": r.one("ai", "apps")}}
			p.NamespaceSelector = &sel
		case 2:
			sel := r.selector()
			p.NamespaceSelector, p.PodSelector = &metav1.LabelSelector{}, &sel
		case 3:
			sel := r.selector()
			p.PodSelector = &sel
		}
		all = append(all, p)
	}
	return all
}

func (r dice) ports() []networkingv1.NetworkPolicyPort {
	var all []networkingv1.NetworkPolicyPort
	for range r.IntN(3) {
		protocol := r.protocol()
		p := networkingv1.NetworkPolicyPort{Protocol: &protocol}
		number := intstr.FromInt32(int32(80 + r.IntN(4)))
		switch r.IntN(5) {
		case 0:
			last := number.IntVal + int32(r.IntN(10))
			p.EndPort = &last
		case 1:
			number = intstr.FromString(r.one("web", "api"))
		}
		if r.IntN(6) > 0 || p.EndPort != nil {
			p.Port = &number
		}
		all = append(all, p)
	}
	return all
}

func (r dice) policy(name string) verdict.Policy {
	p := verdict.Policy{Namespace: r.one("ai", "apps"), Name: name}
	p.Spec.PodSelector = r.selector()
	p.Spec.PolicyTypes = [][]networkingv1.PolicyType{nil, {"Ingress"}, {"Egress"}, {"Ingress", "Egress"}}[r.IntN(4)]
	for range r.IntN(3) {
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: r.peers(), Ports: r.ports()})
	}
	for range r.IntN(3) {
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: r.peers(), Ports: r.ports()})
	}
	return p
}

func (r dice) world() verdict.World {
	w := verdict.World{Namespaces: map[string]map[string]string{"ai": {"tier": "ai"}, "apps": {"tier": "apps"}}}
	if r.IntN(6) == 0 {
		delete(w.Namespaces, "apps")
	}
	for i := range r.IntN(5) {
		w.Policies = append(w.Policies, r.policy(fmt.Sprint("k", i)))
	}
	return w
}

// edited is the world and the pods after some change: policies mostly, and
// sometimes labels of a namespace, or a pod that changes or comes or goes.
func (r dice) edited(w verdict.World, pods []verdict.Pod) (verdict.World, []verdict.Pod) {
	w.Policies, pods = slices.Clone(w.Policies), slices.Clone(pods)
	if len(w.Policies) > 0 && r.IntN(2) == 0 {
		w.Policies = slices.Delete(w.Policies, 0, 1)
	}
	if len(w.Policies) > 0 && r.IntN(2) == 0 {
		old := w.Policies[0]
		w.Policies[0] = r.policy(old.Name)
		w.Policies[0].Namespace = old.Namespace
	}
	for i := range r.IntN(3) {
		w.Policies = append(w.Policies, r.policy(fmt.Sprint("c", i)))
	}
	switch r.IntN(8) {
	case 0:
		w.Namespaces = map[string]map[string]string{"ai": {"tier": "apps"}, "apps": {"tier": "apps"}}
	case 1:
		pods[0].Labels = map[string]string{"app": r.one("a", "b")}
	case 2:
		pods[0].Ports, pods[0].Node = []verdict.Port{{Name: "web", Number: 81}}, "n1"
	case 3:
		pods[0].Name = "fresh"
	}
	return w, pods
}
