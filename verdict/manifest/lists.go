package manifest

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// Lists are the objects of a cluster, as somebody listed them. It has the same
// fields as existing.Lists, so one converts to the other.
type Lists struct {
	Namespaces      []corev1.Namespace
	Nodes           []corev1.Node
	Pods            []corev1.Pod
	Services        []corev1.Service
	EndpointSlices  []discoveryv1.EndpointSlice
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
	// Callers are objects that tell who calls whom: webhooks, Ingresses, monitors and
	// others that lint reads.
	Callers []unstructured.Unstructured
	// Unlisted are resources that may not be listed, and that verdicts on pods do
	// without.
	Unlisted []string
}

// FromLists makes a Set of what a cluster holds. The API server has validated
// the objects, so it finds no problems. Nothing has a position.
func FromLists(l Lists) *Set {
	r := newReading(Options{})
	list(r, "v1", "Namespace", l.Namespaces, &r.raw.Namespaces)
	list(r, "v1", "Node", l.Nodes, &r.raw.Nodes)
	list(r, "v1", "Pod", l.Pods, &r.raw.Pods)
	list(r, "v1", "Service", l.Services, &r.raw.Services)
	list(r, discoveryv1.SchemeGroupVersion.String(), "EndpointSlice", l.EndpointSlices, &r.raw.EndpointSlices)
	list(r, "networking.k8s.io/v1", "NetworkPolicy", l.NetworkPolicies, &r.raw.NetworkPolicies)
	list(r, v1alpha2.GroupVersion.String(), "ClusterNetworkPolicy", l.ClusterPolicies, &r.raw.ClusterPolicies)
	list(r, "apps/v1", "Deployment", l.Deployments, &r.raw.deployments)
	list(r, "apps/v1", "StatefulSet", l.StatefulSets, &r.raw.statefulSets)
	list(r, "apps/v1", "DaemonSet", l.DaemonSets, &r.raw.daemonSets)
	list(r, "apps/v1", "ReplicaSet", l.ReplicaSets, &r.raw.replicaSets)
	list(r, "batch/v1", "Job", l.Jobs, &r.raw.jobs)
	list(r, "batch/v1", "CronJob", l.CronJobs, &r.raw.cronJobs)
	for _, p := range l.Foreign {
		r.foreign = append(r.foreign, foreign{
			Source:      Source{APIVersion: p.APIVersion, Kind: p.Kind, Namespace: p.Namespace, Name: p.Name},
			clusterWide: p.Namespace == "",
		})
	}
	for i := range l.Callers {
		r.takeCaller(&l.Callers[i])
	}
	r.raw.Customs, r.raw.operated = nil, nil // a cluster shows the pods that are made of them
	for _, resource := range l.Unlisted {
		if resource == "endpointslices.discovery.k8s.io" {
			r.note(Position{}, "", "%s may not be listed with this kubeconfig, so it is not known where Services without selector lead", resource)
			continue
		}
		r.note(Position{}, "", "%s may not be listed with this kubeconfig, so lint does not know what they tell of callers", resource)
	}
	set := assemble(r.raw, r.foreign, r.options)
	set.sources, set.Notes = r.sources, append(r.notes, set.Notes...)
	return set
}

// list takes over objects of one kind, which lists do not repeat in each.
func list[T any](r *reading, apiVersion, kind string, objects []T, into *[]Typed[T]) {
	for i := range objects {
		meta := any(&objects[i]).(metav1.Object)
		at := Source{APIVersion: apiVersion, Kind: kind, Namespace: meta.GetNamespace(), Name: meta.GetName()}
		r.sources[key(kind, at.Namespace, at.Name)] = at
		*into = append(*into, Typed[T]{Source: at, Object: &objects[i]})
	}
}
