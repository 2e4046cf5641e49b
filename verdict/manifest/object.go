package manifest

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// raw is what was read, by kind, in the order of the input.
type raw struct {
	Objects
	deployments  []Typed[appsv1.Deployment]
	statefulSets []Typed[appsv1.StatefulSet]
	daemonSets   []Typed[appsv1.DaemonSet]
	replicaSets  []Typed[appsv1.ReplicaSet]
	controllers  []Typed[corev1.ReplicationController]
	jobs         []Typed[batchv1.Job]
	cronJobs     []Typed[batchv1.CronJob]
	rollouts     []Typed[v1alpha1.PolicyRollout] // without their candidates
	operated     []operated                      // pods that operators make of custom resources
	gateways     map[string]string               // classes of Gateways by namespace/name
}

// header is what every object begins with.
type header struct{ apiVersion, kind string }

func (h header) isList() bool { return strings.HasSuffix(h.kind, "List") && len(h.kind) >= len("List") }

// item is what a List says of its items: a List that is typed, their kind.
func (h header) item() header {
	if h.kind == "List" {
		return header{}
	}
	return header{h.apiVersion, strings.TrimSuffix(h.kind, "List")}
}

func (h header) group() string {
	group, _, found := strings.Cut(h.apiVersion, "/")
	if !found {
		return ""
	}
	return group
}

// understood are the kinds that are read, and how. Others are foreign, obsolete
// or nobody's concern.
var understood = map[header]func(*reading, Source, *yaml.Node){
	{"v1", "Namespace"}:             cluster(func(r *raw) *[]Typed[corev1.Namespace] { return &r.Namespaces }, checkNamespace),
	{"v1", "Node"}:                  cluster(func(r *raw) *[]Typed[corev1.Node] { return &r.Nodes }, nil),
	{"v1", "Pod"}:                   namespaced(func(r *raw) *[]Typed[corev1.Pod] { return &r.Pods }, checkPod),
	{"v1", "Service"}:               namespaced(func(r *raw) *[]Typed[corev1.Service] { return &r.Services }, checkService),
	{"v1", "ReplicationController"}: namespaced(func(r *raw) *[]Typed[corev1.ReplicationController] { return &r.controllers }, checkController),
	//lint:ignore SA1019 manifests have them all the same
	{"v1", "Endpoints"}: namespaced(func(r *raw) *[]Typed[corev1.Endpoints] { return &r.Endpoints }, nil),
	{"discovery.k8s.io/v1", "EndpointSlice"}: namespaced(
		func(r *raw) *[]Typed[discoveryv1.EndpointSlice] { return &r.EndpointSlices }, nil),
	{"v1", "ConfigMap"}:        (*reading).keepConfigMap,
	{"apps/v1", "Deployment"}:  namespaced(func(r *raw) *[]Typed[appsv1.Deployment] { return &r.deployments }, checkDeployment),
	{"apps/v1", "StatefulSet"}: namespaced(func(r *raw) *[]Typed[appsv1.StatefulSet] { return &r.statefulSets }, checkStatefulSet),
	{"apps/v1", "DaemonSet"}:   namespaced(func(r *raw) *[]Typed[appsv1.DaemonSet] { return &r.daemonSets }, checkDaemonSet),
	{"apps/v1", "ReplicaSet"}:  namespaced(func(r *raw) *[]Typed[appsv1.ReplicaSet] { return &r.replicaSets }, checkReplicaSet),
	{"batch/v1", "Job"}:        namespaced(func(r *raw) *[]Typed[batchv1.Job] { return &r.jobs }, checkJob),
	{"batch/v1", "CronJob"}:    namespaced(func(r *raw) *[]Typed[batchv1.CronJob] { return &r.cronJobs }, checkCronJob),
	{"networking.k8s.io/v1", "NetworkPolicy"}: namespaced(
		func(r *raw) *[]Typed[networkingv1.NetworkPolicy] { return &r.NetworkPolicies }, checkNetworkPolicy),
	{"policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"}: clusterPolicy,
	{"policy.networking.k8s.io/v1beta1", "ClusterNetworkPolicy"}:  clusterPolicy, // the same schema
	{tightrope, "PolicyRollout"}:                                  namespaced(func(r *raw) *[]Typed[v1alpha1.PolicyRollout] { return &r.rollouts }, checkRollout),
	{tightrope, "ConnectivitySuite"}: namespaced(
		func(r *raw) *[]Typed[v1alpha1.ConnectivitySuite] { return &r.Suites }, checkSuite),
}

const tightrope = "tightrope.dev/v1alpha1"

// clusterPolicy reads a ClusterNetworkPolicy of either version: network-policy-api
// v0.3.0 serves v1alpha2 and v1beta1 with one schema, and stores v1beta1.
var clusterPolicy = cluster(func(r *raw) *[]Typed[v1alpha2.ClusterNetworkPolicy] { return &r.ClusterPolicies }, checkClusterPolicy)

