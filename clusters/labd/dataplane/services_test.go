package dataplane

import (
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// service writes a Service with the port 80 by TCP and by UDP, that goes to
// port 4000 of the pods.
func (n *testNode) service(name, ip string, pods ...*testPod) {
	n.t.Helper()
	n.editedService(name, ip, func(*corev1.ServiceSpec) {}, pods...)
}

func (n *testNode) editedService(name, ip string, edit func(*corev1.ServiceSpec), pods ...*testPod) {
	n.t.Helper()
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: name},
		Spec: corev1.ServiceSpec{ClusterIP: ip, Type: corev1.ServiceTypeClusterIP, Ports: []corev1.ServicePort{
			{Name: "web", Port: 80, Protocol: corev1.ProtocolTCP}, {Name: "dgram", Port: 80, Protocol: corev1.ProtocolUDP},
		}},
	}
	edit(&svc.Spec)
	_, err := n.api.CoreV1().Services("ai").Create(n.t.Context(), svc, metav1.CreateOptions{})
	must(n.t, err)
	n.endpoints(name, pods...)
}

// endpoints writes the Service's slice: the pods, ready, and one that is not. A
// pod without namespace is on another node.
func (n *testNode) endpoints(name string, pods ...*testPod) {
	n.t.Helper()
	number, web, dgram, yes, no, here, far := int32(4000), "web", "dgram", true, false, "node-1", "node-2"
	tcp, udp := corev1.ProtocolTCP, corev1.ProtocolUDP
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ai", Name: name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &web, Protocol: &tcp, Port: &number}, {Name: &dgram, Protocol: &udp, Port: &number}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.1.250"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}}},
	}
	for _, p := range pods {
		e := discoveryv1.Endpoint{Addresses: []string{p.addr.String()}, Conditions: discoveryv1.EndpointConditions{Ready: &yes}, NodeName: &here}
		if p.ref.Namespace == "" {
			e.NodeName = &far
		}
		slice.Endpoints = append(slice.Endpoints, e)
	}
	api := n.api.DiscoveryV1().EndpointSlices("ai")
	if _, err := api.Update(n.t.Context(), slice, metav1.UpdateOptions{}); err != nil {
		_, err = api.Create(n.t.Context(), slice, metav1.CreateOptions{})
		must(n.t, err)
	}
	n.await(func() bool {
		have, err := n.agent.watch.factory.Discovery().V1().EndpointSlices().Lister().EndpointSlices("ai").Get(slice.Name)
		_, missing := n.agent.watch.factory.Core().V1().Services().Lister().Services("ai").Get(name)
		return err == nil && missing == nil && reflect.DeepEqual(have.Endpoints, slice.Endpoints)
	})
}

func TestServicesReachTheirEndpoints(t *testing.T) {
	n := startNode(t, ModeEnforce)
	one := n.pod("ai", "one", app("gateway")).answers(4000)
	two := n.pod("ai", "two", app("gateway")).answers(4000)
	chat := n.pod("apps", "chat", app("chat"))
	n.service("gateway", "10.96.0.50", one, two)
	n.service("nobody", "10.96.0.51")

	met := map[string]int{}
	for range 40 {
		chat.in(func() {
			for _, network := range []string{"tcp4", "udp4"} {
				name, _, _ := strings.Cut(attempt(network, "10.96.0.50:80", 5*time.Second), " ")
				met[name]++
			}
		})
	}
	if met["one"] < 10 || met["two"] < 10 || met["one"]+met["two"] != 80 {
		t.Errorf("80 attempts should spread over both endpoints, got %v", met)
	}
	if got := attempt("tcp4", "10.96.0.50:80", 5*time.Second); !strings.HasSuffix(got, " 172.31.0.11") {
		t.Errorf("from the node itself: got %q", got)
	}
	chat.expect("tcp4", "10.96.0.51:80", refused)
	chat.expect("udp4", "10.96.0.51:80", refused)
	chat.expect("tcp4", "10.96.0.50:81", refused)
	if got := attempt("tcp4", "10.96.0.51:80", 5*time.Second); got != refused {
		t.Errorf("no endpoint, from the node itself: got %q", got)
	}

	n.endpoints("gateway", one)
	one.expect("tcp4", "10.96.0.50:80", "one 172.31.0.11") // a pod that reaches itself through its Service
	n.apply(gatewayPolicy())
	one.expect("tcp4", "10.96.0.50:80", "one 172.31.0.11") // which no policy can forbid
	two.expect("tcp4", "10.96.0.50:80", timedOut)
}

func TestAUDPClientLeavesADeadEndpoint(t *testing.T) {
	n := startNode(t, ModeEnforce)
	one := n.pod("ai", "one", app("gateway")).answers(4000)
	two := n.pod("ai", "two", app("gateway")).answers(4000)
	chat := n.pod("apps", "chat", app("chat"))
	n.service("gateway", "10.96.0.50", one)
	var client net.Conn
	chat.in(func() {
		var err error
		if client, err = net.Dial("udp4", "10.96.0.50:80"); err != nil {
			t.Error(err)
		}
	})
	defer client.Close()
	ask := func() string {
		client.SetDeadline(time.Now().Add(5 * time.Second))
		client.Write([]byte("?"))
		buf := make([]byte, 64)
		got, err := client.Read(buf)
		if err != nil {
			return err.Error()
		}
		return string(buf[:got])
	}
	if got := ask(); got != "one" {
		t.Fatalf("first endpoint: got %q", got)
	}
	n.endpoints("gateway", two)
	if got := ask(); got != "two" {
		t.Errorf("same socket after the endpoint changed: got %q, want the new endpoint", got)
	}
}
