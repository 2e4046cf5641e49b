package manifest

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// Lists are the objects of a cluster, as somebody listed them. It has the same
// fields as existing.Lists, so one converts to the other.
type Lists struct {
	Namespaces      []corev1.Namespace
	Nodes           []corev1.Node
	Pods            []corev1.Pod
	Services        []corev1.Service
	NetworkPolicies []networkingv1.NetworkPolicy
	ClusterPolicies []v1alpha2.ClusterNetworkPolicy
	Deployments     []appsv1.Deployment
	StatefulSets    []appsv1.StatefulSet
	DaemonSets      []appsv1.DaemonSet
	ReplicaSets     []appsv1.ReplicaSet
	Jobs            []batchv1.Job
	CronJobs        []batchv1.CronJob
	// Foreign are policies of kinds that are not understood; their TypeMeta is set.
	Foreign []metav1.PartialObjectMetadata
}

// FromLists makes a Set of what a cluster holds. The API server has validated
// the objects, so it finds no problems. Nothing has a position.
func FromLists(l Lists) *Set { return nil }
