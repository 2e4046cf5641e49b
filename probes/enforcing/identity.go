package enforcing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// cniFolders are where a node looks for network plugins and their configuration. What
// mounts one of them installs a plugin.
var cniFolders = []string{"/etc/cni", "/opt/cni", "/var/lib/cni", "/etc/kubernetes/cni", "/home/kubernetes/bin"}

// maxPlugins bounds what an identity names.
const maxPlugins = 64

// Identify says what the cluster's data plane is now. Its answer changes when a node
// comes, goes or is replaced, when its kernel, kubelet or container runtime is another,
// and when an image or the configuration of the network plugin is. A plugin that is
// configured by custom resources, or by files of the nodes, is not seen to change by
// those.
func Identify(ctx context.Context, api client.Reader) (v1alpha1.ClusterIdentity, error) {
	var id v1alpha1.ClusterIdentity
	var nodes corev1.NodeList
	if err := api.List(ctx, &nodes); err != nil {
		return id, fmt.Errorf("list nodes: %w", err)
	}
	var all []string
	for _, n := range nodes.Items {
		i := n.Status.NodeInfo
		all = append(all, line(n.Name, string(n.UID), i.KernelVersion, i.KubeletVersion, i.ContainerRuntimeVersion, i.OSImage, i.Architecture))
	}
	id.Nodes = digest(all)
	var sets appsv1.DaemonSetList
	if err := api.List(ctx, &sets); err != nil {
		return id, fmt.Errorf("list DaemonSets: %w", err)
	}
	var images, configuration []string
	for i := range sets.Items {
		set := &sets.Items[i]
		if !installsPlugin(&set.Spec.Template.Spec) {
			continue
		}
		name := set.Namespace + "/" + set.Name
		if id.Plugins = append(id.Plugins, name); len(id.Plugins) > maxPlugins {
			return v1alpha1.ClusterIdentity{}, fmt.Errorf("more than %d DaemonSets look like network plugins", maxPlugins)
		}
		images = append(images, name+" "+takeImages(&set.Spec.Template.Spec))
		raw, err := json.Marshal(set.Spec.Template.Spec)
		if err != nil {
			return id, err
		}
		configuration = append(configuration, name+" "+string(raw))
		maps, err := configOf(ctx, api, set)
		if err != nil {
			return id, err
		}
		configuration = append(configuration, maps...)
	}
	slices.Sort(id.Plugins)
	id.Plugin, id.Configuration = digest(images), digest(configuration)
	return id, nil
}

func installsPlugin(pod *corev1.PodSpec) bool {
	return slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
		return v.HostPath != nil && slices.ContainsFunc(cniFolders, func(folder string) bool {
			return v.HostPath.Path == folder || strings.HasPrefix(v.HostPath.Path, folder+"/")
		})
	})
}

// takeImages returns the images of a pod, and takes them out of it.
func takeImages(pod *corev1.PodSpec) string {
	var all []string
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range list {
			all = append(all, list[i].Name+"="+list[i].Image)
			list[i].Image = ""
		}
	}
	return strings.Join(all, " ")
}

// configOf is what the ConfigMaps say that a DaemonSet names.
func configOf(ctx context.Context, api client.Reader, set *appsv1.DaemonSet) ([]string, error) {
	var out []string
	for _, name := range configMapsOf(&set.Spec.Template.Spec) {
		key := types.NamespacedName{Namespace: set.Namespace, Name: name}
		var cm corev1.ConfigMap
		err := api.Get(ctx, key, &cm)
		if apierrors.IsNotFound(err) {
			out = append(out, line(key.String(), "is not there"))
			continue
		} else if err != nil {
			return nil, fmt.Errorf("read ConfigMap %s of network plugin %s/%s: %w", key, set.Namespace, set.Name, err)
		}
		raw, err := json.Marshal([]any{cm.Data, cm.BinaryData}) // keys are sorted
		if err != nil {
			return nil, err
		}
		out = append(out, line(key.String(), string(raw)))
	}
	return out, nil
}

// configMapsOf are the names of the ConfigMaps that a pod takes its configuration from.
func configMapsOf(pod *corev1.PodSpec) []string {
	names := map[string]bool{}
	for _, v := range pod.Volumes {
		if v.ConfigMap != nil {
			names[v.ConfigMap.Name] = true
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				names[s.ConfigMap.Name] = true
			}
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef != nil {
				names[e.ConfigMapRef.Name] = true
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
				names[e.ValueFrom.ConfigMapKeyRef.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func line(fields ...string) string {
	raw, _ := json.Marshal(fields) // strings always marshal
	return string(raw)
}

// digest is of lines in any order.
func digest(lines []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(lines)), "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Void says why a profile says nothing of a cluster, as a reason of a condition and in
// words; empty: it does.
func Void(measured, now v1alpha1.ClusterIdentity) (reason, says string) {
	switch {
	case measured.Nodes == "" || measured.Nodes != now.Nodes:
		return v1alpha1.ReasonNodesChanged, "a node has come, gone or changed since"
	case measured.Plugin != now.Plugin:
		return v1alpha1.ReasonPluginChanged, "the network plugin has another image since"
	case measured.Configuration != now.Configuration:
		return v1alpha1.ReasonConfigurationChanged, "the network plugin is configured otherwise since"
	}
	return "", ""
}
