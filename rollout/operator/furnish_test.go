package operator

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// furnish makes the story's namespace, and all that is in it from the start.
func (s *story) furnish() {
	s.t.Helper()
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}})
	var endpoints []discoveryv1.Endpoint
	for _, name := range []string{"client", "other", "server-0", "server-1"} {
		app, _, _ := strings.Cut(name, "-")
		pod := s.pod(name, map[string]string{"app": app, "pod": name})
		if app == "server" {
			endpoints = append(endpoints, discoveryv1.Endpoint{
				Addresses: []string{pod.Status.PodIP}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: s.ns, Name: name},
			})
		}
	}
	s.create(&corev1.Service{ObjectMeta: s.meta("server"), Spec: corev1.ServiceSpec{
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
	}})
	slice := &discoveryv1.EndpointSlice{ObjectMeta: s.meta("server-x"), AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}}}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: "server"}
	s.create(slice)
}

// namespaces of the story.
func (s *story) namespaces() []string { return append([]string{s.ns}, s.also...) }

// in is the story as seen from one of its namespaces.
func (s *story) in(namespace string) *story {
	there := *s
	there.ns = namespace
	return &there
}
