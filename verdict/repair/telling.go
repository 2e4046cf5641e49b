package repair

import (
	"maps"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
)

// nameLabels are the keys by which workloads are usually told apart, the most
// telling first.
var nameLabels = []string{"app.kubernetes.io/name", "app", "k8s-app", "name"}

// partLabels are the keys that tell the parts of one application apart.
var partLabels = []string{"app.kubernetes.io/component", "component", "role", "tier", "app.kubernetes.io/instance", "release", "instance"}

// Drifting are label keys whose values controllers choose anew for every revision
// or every pod, so that a selector with one matches nothing after the next rollout.
var Drifting = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name",
	"apps.kubernetes.io/pod-index", "controller-uid", "batch.kubernetes.io/controller-uid",
	"batch.kubernetes.io/job-completion-index",
	"serving.knative.dev/revision", "serving.knative.dev/revisionUID", "serving.knative.dev/configurationGeneration",
	"serving.kserve.io/revision",
}

// versioned are label keys whose values change with every release of a program or
// its chart. They are chosen only where nothing else tells.
var versioned = []string{"app.kubernetes.io/version", "version", "helm.sh/chart", "chart", "app.kubernetes.io/managed-by", "heritage"}

// Told is a choice of labels for a selector.
type Told struct {
	// Labels select the pod; empty: it has none that stays the same.
	Labels map[string]string
	// Also are other pods of its namespace that they select: no label tells those
	// from it.
	Also []*verdict.Pod
}

// Tell chooses labels that select the pod and no other of its namespace: the
// usual one where that is enough, with as few more as it takes where it is not,
// and all where the pod has no usual one. Fixed are its labels that stay the
// same; others are the other pods that there are, without its own replicas.
func Tell(fixed map[string]string, others []*verdict.Pod) Told {
	usual := map[string]string{}
	for _, key := range nameLabels {
		if value, ok := fixed[key]; ok {
			usual[key] = value
			break
		}
	}
	if len(usual) == 0 {
		usual = unversioned(fixed)
	}
	return Extend(usual, fixed, others)
}

// Extend is Tell with the labels to begin with.
func Extend(labels, fixed map[string]string, others []*verdict.Pod) Told {
	labels = maps.Clone(labels)
	also := matching(labels, others)
	for len(also) > 0 {
		key, left := best(fixed, labels, also)
		if key == "" {
			break
		}
		labels[key], also = fixed[key], left
	}
	return Told{Labels: labels, Also: also}
}

// unversioned are the labels without those of a version, unless no other is there.
func unversioned(fixed map[string]string) map[string]string {
	all := maps.Clone(fixed)
	maps.DeleteFunc(all, func(key, _ string) bool { return slices.Contains(versioned, key) })
	if len(all) == 0 {
		return maps.Clone(fixed)
	}
	if all["batch.kubernetes.io/job-name"] != "" {
		delete(all, "job-name") // an older name of the same
	}
	return all
}

// best is the label that leaves the fewest of the pods; empty: none leaves fewer.
func best(fixed, chosen map[string]string, also []*verdict.Pod) (string, []*verdict.Pod) {
	found, left := "", also
	for _, key := range inOrder(fixed) {
		if _, has := chosen[key]; has {
			continue
		}
		if rest := matching(map[string]string{key: fixed[key]}, also); len(rest) < len(left) {
			found, left = key, rest
		}
	}
	return found, left
}

// inOrder are the keys, those that people select by first and versions last.
func inOrder(fixed map[string]string) []string {
	rank := func(key string) int {
		if i := slices.Index(nameLabels, key); i >= 0 {
			return i
		}
		if i := slices.Index(partLabels, key); i >= 0 {
			return len(nameLabels) + i
		}
		if slices.Contains(versioned, key) {
			return 1000
		}
		return 100
	}
	return slices.SortedFunc(maps.Keys(fixed), func(a, b string) int {
		if n := rank(a) - rank(b); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
}

func matching(labels map[string]string, pods []*verdict.Pod) []*verdict.Pod {
	var all []*verdict.Pod
	for _, p := range pods {
		if has(p, labels) {
			all = append(all, p)
		}
	}
	return all
}

// has reports whether the pod has all of the labels.
func has(p *verdict.Pod, labels map[string]string) bool {
	for key, value := range labels {
		if own, ok := p.Labels[key]; !ok || own != value {
			return false
		}
	}
	return true
}

// Fixed are the labels of a pod that stay the same: all but the drifting ones and
// those of the given keys, which its controller adds.
func Fixed(p *verdict.Pod, unfixed ...string) map[string]string {
	all := maps.Clone(p.Labels)
	maps.DeleteFunc(all, func(key, _ string) bool { return slices.Contains(Drifting, key) || slices.Contains(unfixed, key) })
	return all
}
