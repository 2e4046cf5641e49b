package controlplane

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/tightrope-dev/tightrope/clusters/labd/layout"
)

//go:embed dns.yaml
var dnsManifests string

// ApplyDNS creates CoreDNS's objects, with two replicas where there are nodes
// for them. The cluster is new: nothing of it exists yet.
func ApplyDNS(ctx context.Context, c kubernetes.Interface, f layout.Families, nodes int) error {
	for doc := range strings.SplitSeq(dnsManifests, "\n---\n") {
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(doc), nil, nil)
		if err != nil {
			return fmt.Errorf("CoreDNS manifest: %w", err)
		}
		switch o := obj.(type) {
		case *appsv1.Deployment:
			o.Spec.Replicas = new(int32(min(2, nodes)))
		case *corev1.Service:
			o.Spec.ClusterIP, o.Spec.ClusterIPs = f.DNSIPs()[0], f.DNSIPs()
			o.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicySingleStack)
			if f == layout.Dual {
				o.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack)
			}
		}
		if err := create(ctx, c, obj); err != nil {
			return fmt.Errorf("create CoreDNS's %T: %w", obj, err)
		}
	}
	return nil
}

func create(ctx context.Context, c kubernetes.Interface, obj runtime.Object) (err error) {
	var o metav1.CreateOptions
	switch obj := obj.(type) {
	case *corev1.ServiceAccount:
		_, err = c.CoreV1().ServiceAccounts(obj.Namespace).Create(ctx, obj, o)
	case *corev1.ConfigMap:
		_, err = c.CoreV1().ConfigMaps(obj.Namespace).Create(ctx, obj, o)
	case *corev1.Service:
		_, err = c.CoreV1().Services(obj.Namespace).Create(ctx, obj, o)
	case *rbacv1.ClusterRole:
		_, err = c.RbacV1().ClusterRoles().Create(ctx, obj, o)
	case *rbacv1.ClusterRoleBinding:
		_, err = c.RbacV1().ClusterRoleBindings().Create(ctx, obj, o)
	case *appsv1.Deployment:
		_, err = c.AppsV1().Deployments(obj.Namespace).Create(ctx, obj, o)
	default:
		err = errors.New("no client for this kind here")
	}
	return err
}
