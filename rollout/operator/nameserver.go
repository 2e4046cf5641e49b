package operator

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// nameSpaces are the namespaces where the cluster's DNS may be.
var nameSpaces = []string{"kube-system", "openshift-dns"}

// nameService is the Service of the cluster's DNS; nil: not known. It is told by its usual
// name, by the usual label, or by what it does, and in the system's namespace only: in his
// own, anybody may give a Service that label. On OpenShift it has a namespace for itself.
func (w *world) nameService() *corev1.Service {
	if svc := w.services[types.NamespacedName{Namespace: "kube-system", Name: "kube-dns"}]; svc != nil {
		return svc
	}
	keys := slices.SortedFunc(maps.Keys(w.services), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	for _, is := range []func(*corev1.Service) bool{
		func(s *corev1.Service) bool { return s.Namespace == "kube-system" && s.Labels["k8s-app"] == "kube-dns" },
		func(s *corev1.Service) bool { return s.Namespace == "openshift-dns" && s.Name == "dns-default" },
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
	t, ok := w.nameTarget()
	if !ok {
		return nil
	}
	return w.backends(t)
}

// nameTarget is where names are looked up, and whether that is known.
func (w *world) nameTarget() (v1alpha1.ServiceTarget, bool) {
	svc := w.nameService()
	if svc == nil {
		return v1alpha1.ServiceTarget{}, false
	}
	return v1alpha1.ServiceTarget{Namespace: svc.Namespace, Name: svc.Name, Port: dnsPort, Protocol: "UDP"}, true
}
