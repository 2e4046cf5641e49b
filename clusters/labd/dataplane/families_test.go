package dataplane

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// serve writes a Service of both families, with port 8080 by TCP and UDP, for port
// 80 of the endpoints.
func (w *world) serve(name, last string, edit func(*corev1.ServiceSpec), backends ...*endpoint) {
	t := w.t
	ips := []string{"10.96.0." + last, "fd00:10:96::" + last}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: ips[0], ClusterIPs: ips, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
		Ports: []corev1.ServicePort{{Name: "t", Port: 8080, NodePort: 30080, Protocol: corev1.ProtocolTCP}, {Name: "u", Port: 8080, NodePort: 30080, Protocol: corev1.ProtocolUDP}}}}
	edit(&svc.Spec)
	_, err := w.api.CoreV1().Services("x").Create(t.Context(), svc, metav1.CreateOptions{})
	must(t, err)
	for i, kind := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name + string(kind), Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			AddressType: kind, Ports: []discoveryv1.EndpointPort{{Name: new("t"), Port: new(int32(80)), Protocol: new(corev1.ProtocolTCP)}, {Name: new("u"), Port: new(int32(80)), Protocol: new(corev1.ProtocolUDP)}}}
		for _, e := range backends {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{e.addrs[i].String()}, NodeName: &e.node})
		}
		_, err := w.api.DiscoveryV1().EndpointSlices("x").Create(t.Context(), slice, metav1.CreateOptions{})
		must(t, err)
	}
	for _, n := range w.nodes {
		n.await(func() bool {
			f := n.agent.watch.factory
			_, err := f.Core().V1().Services().Lister().Services("x").Get(name)
			all, _ := f.Discovery().V1().EndpointSlices().Lister().EndpointSlices("x").List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: name}))
			return err == nil && len(all) == 2
		})
	}
}

// answered is what attempt gives for a server that closes at once, and for an echo.
var answered = map[string]string{"tcp": "EOF", "udp": "?"}

func (w *world) expect(e *endpoint, address, want string) {
	w.t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		if want == refused && e.host && network == "udp" {
			continue // the kernel refuses the very call that sends, with "operation not permitted"
		}
		var got string
		must(w.t, e.space.Do(func() error { got = attempt(network, address, 5*time.Second); return nil }))
		if expected := map[string]string{"": answered[network], refused: refused}[want]; got != expected {
			w.t.Errorf("%s to %s by %s: got %q, want %q", e.name, address, network, got, expected)
		}
	}
}

func TestServicesInBothFamilies(t *testing.T) {
	w := newWorld(t, true)
	none := func(*corev1.ServiceSpec) {}
	near, far, client := w.find("p0"), w.find("p1"), w.find("p2") // p1 is on the other node
	w.serve("alone", "51", func(s *corev1.ServiceSpec) { s.Ports[0].NodePort, s.Ports[1].NodePort = 30081, 30081 }, near)
	w.serve("both", "52", none, near, far)
	w.serve("nobody", "53", func(s *corev1.ServiceSpec) { s.Ports[0].NodePort, s.Ports[1].NodePort = 30083, 30083 })
	sticky := func(s *corev1.ServiceSpec) {
		s.SessionAffinity = corev1.ServiceAffinityClientIP
		s.Ports[0].NodePort, s.Ports[1].NodePort = 30084, 30084
	}
	w.serve("sticky", "54", sticky, near, far)
	for range 6 {
		for _, ip := range []string{"10.96.0.52", "[fd00:10:96::52]", "10.96.0.54", "[fd00:10:96::54]"} {
			w.expect(client, ip+":8080", "")
			w.expect(w.find("node-2"), ip+":8080", "")
		}
	}
	w.expect(near, "[fd00:10:96::51]:8080", "") // itself, through its Service
	for _, from := range []*endpoint{client, w.find("outside"), w.find("node-1"), w.find("node-2"), near} {
		w.expect(from, "[fd00:172:31::11]:30080", "")
		w.expect(from, "[fd00:172:31::12]:30081", "") // its only endpoint is on the other node
		w.expect(from, "[fd00:172:31::11]:30083", refused)
	}
	w.expect(client, "[fd00:10:96::53]:8080", refused)
	w.expect(w.find("node-1"), "[fd00:10:96::53]:8080", refused)
}
