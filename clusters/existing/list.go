package existing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
	npaclient "sigs.k8s.io/network-policy-api/pkg/client/clientset/versioned"
)

// Lists are the objects of a cluster that verdicts depend on. It has the same
// fields as manifest.Lists, so one converts to the other.
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
	// Callers are objects that tell who calls whom; ListCallers adds them.
	Callers []unstructured.Unstructured
	// Unlisted are resources that may not be listed, and that verdicts on pods do
	// without.
	Unlisted []string
}

// pageSize bounds the answer to one request, in objects.
const pageSize = 500

// List reads the objects of all namespaces, page by page, and writes nothing.
// Each kind is as it was at one moment, the kinds one after the other. An error
// names the resource, and the right that is missing where that is the cause.
func List(ctx context.Context, cfg *rest.Config) (Lists, error) {
	var l Lists
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return l, fmt.Errorf("cluster at %s: %w", cfg.Host, err)
	}
	core, apps, batch := client.CoreV1(), client.AppsV1(), client.BatchV1()
	for _, read := range []func() error{
		func() error { return all(ctx, "namespaces", core.Namespaces().List, &l.Namespaces) },
		func() error { return all(ctx, "nodes", core.Nodes().List, &l.Nodes) },
		func() error { return all(ctx, "pods", core.Pods("").List, &l.Pods) },
		func() error { return all(ctx, "services", core.Services("").List, &l.Services) },
		func() error { return l.endpoints(ctx, client) },
		func() error {
			return all(ctx, "networkpolicies.networking.k8s.io", client.NetworkingV1().NetworkPolicies("").List, &l.NetworkPolicies)
		},
		func() error { return all(ctx, "deployments.apps", apps.Deployments("").List, &l.Deployments) },
		func() error { return all(ctx, "statefulsets.apps", apps.StatefulSets("").List, &l.StatefulSets) },
		func() error { return all(ctx, "daemonsets.apps", apps.DaemonSets("").List, &l.DaemonSets) },
		func() error { return all(ctx, "replicasets.apps", apps.ReplicaSets("").List, &l.ReplicaSets) },
		func() error { return all(ctx, "jobs.batch", batch.Jobs("").List, &l.Jobs) },
		func() error { return all(ctx, "cronjobs.batch", batch.CronJobs("").List, &l.CronJobs) },
		func() error { return l.otherPolicies(ctx, cfg, client.Discovery()) },
	} {
		if err := read(); err != nil {
			return Lists{}, err
		}
	}
	return l, nil
}

// endpoints lists where Services lead. Roles that were made before this was read
// do not allow it, and most answers do without.
func (l *Lists) endpoints(ctx context.Context, client *kubernetes.Clientset) error {
	const resource = "endpointslices.discovery.k8s.io"
	err := all(ctx, resource, client.DiscoveryV1().EndpointSlices("").List, &l.EndpointSlices)
	if apierrors.IsForbidden(err) {
		l.Unlisted = append(l.Unlisted, resource)
		return nil
	}
	return err
}

// all lists every page of a resource.
func all[L runtime.Object, T any](ctx context.Context, resource string, list func(context.Context, metav1.ListOptions) (L, error), into *[]T) error {
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(ctx, o) })
	pages.PageSize = pageSize
	found, _, err := pages.List(ctx, metav1.ListOptions{})
	if err != nil {
		return explain(resource, err)
	}
	return meta.EachListItem(found, func(o runtime.Object) error {
		*into = append(*into, *any(o).(*T))
		return nil
	})
}

func explain(resource string, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("list %s in all namespaces: %w; grant the verb list on %s by a ClusterRole, or use a kubeconfig that has it", resource, err, resource)
	}
	return fmt.Errorf("list %s: %w", resource, err)
}

// policyGroups are the API groups in which other network policies are known to be.
var policyGroups = []string{
	v1alpha2.GroupName, "crd.projectcalico.org", "projectcalico.org", "cilium.io", "crd.antrea.io", "k8s.ovn.org", "network.openshift.io",
}

