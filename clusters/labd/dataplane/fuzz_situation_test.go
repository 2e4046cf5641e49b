package dataplane

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// situation is what the specification is asked about, besides the world's fixed
// parts. It is saved as YAML.
type situation struct {
	Namespaces map[string]map[string]string `json:"namespaces"` // labels, by name
	Pods       map[string]map[string]string `json:"pods"`       // labels, by name
	Policies   []networkingv1.NetworkPolicy `json:"policies"`
}

func (s *situation) policy(namespace, name string) *networkingv1.NetworkPolicy {
	for i := range s.Policies {
		if s.Policies[i].Namespace == namespace && s.Policies[i].Name == name {
			return &s.Policies[i]
		}
	}
	return nil
}

// seenBy says whether an agent's copies show the situation.
func (s *situation) seenBy(w *watches) bool {
	core := w.factory.Core().V1()
	for name, want := range s.Namespaces {
		if ns, err := core.Namespaces().Lister().Get(name); err != nil || !maps.Equal(ns.Labels, want) {
			return false
		}
	}
	all, _ := core.Pods().Lister().List(labels.Everything())
	for _, p := range all {
		if want, is := s.Pods[p.Name]; is && !maps.Equal(p.Labels, want) {
			return false
		}
	}
	have, _ := w.factory.Networking().V1().NetworkPolicies().Lister().List(labels.Everything())
	for _, p := range have {
		if want := s.policy(p.Namespace, p.Name); want == nil || !reflect.DeepEqual(p.Spec, want.Spec) {
			return false
		}
	}
	return len(have) == len(s.Policies)
}

// dice makes situations.
type dice struct {
	*rand.Rand
	w *world
}

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// often is true in n of ten cases.
func (d dice) often(n int) bool { return d.IntN(10) < n }

// situation is a new one, or the one of before with other labels: what policies
// mean changes with these as well.
func (d dice) situation(last *situation) *situation {
	s := &situation{Namespaces: map[string]map[string]string{}, Pods: map[string]map[string]string{}}
	for _, ns := range []string{"x", "y", "z"} {
		s.Namespaces[ns] = d.labels("team", "red", "blue")
	}
	for _, e := range d.w.endpoints {
		if e.pod != nil {
			s.Pods[e.name] = d.labels("app", "a", "b", "c")
		}
	}
	if last != nil && d.often(4) {
		s.Policies = last.Policies
		return s
	}
	for i := range d.IntN(6) {
		s.Policies = append(s.Policies, d.policy(i))
	}
	return s
}

func (d dice) labels(key string, values ...string) map[string]string {
	l := map[string]string{}
	if d.often(8) {
		l[key] = pick(d, values...)
	}
	if d.often(3) {
		l["tier"] = pick(d, "front", "back")
	}
	return l
}

func (d dice) policy(i int) networkingv1.NetworkPolicy {
	p := networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: pick(d, "x", "y", "z"), Name: fmt.Sprintf("p%d", i)}}
	p.Spec.PodSelector = d.selector("app", "a", "b", "c")
	p.Spec.PolicyTypes = pick(d, nil, []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
	for range d.IntN(3) {
		p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: d.peers(), Ports: d.ports()})
	}
	for range d.IntN(3) {
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: d.peers(), Ports: d.ports()})
	}
	return p
}

func (d dice) selector(key string, values ...string) metav1.LabelSelector {
	switch d.IntN(4) {
	case 0:
		return metav1.LabelSelector{}
	case 1:
		operator := pick(d, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)
		e := metav1.LabelSelectorRequirement{Key: pick(d, key, "tier"), Operator: operator}
		if operator == metav1.LabelSelectorOpIn || operator == metav1.LabelSelectorOpNotIn {
			e.Values = slices.Concat(values[:1+d.IntN(len(values)-1)], []string{"front"})
		}
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{e}}
	}
	return metav1.LabelSelector{MatchLabels: map[string]string{key: pick(d, values...)}}
}

func (d dice) peers() []networkingv1.NetworkPolicyPeer {
	var peers []networkingv1.NetworkPolicyPeer
	for range d.IntN(4) {
		pods, spaces := d.selector("app", "a", "b", "c"), d.selector("team", "red", "blue")
		switch d.IntN(4) {
		case 0:
			peers = append(peers, networkingv1.NetworkPolicyPeer{PodSelector: &pods})
		case 1:
			peers = append(peers, networkingv1.NetworkPolicyPeer{NamespaceSelector: &spaces})
		case 2:
			peers = append(peers, networkingv1.NetworkPolicyPeer{PodSelector: &pods, NamespaceSelector: &spaces})
		default:
			peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: d.block()})
		}
	}
	return peers
}

// block: each row is a range and ranges inside it, so that every except is legal.
func (d dice) block() *networkingv1.IPBlock {
	rows := [][]string{
		{"0.0.0.0/0", "10.0.0.0/8", "10.244.1.0/24", "172.31.0.0/24", "10.244.2.3/32"},
		{"10.244.0.0/16", "10.244.1.0/24", "10.244.2.0/29", "10.244.1.4/32"},
		{"10.244.1.0/29", "10.244.1.2/31", "10.244.1.4/32"},
		{"172.31.0.0/16", "172.31.0.100/32", "172.31.0.8/29", "172.31.0.11/32"},
		{"10.244.2.0/24", "10.244.2.0/29", "10.244.2.5/32"},
	}
	if d.w.families == 2 && d.often(5) {
		rows = [][]string{
			{"::/0", "fd00:10:244::/48", "fd00:10:244:1::/64", "fd00:172:31::/64", "::/1"},
			{"fd00:10:244::/48", "fd00:10:244:1::/64", "fd00:10:244:2::/125", "fd00:10:244:1::4/128"},
			{"fd00:172:31::/64", "fd00:172:31::100/128", "fd00:172:31::11/128"},
			{"fd00:10:244:2::/64", "fd00:10:244:2::4/126", "fd00:10:244:2::5/128"},
		}
	}
	row := rows[d.IntN(len(rows))]
	b := &networkingv1.IPBlock{CIDR: row[0]}
	if d.often(2) {
		b.CIDR = pick(d, row[1:]...)
		return b
	}
	for _, except := range row[1:] {
		if d.often(4) {
			b.Except = append(b.Except, except)
		}
	}
	return b
}

func (d dice) ports() []networkingv1.NetworkPolicyPort {
	var ports []networkingv1.NetworkPolicyPort
	for range d.IntN(3) {
		p := networkingv1.NetworkPolicyPort{Protocol: pick(d, nil, new(corev1.ProtocolTCP), new(corev1.ProtocolUDP))}
		number := intstr.FromInt32(int32(pick(d, fuzzPorts...)))
		switch d.IntN(5) {
		case 0: // every port of the protocol
		case 1:
			number = intstr.FromString(pick(d, "web", "alt", "none"))
			p.Port = &number
		case 2:
			last := int32(pick(d, fuzzPorts...))
			p.Port, p.EndPort = &number, new(max(number.IntVal, last-pick(d, int32(0), 1)))
		default:
			p.Port = &number
		}
		ports = append(ports, p)
	}
	return ports
}
