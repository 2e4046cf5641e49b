package compile

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// history is a cluster that changes: what the API says by now.
type history struct {
	*rand.Rand
	namespaces map[string]*corev1.Namespace
	pods       map[Key]*corev1.Pod
	locals     map[string]*LocalPod
	policies   map[Key]*networkingv1.NetworkPolicy
	services   map[Key]*corev1.Service
	slices     map[Key]*discoveryv1.EndpointSlice
}

var dual = Options{NodeName: "node-1", Enforce: true,
	NodeIPs:  []netip.Addr{netip.MustParseAddr("172.31.0.11"), netip.MustParseAddr("fd00:172:31::11")},
	PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:10:244:1::/64")}}

func (h *history) one(of ...string) string { return of[h.IntN(len(of))] }

func (h *history) labels() map[string]string {
	return map[string]string{"app": h.one("a", "b", "c"), "team": h.one("red", "blue")}
}

// step changes one object in both worlds.
func (h *history) step(c *Compiler) {
	space, name := h.one("x", "y", "z"), h.one("1", "2", "3", "4", "5")
	key, gone := Key{space, name}, h.IntN(4) == 0
	switch h.IntN(7) {
	case 0:
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space, Labels: h.labels()}}
		change(h.namespaces, space, ns, gone)
		c.SetNamespace(space, h.namespaces[space])
	case 1, 2:
		h.pod(c, key, gone)
	case 3, 4:
		change(h.policies, key, h.policy(key), gone)
		c.SetPolicy(key, h.policies[key])
	case 5:
		change(h.services, key, h.service(key), gone)
		c.SetService(key, h.services[key])
	case 6:
		change(h.slices, key, h.slice(key), gone)
		c.SetSlice(key, h.slices[key])
	}
}

func change[K comparable, V any](all map[K]V, key K, v V, gone bool) {
	if gone {
		delete(all, key)
	} else {
		all[key] = v
	}
}

// pod changes a pod of this node (whose number is odd) or of another one. A local
// pod may be known here before the API shows it and after it forgot it.
func (h *history) pod(c *Compiler, key Key, gone bool) {
	number := int(key.Name[0]-'0') + 10*slices.Index([]string{"x", "y", "z"}, key.Namespace)
	node := 1 + number%2
	addrs := []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.244.%d.%d", node, number+1)), netip.MustParseAddr(fmt.Sprintf("fd00:10:244:%d::%d", node, number+1))}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: types.UID(key.String()), Labels: h.labels()}}
	p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(80 + h.IntN(3))}}}}
	p.Status.Phase = corev1.PodPhase(h.one("Running", "Running", "Running", "Succeeded"))
	p.Status.PodIPs = []corev1.PodIP{{IP: addrs[0].String()}, {IP: addrs[1].String()}}
	if h.IntN(3) > 0 || node == 2 {
		change(h.pods, key, p, gone)
		c.SetPod(key, h.pods[key])
	}
	if node == 1 {
		l := &LocalPod{Namespace: key.Namespace, Name: key.Name, UID: key.String(), Addrs: addrs, Pod: h.pods[key]}
		change(h.locals, l.UID, l, gone)
		c.SetLocal(l.UID, h.locals[l.UID])
	}
}

func (h *history) policy(key Key) *networkingv1.NetworkPolicy {
	selector := func() *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": h.one("a", "b", "c")}}
	}
	web, block := intstr.FromString("web"), &networkingv1.IPBlock{CIDR: h.one("10.0.0.0/8", "fd00::/16", "0.0.0.0/0")}
	peers := []networkingv1.NetworkPolicyPeer{{PodSelector: selector()}, {NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": h.one("red", "blue")}}}, {IPBlock: block}}
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: *selector(),
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: peers[h.IntN(3):], Ports: []networkingv1.NetworkPolicyPort{{Port: &web}}[:h.IntN(2)]}},
			Egress:  []networkingv1.NetworkPolicyEgressRule{{To: peers[:h.IntN(3)]}}[:h.IntN(2)]}}
}

func (h *history) service(key Key) *corev1.Service {
	ip := fmt.Sprintf("10.96.%d.%s", key.Namespace[0], key.Name)
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Spec: corev1.ServiceSpec{
		ClusterIP: ip, ClusterIPs: []string{ip, fmt.Sprintf("fd00:10:96::%x:%s", key.Namespace[0], key.Name)}[:1+h.IntN(2)],
		Ports: []corev1.ServicePort{{Port: 80, NodePort: int32(30000 + h.IntN(3))}, {Port: 53, Protocol: corev1.ProtocolUDP}}}}
	s.Spec.SessionAffinity = corev1.ServiceAffinity(h.one("None", "ClientIP"))
	s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicy(h.one("Cluster", "Local"))
	s.Spec.ExternalIPs = []string{"192.0.2.1", "192.0.2.2"}[:h.IntN(3)]
	return s
}

func (h *history) slice(key Key) *discoveryv1.EndpointSlice {
	web, dns, udp, node := int32(8080), int32(5353), corev1.ProtocolUDP, h.one("node-1", "node-2")
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name,
		Labels: map[string]string{discoveryv1.LabelServiceName: h.one("1", "2", "3", "4", "5")}}, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Port: &web}, {Port: &dns, Protocol: &udp}}}
	for i := range h.IntN(4) {
		ready := h.IntN(3) > 0
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.244.%d.%d", 1+i%2, 2+h.IntN(5))},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready}, NodeName: &node})
	}
	return s
}

func (h *history) input() Input {
	in := Input{Options: dual}
	in.Namespaces = slices.Collect(maps.Values(h.namespaces))
	in.Pods = slices.Collect(maps.Values(h.pods))
	in.Policies = slices.Collect(maps.Values(h.policies))
	in.Services = slices.Collect(maps.Values(h.services))
	in.Slices = slices.Collect(maps.Values(h.slices))
	for _, l := range h.locals {
		in.Local = append(in.Local, *l)
	}
	return in
}

// However the objects came and went, the ruleset is the one of all at once, and
// what was named as changed is all that changed.
func TestOneByOneIsAllAtOnce(t *testing.T) {
	for seed := range uint64(8) {
		h := &history{rand.New(rand.NewPCG(seed, 1)), map[string]*corev1.Namespace{}, map[Key]*corev1.Pod{}, map[string]*LocalPod{},
			map[Key]*networkingv1.NetworkPolicy{}, map[Key]*corev1.Service{}, map[Key]*discoveryv1.EndpointSlice{}}
		c, held := New(dual), ruleset.New()
		for n := range 100 {
			for range 1 + h.IntN(3) {
				h.step(c)
			}
			got, want := c.Output(), Node(h.input())
			held.Take(got.Ruleset, got.Changed)
			if g, w := held.String(), want.Ruleset.String(); g != w {
				t.Fatalf("seed %d, step %d: got\n%s\nwant\n%s", seed, n, g, w)
			}
			if !maps.Equal(held.Counters, want.Ruleset.Counters) || !reflect.DeepEqual(got.Problems, want.Problems) || !reflect.DeepEqual(got.Meanings, want.Meanings) {
				t.Fatalf("seed %d, step %d: counters, problems or meanings differ: %v and %v", seed, n, got.Problems, want.Problems)
			}
			for counter := range got.Meanings {
				if got.Reason(counter) != want.Reason(counter) {
					t.Fatalf("seed %d, step %d: reasons differ", seed, n)
				}
			}
		}
	}
}
