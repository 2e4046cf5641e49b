package pods

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// unlike says what a pod has that was not asked for, of what could make it
// somebody else's word; empty: nothing. All else, admission may add: resources,
// priority, tolerations, pull secrets, security contexts, annotations, labels.
func unlike(asked, pod *corev1.Pod) string {
	if len(pod.Spec.Containers) != 1 {
		return fmt.Sprintf("it has %d containers instead of one", len(pod.Spec.Containers))
	}
	want, got := &asked.Spec.Containers[0], &pod.Spec.Containers[0]
	for _, f := range []struct {
		what string
		same bool
	}{
		{"it has an init container", len(pod.Spec.InitContainers) == 0},
		{"it has an ephemeral container", len(pod.Spec.EphemeralContainers) == 0},
		{"its image is " + got.Image, got.Image == want.Image},
		{"its command is another", slices.Equal(got.Command, want.Command)},
		{"its arguments are others", slices.Equal(got.Args, want.Args)},
		{"it has environment variables", len(got.Env)+len(got.EnvFrom) == 0},
		{"it has another volume", slices.EqualFunc(pod.Spec.Volumes, asked.Spec.Volumes, sameVolume)},
		{"it mounts another volume", slices.EqualFunc(got.VolumeMounts, want.VolumeMounts, sameMount)},
		{"it is in a namespace of the host", !pod.Spec.HostNetwork && !pod.Spec.HostPID && !pod.Spec.HostIPC},
		{"it has entries in its hosts file", len(pod.Spec.HostAliases) == 0},
		{"its service account is " + pod.Spec.ServiceAccountName, cmp.Or(pod.Spec.ServiceAccountName, "default") == cmp.Or(asked.Spec.ServiceAccountName, "default")},
		{"its owner is another", equality.Semantic.DeepEqual(pod.OwnerReferences, asked.OwnerReferences)},
	} {
		if !f.same {
			return f.what
		}
	}
	for _, key := range slices.Sorted(maps.Keys(asked.Labels)) {
		if pod.Labels[key] != asked.Labels[key] {
			return fmt.Sprintf("its label %s is %q instead of %q", key, pod.Labels[key], asked.Labels[key])
		}
	}
	return ""
}

func sameVolume(got, want corev1.Volume) bool {
	if got.Name != want.Name || got.ConfigMap == nil || want.ConfigMap == nil {
		return false
	}
	return got.ConfigMap.Name == want.ConfigMap.Name && len(got.ConfigMap.Items) == len(want.ConfigMap.Items)
}

func sameMount(got, want corev1.VolumeMount) bool {
	return got.Name == want.Name && got.MountPath == want.MountPath && got.SubPath == want.SubPath && got.SubPathExpr == want.SubPathExpr
}

// changed says in what a pod differs from the one that was made; empty: nothing.
// The scheduler chooses its node, once.
func changed(born, pod *corev1.Pod, own []string) string {
	if pod.UID != born.UID {
		return "another pod has its name"
	}
	if !equality.Semantic.DeepEqual(pod.OwnerReferences, born.OwnerReferences) {
		return "its owner was changed"
	}
	was, is := maps.Clone(born.Labels), maps.Clone(pod.Labels)
	for _, key := range own {
		delete(was, key)
		delete(is, key)
	}
	keys := append(slices.Collect(maps.Keys(was)), slices.Collect(maps.Keys(is))...)
	slices.Sort(keys)
	for _, key := range keys {
		if _, had := was[key]; !had && strings.HasPrefix(key, "topology.kubernetes.io/") {
			continue // the API server copies the node's when the pod is bound to it
		}
		if was[key] != is[key] {
			return fmt.Sprintf("its label %s was changed from %q to %q", key, was[key], is[key])
		}
	}
	spec := pod.Spec.DeepCopy()
	if born.Spec.NodeName == "" {
		spec.NodeName = ""
	}
	if len(spec.EphemeralContainers) > len(born.Spec.EphemeralContainers) {
		return "an ephemeral container was added"
	}
	if !equality.Semantic.DeepEqual(*spec, born.Spec) {
		return "its spec was changed"
	}
	return ""
}

// containerOf is the ID of a pod's only container and of its start; empty: none yet.
func containerOf(pod *corev1.Pod) string {
	if len(pod.Status.ContainerStatuses) != 1 || pod.Status.ContainerStatuses[0].ContainerID == "" {
		return ""
	}
	st := pod.Status.ContainerStatuses[0]
	return fmt.Sprintf("%s/%d", st.ContainerID, st.RestartCount)
}