// object reads one object, or each of a List.
func (r *reading) object(at Source, n *yaml.Node, listed header, named bool) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		r.notManifest(at.Position, named, "holds no object: a manifest has fields, apiVersion and kind first")
		return
	}
	h, ok := r.header(at, n, listed, named)
	if !ok {
		return
	}
	at.APIVersion, at.Kind = h.apiVersion, h.kind
	read, ok := understood[h]
	switch why := obsolete(h); {
	case ok:
		read(r, at, n)
	case callers[h]:
		r.readCaller(at, n)
	case loose[groupKind{h.group(), h.kind}] != nil:
		loose[groupKind{h.group(), h.kind}](r, at, n)
	case h.isList() && field(n, "items") != nil:
		r.list(at, n, h.item())
	case h.apiVersion == tightrope && h.kind == "Scenario":
		r.notManifest(at.Position, named, "is a Scenario, not a manifest: rehearse it with tightrope run "+at.File)
	case isForeign(h):
		r.readForeign(at, n)
	case why != "":
		r.fault(at.Kind, at.Position, "", "%s", why)
	default:
		r.skip(at, n)
	}
}

// skip counts a kind that is not read. One that makes pods, as many operators'
// kinds do, is told by name: its pods are missing from the answers.
func (r *reading) skip(at Source, n *yaml.Node) {
	hides := makesPods(header{at.APIVersion, at.Kind})
	switch {
	case field(strict.Value(n, "spec.template.spec"), "containers") != nil:
		r.note(at.Position, strict.Show(at.Kind+" "+text(n, "metadata", "name")), "has a template of pods, and %s is not a kind that is expanded: its pods are missing", strict.Show(at.APIVersion))
		if hides {
			r.keepCustom(at, n)
		}
	case hides:
		r.hide(at, n)
	default:
		r.skipped[strict.Show(at.Kind)]++
	}
}

// notManifest is a problem with what the user named, and a note about what was
// found beside manifests.
func (r *reading) notManifest(at Position, named bool, what string) {
	if named {
		r.problem(at, "", "%s", what)
	} else {
		r.note(at, "", "skipped: it %s", what)
	}
}

// header reads apiVersion and kind. Text that has neither is something else.
func (r *reading) header(at Source, n *yaml.Node, listed header, named bool) (header, bool) {
	version, kind := text(n, "apiVersion"), text(n, "kind")
	switch {
	case version == "" && kind == "" && listed.kind != "":
		return listed, true
	case field(n, "apiVersion") == nil && field(n, "kind") == nil:
		r.notManifest(at.Position, named, "has neither apiVersion nor kind, so it is no manifest")
	case kind == "":
		r.problem(at.Where("kind"), "", "kind is missing, or is not text: say what the object is")
	case version == "":
		r.problem(at.Where("apiVersion"), "", "apiVersion of the %s is missing, or is not text", strict.Show(kind))
	default:
		return header{version, kind}, true
	}
	return header{}, false
}

func (r *reading) list(at Source, n *yaml.Node, item header) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch key.Value {
		case "apiVersion", "kind", "metadata":
		case "items":
			for value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			if value.Kind != yaml.SequenceNode && value.ShortTag() != "!!null" {
				r.problem(at.document.position(value), "", "items of the %s is not a list", strict.Show(at.Kind))
			}
			for i, one := range value.Content {
				path := at.join(index("items", i))
				r.object(Source{Position: at.document.position(one), document: at.document, path: path}, one, item, true)
			}
		default:
			r.problem(at.document.position(key), "", "unknown field of the %s: %s%s", strict.Show(at.Kind), strict.Show(key.Value),
				strict.DidYouMean(key.Value, []string{"items", "metadata", "apiVersion", "kind"}))
		}
	}
}

// field is the value of a field, or nil.
func field(n *yaml.Node, name string) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// text is the value of a field that is text; empty otherwise.
func text(n *yaml.Node, names ...string) string {
	for _, name := range names {
		for n != nil && n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n == nil || n.Kind != yaml.MappingNode {
			return ""
		}
		n = field(n, name)
	}
	if n == nil || n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return ""
	}
	return n.Value
}

// ownGroups are the groups that Kubernetes itself has or had, and ours: nobody else
// adds kinds there, so what they do not serve is a mistake.
var ownGroups = []string{
	"", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "apps", "authentication.k8s.io",
	"authorization.k8s.io", "autoscaling", "batch", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io",
	"events.k8s.io", "extensions", "flowcontrol.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "policy",
	"rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io", "tightrope.dev",
}

// obsolete says of a kind that is understood in another version, or in another
// group, what to do. It is empty where the kind is none of ours.
func obsolete(h header) string {
	if !slices.Contains(ownGroups, h.group()) {
		return ""
	}
	for known := range understood {
		if known.kind == h.kind {
			return strict.Show(h.kind) + " of " + strict.Show(h.apiVersion) + " is not served by any Kubernetes that is supported: write apiVersion: " + known.apiVersion
		}
	}
	return ""
}
