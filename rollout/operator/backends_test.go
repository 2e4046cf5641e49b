package operator

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

func TestABackendIsWhereTheKubeletSaysItIs(t *testing.T) {
	key := types.NamespacedName{Namespace: "a", Name: "server"}
	target := v1alpha1.ServiceTarget{Namespace: "a", Name: "server", Port: 80}
	for _, tt := range []struct {
		name, address string
		tried         bool
	}{
		{"the pod's own address", "10.0.0.2", true},
		{"its address of the other family", "fd00::2", true},
		{"an address outside of the cluster", "203.0.113.9", false},
		{"the cloud's metadata", "169.254.169.254", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "server"}, Status: corev1.PodStatus{
				Phase: corev1.PodRunning, PodIP: "10.0.0.2", PodIPs: []corev1.PodIP{{IP: "10.0.0.2"}, {IP: "fd00::2"}}}}
			w := &world{
				pods:     map[types.NamespacedName]*corev1.Pod{key: pod},
				services: map[types.NamespacedName]*corev1.Service{key: {Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}},
				slices: map[types.NamespacedName][]*discoveryv1.EndpointSlice{key: {{
					ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "server-x"},
					Ports:      []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
					Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{tt.address}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: "server"}}}}}},
			}
			if got := w.backends(target); tt.tried != (len(got) == 1) || tt.tried && got[0].addr != tt.address {
				t.Errorf("backends %+v, tried: want %v", got, tt.tried)
			}
			p := &Plan{Plan: plan.Plan{Paths: []plan.Path{{}, {}}}}
			p.Paths[0].To.Service, p.Paths[1].To.Service = target, target
			said := p.strays(w)
			if tt.tried != (len(said) == 0) || !tt.tried && (len(said) != 1 || !strings.Contains(said[0].What, tt.address) || !strings.Contains(said[0].Reason, "server-x says it is pod a/server")) {
				t.Errorf("not tested: %+v", said)
			}
		})
	}
}

// Whoever may write EndpointSlices in his namespace leads no probe to a pod of another one,
// although the pod is there and has that address.
func TestABackendIsOfItsServicesNamespace(t *testing.T) {
	w, p := named()
	other := types.NamespacedName{Namespace: "secret", Name: "vault"}
	w.pods[other] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "secret", Name: "vault"}, Status: corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: "10.0.0.9", PodIPs: []corev1.PodIP{{IP: "10.0.0.9"}}}}
	endpoints := &w.slices[types.NamespacedName{Namespace: "a", Name: "server"}][0].Endpoints
	*endpoints = append(*endpoints, discoveryv1.Endpoint{Addresses: []string{"10.0.0.9"}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "secret", Name: "vault"}})
	if got := w.backends(p.Paths[0].To.Service); len(got) != 1 || got[0].pod.Namespace != "a" {
		t.Errorf("backends %+v, want the Service's own", got)
	}
	said := p.strays(w)
	if len(said) != 1 || !strings.Contains(said[0].What, "10.0.0.9") || strings.Contains(said[0].Reason, "vault") {
		t.Errorf("not tested: %+v, want the address and no word of whose it is", said)
	}
}

// Whoever may write EndpointSlices makes no report without end: so many are listed, and
// the rest is counted. The slices of two namespaces may be called the same.
func TestStraysAreCountedPastABound(t *testing.T) {
	w, p := named()
	foreign := func(n int) []discoveryv1.Endpoint {
		var all []discoveryv1.Endpoint
		for i := range n {
			all = append(all, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.%d.%d", i/250, i%250)}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "secret", Name: "vault"}})
		}
		return all
	}
	slice := w.slices[types.NamespacedName{Namespace: "a", Name: "server"}][0]
	p.Paths = append(p.Paths, p.Paths[0], aPath("to names", "kube-system", "kube-dns", dnsPort, "UDP"))
	w.slices[types.NamespacedName{Namespace: "kube-system", Name: "kube-dns"}][0].Endpoints = foreign(1)
	for n, want := range map[int]string{1: "endpoint 10.1.0.0 of Service kube-system/kube-dns", maxStrays - 1: "endpoint 10.1.0.0 of Service kube-system/kube-dns",
		maxStrays: "and 1 more endpoints", 5000: "and 4951 more endpoints"} {
		slice.Endpoints = foreign(n)
		said := p.strays(w)
		if len(said) != min(n, maxStrays)+1 || said[len(said)-1].What != want {
			t.Errorf("%d and 1: %d lines, the last %+v, want %q", n, len(said), said[len(said)-1], want)
		}
	}
}

// A pod of a dual-stack Service may be open at one address and shut at the other:
// each address is a check of its own, and no answer at one vouches for the other.
func TestEachAddressOfAPodIsACheckOfItsOwn(t *testing.T) {
	key := types.NamespacedName{Namespace: "a", Name: "server"}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "server"}, Status: corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: "10.0.0.2", PodIPs: []corev1.PodIP{{IP: "10.0.0.2"}, {IP: "fd00::2"}}}}
	w := &world{
		pods:     map[types.NamespacedName]*corev1.Pod{key: pod},
		services: map[types.NamespacedName]*corev1.Service{key: {Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}},
	}
	for _, address := range []string{"fd00::2", "10.0.0.2"} {
		w.slices = map[types.NamespacedName][]*discoveryv1.EndpointSlice{key: append(w.slices[key], &discoveryv1.EndpointSlice{
			Ports:     []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{address}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: "server"}}}})}
	}
	p := &Plan{Plan: plan.Plan{Paths: []plan.Path{{}}}}
	p.Paths[0].From, p.Paths[0].WitnessIdentity = "client", "other"
	p.Paths[0].To.Service = v1alpha1.ServiceTarget{Namespace: "a", Name: "server", Port: 80}
	for _, from := range []string{"client", "other"} {
		routes, checks := p.checksFrom(w, from)
		hosts := map[string]bool{}
		for _, c := range checks {
			if c.Type == "TCP" && routes[c.ID].via == v1alpha1.ViaPodIP {
				hosts[c.Host] = c.Host == routes[c.ID].address
			}
		}
		if len(routes) != len(checks) || !hosts["10.0.0.2"] || !hosts["fd00::2"] {
			t.Errorf("%s: checks %+v by routes %+v, want one of each address", from, checks, routes)
		}
	}
}
