package operator

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestTheClustersDNSIsFoundWhereverItIs(t *testing.T) {
	service := func(namespace, name, app string, port int32) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"k8s-app": app}},
			Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.10", Ports: []corev1.ServicePort{{Port: port, Protocol: corev1.ProtocolUDP}}}}
	}
	headless := service("kube-system", "aa-peers", "", 53)
	headless.Spec.ClusterIP = corev1.ClusterIPNone
	for name, tt := range map[string]struct {
		services []*corev1.Service
		want     string
	}{
		"none":                        {nil, ""},
		"by its name":                 {[]*corev1.Service{service("a", "x", "kube-dns", 53), service("kube-system", "kube-dns", "", 53)}, "kube-system/kube-dns"},
		"on OpenShift":                {[]*corev1.Service{service("openshift-dns", "dns-default", "", 53), service("kube-system", "y", "", 53)}, "openshift-dns/dns-default"},
		"by its label":                {[]*corev1.Service{service("kube-system", "a", "", 53), service("kube-system", "rke2-coredns", "kube-dns", 53)}, "kube-system/rke2-coredns"},
		"by what it does":             {[]*corev1.Service{headless, service("kube-system", "coredns", "", 53), service("kube-system", "web", "", 80)}, "kube-system/coredns"},
		"by its label, not OpenShift": {[]*corev1.Service{service("openshift-dns", "dns-default", "", 53), service("kube-system", "rke2-coredns", "kube-dns", 53)}, "kube-system/rke2-coredns"},
		"somebody's own is not taken": {[]*corev1.Service{service("a", "dns", "kube-dns", 53), service("a", "kube-dns", "kube-dns", 53)}, ""},
		"nor before the system's":     {[]*corev1.Service{service("a", "dns", "kube-dns", 53), service("kube-system", "rke2-coredns", "kube-dns", 53)}, "kube-system/rke2-coredns"},
		"nor on OpenShift":            {[]*corev1.Service{service("a", "dns", "kube-dns", 53), service("openshift-dns", "dns-default", "", 53)}, "openshift-dns/dns-default"},
		"nor before what it does":     {[]*corev1.Service{service("a", "dns", "kube-dns", 53), service("kube-system", "coredns", "", 53)}, "kube-system/coredns"},
	} {
		w := &world{services: map[types.NamespacedName]*corev1.Service{}}
		for _, s := range tt.services {
			w.services[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}] = s
		}
		got := ""
		if s := w.nameService(); s != nil {
			got = s.Namespace + "/" + s.Name
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
