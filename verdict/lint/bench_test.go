package lint

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// large is a cluster of namespaces with 20 applications of one pod each: five
// policies a namespace, four for an application and a default deny.
func large(namespaces int) *manifest.Set {
	var l manifest.Lists
	for n := range namespaces {
		ns := fmt.Sprintf("team-%d", n)
		l.Namespaces = append(l.Namespaces, corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
		for a := range 20 {
			app := map[string]string{"app": fmt.Sprintf("app-%d", a)}
			meta := metav1.ObjectMeta{Namespace: ns, Name: app["app"], Labels: app}
			l.Pods = append(l.Pods, corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "c", Image: "x", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 9090}},
			}}}})
			l.Services = append(l.Services, corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
				Selector: app, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
			}})
			if a < 4 {
				l.NetworkPolicies = append(l.NetworkPolicies, networkingv1.NetworkPolicy{ObjectMeta: meta, Spec: specOf(app)})
			}
		}
		deny := metav1.ObjectMeta{Namespace: ns, Name: "default-deny"}
		l.NetworkPolicies = append(l.NetworkPolicies, networkingv1.NetworkPolicy{ObjectMeta: deny, Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{ingress, egress},
		}})
	}
	return manifest.FromLists(l)
}

func specOf(app map[string]string) networkingv1.NetworkPolicySpec {
	http := intstr.FromInt32(8080)
	peers := []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app-7"}}}}
	ports := []networkingv1.NetworkPolicyPort{{Port: &http}}
	return networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: app},
		PolicyTypes: []networkingv1.PolicyType{ingress, egress},
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: peers, Ports: ports}},
		Egress:      []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: ports}},
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, namespaces := range []int{5, 50, 250} {
		set := large(namespaces)
		b.Run(fmt.Sprintf("%d_pods_%d_policies", len(set.Pods), len(set.World.Policies)), func(b *testing.B) {
			for b.Loop() {
				if len(Check(set)) == 0 {
					b.Fatal("nothing found")
				}
			}
		})
	}
}
