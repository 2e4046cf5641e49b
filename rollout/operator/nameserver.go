package operator

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// nameServices are where the Service of the cluster's DNS is by name: of most clusters,
// and of OpenShift, whose pods listen on another port.
var nameServices = []types.NamespacedName{{Namespace: "kube-system", Name: "kube-dns"}, {Namespace: "openshift-dns", Name: "dns-default"}}

// nameService is the Service of the cluster's DNS; nil: not known. Where it has a name
// of its own it is told by the usual label, or by what it does in the system's namespace.
func (w *world) nameService() *corev1.Service {
	for _, key := range nameServices {
		if svc := w.services[key]; svc != nil {
			return svc
		}
	}
	keys := slices.SortedFunc(maps.Keys(w.services), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	for _, is := range []func(*corev1.Service) bool{
		func(s *corev1.Service) bool { return s.Labels["k8s-app"] == "kube-dns" },
		func(s *corev1.Service) bool {
			return s.Namespace == "kube-system" && s.Spec.ClusterIP != corev1.ClusterIPNone && slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool {
				return p.Port == dnsPort && p.Protocol == corev1.ProtocolUDP
			})
		},
	} {
		for _, key := range keys {
			if svc := w.services[key]; is(svc) {
				return svc
			}
		}
	}
	return nil
}

// nameServers are the pods that answer for the cluster's DNS.
func (w *world) nameServers() []backend {
	svc := w.nameService()
	if svc == nil {
		return nil
	}
	return w.backends(v1alpha1.ServiceTarget{Namespace: svc.Namespace, Name: svc.Name, Port: dnsPort, Protocol: "UDP"})
}
