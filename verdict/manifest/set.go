package manifest

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// Set is everything that was read. It never changes.
type Set struct {
	// World holds namespaces, policies and nodes. A namespace that no document
	// declares is missing in World.Namespaces, so that its labels are unknown, if
	// some selector asks for a label of a namespace. If all ask for the name only
	// it is there without labels: no verdict depends on them.
	World verdict.World
	// Pods are the pods that are declared and those that workloads stand for,
	// sorted by namespace and name. Pods that have ended are left out.
	Pods []verdict.Pod
	// Workloads are sorted by namespace, name and kind. Every pod is of exactly one.
	Workloads []Workload
	// Services are sorted by namespace and name.
	Services []Service
	// Objects are the objects as they were written, in the order of the input.
	Objects Objects
	// Notes say what was left out, assumed or is not known. None is a problem.
	Notes []Note
	// Skipped are the kinds that are not read, sorted: no verdict depends on them.
	Skipped []Skipped

	// Undeclared are the namespaces that pods, policies and candidates are in and
	// no document declares, sorted: of these, only the name is known.
	Undeclared []string

	// PodCIDRs and ServiceCIDRs are those that were stated; empty: not known.
	PodCIDRs, ServiceCIDRs []netip.Prefix

	sources map[string]Source
}

// Objects are the objects as they were written. What the API server would fill
// in is not filled in, but for the namespace.
type Objects struct {
	Namespaces     []Typed[corev1.Namespace]
	Nodes          []Typed[corev1.Node]
	Pods           []Typed[corev1.Pod]
	Services       []Typed[corev1.Service]
	EndpointSlices []Typed[discoveryv1.EndpointSlice]
	//lint:ignore SA1019 manifests have them all the same
	Endpoints       []Typed[corev1.Endpoints]
	ConfigMaps      []Typed[corev1.ConfigMap] // those that a PolicyRollout names
	NetworkPolicies []Typed[networkingv1.NetworkPolicy]
	ClusterPolicies []Typed[v1alpha2.ClusterNetworkPolicy]
	Rollouts        []Rollout
	Suites          []Typed[v1alpha1.ConnectivitySuite]
	Callbacks       []Callback
	Customs         []Custom   // of which a controller may make pods that are not known
	Monitors        []Monitor  // that ask for metrics to be fetched
	Scrapers        []Scraper  // Prometheus resources, which choose monitors
	Entrances       []Entrance // Services that clients outside of the cluster reach
	Accounts        []Account  // service accounts with annotations
	Settings        []Settings // ConfigMaps that containers take something from
}

// Rollout is a PolicyRollout with the policies that it would roll out, wherever
// they are written: in the rollout itself or in its ConfigMap.
type Rollout struct {
	Typed[v1alpha1.PolicyRollout]
	Candidates []Typed[networkingv1.NetworkPolicy]
}

// Typed is an object and where it stands.
type Typed[T any] struct {
	Source
	Object *T
}

// Workload is a controller with its pods, or a pod of its own.
type Workload struct {
	// Source is the controller's. Of one that only its pods' references name, or
	// that came from a cluster, it has no position.
	Source
	// Pods are the indexes of its pods in Set.Pods; empty where it has none.
	Pods []int
	// Replicas is how many pods it asks for; -1: as many as there are nodes.
	Replicas int32
	// Template is what its pods are made of; of a pod, the pod itself. It is nil
	// where only the pods' references name the workload.
	Template *corev1.PodTemplateSpec
	// TemplatePath is where the template stands in the object, for example
	// spec.template; empty for a pod.
	TemplatePath string
	// Labels are the controller's own, which its pods need not have.
	Labels map[string]string
	// Unfixed are the label keys that its controller adds to its pods with values
	// that are not known beforehand, such as pod-template-hash. The pods here have
	// them with the value "unknown".
	Unfixed []string
}

// Service is a Service with the pods that it selects.
type Service struct {
	Source
	// Selector is nil where the Service has none: its endpoints are not known.
	Selector map[string]string
	Ports    []ServicePort
	Pods     []int // indexes in Set.Pods
	Headless bool  // no address of its own: clients connect to the pods' ports
	Spec     *corev1.ServiceSpec
	// Addresses lead to it from inside the cluster: see Set.At.
	Addresses []netip.Addr
	// Endpoints are the addresses that EndpointSlices and Endpoints list for it.
	Endpoints []Endpoint
}

// Note says what was left out, assumed or is not known.
type Note struct {
	Position        // zero where no place is to blame
	Object   string // as "NetworkPolicy ai/gateway"; may be empty
	Message  string
}

// String is one line: position, object and message.
func (n Note) String() string { return Problem(n).String() }

// Where is where a field of an object stands, or the nearest thing around it
// that is there. Kind is as in the manifest; the namespace of an object of the
// cluster is empty. The zero Position means that there is no such object.
func (s *Set) Where(kind, namespace, name, fieldPath string) Position {
	source, ok := s.Source(kind, namespace, name)
	if !ok {
		return Position{}
	}
	return source.Where(fieldPath)
}

// Source finds an object by kind, namespace and name.
func (s *Set) Source(kind, namespace, name string) (Source, bool) {
	source, ok := s.sources[key(kind, namespace, name)]
	return source, ok
}

func key(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }
