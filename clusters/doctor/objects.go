package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

const (
	// maxNodes bounds the pods that the measurement costs: two a node.
	maxNodes = 16
	// maxNamespaces bounds how many namespaces are asked whether they take a probe pod.
	maxNamespaces = 100
	// maxListed bounds what a check names.
	maxListed = 20
)

func (x *examiner) version(context.Context) {
	v, err := x.kube.Discovery().ServerVersion()
	if err != nil {
		x.add("version", Unknown, err.Error())
		return
	}
	x.add("version", Note, "Kubernetes "+v.GitVersion)
}

// nodes are those that can run a pod, and are measured.
func (x *examiner) nodes(ctx context.Context) []string {
	var list corev1.NodeList
	if err := x.api.List(ctx, &list); err != nil {
		x.add("nodes", Unknown, err.Error())
		return nil
	}
	var able []string
	machines := map[string]int{}
	for _, n := range list.Items {
		machines[n.Status.NodeInfo.OperatingSystem+"/"+n.Status.NodeInfo.Architecture+", kubelet "+n.Status.NodeInfo.KubeletVersion]++
		if n.Status.NodeInfo.OperatingSystem == "linux" && nodeReady(&n) && n.DeletionTimestamp == nil {
			able = append(able, n.Name)
		}
	}
	slices.Sort(able)
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(machines)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", machines[kind], kind))
	}
	state, says := Note, fmt.Sprintf("%d of %d nodes are ready and run Linux: %s", len(able), len(list.Items), strings.Join(kinds, "; "))
	if len(able) > maxNodes {
		says += fmt.Sprintf("; only the first %d are measured", maxNodes)
	}
	if len(able) < len(list.Items) {
		state = Problem
	}
	x.add("nodes", state, says)
	return able[:min(len(able), maxNodes)]
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (x *examiner) kinds(ctx context.Context) {
	const name = "other policy kinds"
	if x.Kinds == nil {
		x.add(name, Unknown, "nobody looked")
		return
	}
	kinds, unknown, err := x.Kinds(ctx)
	if err != nil {
		x.add(name, Unknown, err.Error())
		return
	}
	for _, why := range unknown {
		x.add(name, Unknown, why)
	}
	x.found.PolicyKinds = append(x.found.PolicyKinds, kinds...)
	for _, k := range kinds {
		says, state := fmt.Sprintf("%s: %d", k.name(), k.Objects), Note
		if k.Objects < 0 {
			says, state = fmt.Sprintf("%s: how many is not known: %s", k.name(), k.Why), Unknown
		}
		if k.Understood {
			says += "; a rollout is refused where one may select its pods"
		} else {
			says += "; Tightrope does not know which pods they select, so a rollout is refused while there is one"
		}
		x.add(name, state, says)
	}
	if len(kinds)+len(unknown) == 0 {
		x.add(name, OK, "the cluster serves no kind of policies but NetworkPolicy")
	}
}

// namespaces asks each namespace whether it would take a probe pod, by a dry run: that
// is what quotas, limit ranges, PodSecurity and webhooks are asked by as well.
func (x *examiner) namespaces(ctx context.Context) {
	const name = "probe pods"
	var list corev1.NamespaceList
	if err := x.api.List(ctx, &list); err != nil {
		x.add(name, Unknown, err.Error())
		return
	}
	var asked []string
	for _, ns := range list.Items {
		if ns.DeletionTimestamp == nil && !strings.HasPrefix(ns.Name, "kube-") {
			asked = append(asked, ns.Name)
		}
	}
	over := max(0, len(asked)-maxNamespaces)
	asked = asked[:len(asked)-over]
	taken := 0
	for _, ns := range asked {
		err := x.placer.Rehearse(ctx, pods.Spec{Name: types.NamespacedName{Namespace: ns, Name: "tightrope-doctor-0"}, Role: "check", Plan: &probes.Plan{}})
		switch {
		case err == nil:
			taken++
		case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			x.add(name, Problem, fmt.Sprintf("namespace %s refuses one: %v", ns, err))
		default:
			x.add(name, Unknown, fmt.Sprintf("namespace %s: %v", ns, err))
		}
		x.pullSecrets(ctx, ns)
	}
	x.add(name, OK, fmt.Sprintf("%d of %d namespaces take one", taken, len(asked)))
	if over > 0 {
		x.add(name, Unknown, fmt.Sprintf("%d more namespaces were not asked", over))
	}
}

// pullSecrets names the pull secrets that a namespace does not have. Only their
// names are read.
func (x *examiner) pullSecrets(ctx context.Context, namespace string) {
	for _, secret := range x.Pods.PullSecrets {
		o := &metav1.PartialObjectMetadata{}
		o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		err := x.api.Get(ctx, types.NamespacedName{Namespace: namespace, Name: secret}, o)
		switch {
		case apierrors.IsNotFound(err):
			x.add("pull secrets", Problem, fmt.Sprintf("namespace %s has no Secret %s, so a probe pod's image cannot be pulled there", namespace, secret))
		case err != nil:
			x.add("pull secrets", Unknown, err.Error())
		}
	}
}