// otherPolicies lists ClusterNetworkPolicies, if the cluster has them in the
// versions that are understood, and the names of all other kinds of policies.
func (l *Lists) otherPolicies(ctx context.Context, cfg *rest.Config, d discovery.DiscoveryInterface) error {
	resources, err := policyResources(d)
	if err != nil {
		return err
	}
	names, err := metadata.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("cluster at %s: %w", cfg.Host, err)
	}
	for _, r := range resources {
		if slices.Contains(understood, r.gvr.GroupVersion().String()) && r.kind == "ClusterNetworkPolicy" {
			if err := l.clusterPolicies(ctx, cfg, r); err != nil {
				return err
			}
			continue
		}
		from := len(l.Foreign)
		if err := all(ctx, r.String(), names.Resource(r.gvr).List, &l.Foreign); err != nil {
			return err
		}
		for i := range l.Foreign[from:] {
			l.Foreign[from+i].SetGroupVersionKind(r.gvr.GroupVersion().WithKind(r.kind))
		}
	}
	return nil
}

// understood are the versions of ClusterNetworkPolicy that are read: they have one schema.
var understood = []string{v1alpha2.GroupVersion.String(), v1beta1.GroupVersion.String()}

// clusterPolicies lists ClusterNetworkPolicies in the version of the resource, as
// v1alpha2, which has the same fields.
func (l *Lists) clusterPolicies(ctx context.Context, cfg *rest.Config, r resource) error {
	client, err := npaclient.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("cluster at %s: %w", cfg.Host, err)
	}
	if r.gvr.Version == v1alpha2.GroupVersion.Version {
		return all(ctx, r.String(), client.PolicyV1alpha2().ClusterNetworkPolicies().List, &l.ClusterPolicies)
	}
	var stored []v1beta1.ClusterNetworkPolicy
	if err := all(ctx, r.String(), client.PolicyV1beta1().ClusterNetworkPolicies().List, &stored); err != nil {
		return err
	}
	raw, err := json.Marshal(stored)
	if err == nil {
		err = json.Unmarshal(raw, &l.ClusterPolicies)
	}
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", r, r.gvr.GroupVersion(), err)
	}
	return nil
}

type resource struct {
	gvr  schema.GroupVersionResource
	kind string
}

func (r resource) String() string { return r.gvr.GroupResource().String() }

// policyResources are the resources that hold other policies: each once, in the
// version that is understood, or else in the one that the cluster prefers.
func policyResources(d discovery.DiscoveryInterface) ([]resource, error) {
	groups, err := d.ServerGroups()
	if err != nil {
		return nil, fmt.Errorf("read the cluster's API groups: %w", err)
	}
	var found []resource
	for _, g := range groups.Groups {
		if !slices.Contains(policyGroups, g.Name) {
			continue
		}
		for _, version := range inOrder(g) {
			list, err := d.ServerResourcesForGroupVersion(version)
			if err != nil {
				return nil, fmt.Errorf("read the resources of %s, which may hold network policies: %w", version, err)
			}
			gv, err := schema.ParseGroupVersion(version)
			if err != nil {
				return nil, fmt.Errorf("read the cluster's API groups: %w", err)
			}
			for _, r := range list.APIResources {
				one := resource{gv.WithResource(r.Name), r.Kind}
				if holdsPolicies(r) && !slices.ContainsFunc(found, func(f resource) bool { return f.String() == one.String() }) {
					found = append(found, one)
				}
			}
		}
	}
	return found, nil
}

// inOrder are a group's versions: those that are understood first, then the
// preferred one.
func inOrder(g metav1.APIGroup) []string {
	var all []string
	for _, v := range g.Versions {
		all = append(all, v.GroupVersion)
	}
	first := append(slices.Clone(understood), g.PreferredVersion.GroupVersion)
	slices.SortStableFunc(all, func(a, b string) int { return rank(first, a) - rank(first, b) })
	return all
}

func rank(first []string, s string) int {
	if i := slices.Index(first, s); i >= 0 {
		return i
	}
	return len(first)
}

func holdsPolicies(r metav1.APIResource) bool {
	decides := strings.HasSuffix(r.Kind, "NetworkPolicy") || r.Kind == "EgressFirewall"
	return decides && !strings.HasPrefix(r.Kind, "Staged") && !strings.Contains(r.Name, "/") && slices.Contains(r.Verbs, "list")
}
