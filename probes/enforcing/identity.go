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

// PluginNamespaces are where network plugins are installed. A DaemonSet of any other
// namespace is none: whoever may make one there would have a say in what the cluster is.
var PluginNamespaces = []string{"kube-system", "antrea", "calico-system", "cilium", "kube-flannel",
	"openshift-multus", "openshift-ovn-kubernetes", "openshift-sdn", "ovn-kubernetes", "tigera-operator"}

const (
	// maxPlugins bounds what an identity names.
	maxPlugins = 64
	// maxConfigMaps bounds what is read of the configuration of one plugin.
	maxConfigMaps = 16
	// listPage is how many objects of a list are held at a time.
	listPage = 100
)

// FindPlugins names, as namespace/name, the DaemonSets of the namespaces that install a
// network plugin.
func FindPlugins(ctx context.Context, api client.Reader, namespaces []string) ([]string, error) {
	var found []string
	for _, namespace := range slices.Compact(slices.Sorted(slices.Values(namespaces))) {
		err := pages(ctx, api, func(sets *appsv1.DaemonSetList) error {
			for _, set := range sets.Items {
				if installsPlugin(&set.Spec.Template.Spec) {
					found = append(found, set.Namespace+"/"+set.Name)
				}
			}
			if len(found) > maxPlugins {
				return fmt.Errorf("more than %d look like network plugins", maxPlugins)
			}
			return nil
		}, client.InNamespace(namespace))
		if err != nil {
			return nil, fmt.Errorf("list DaemonSets of namespace %s: %w", namespace, err)
		}
	}
	slices.Sort(found)
	return found, nil
}

// pages lists page by page, and hands each to a function.
func pages[T any, L interface {
	*T
	client.ObjectList
}](ctx context.Context, api client.Reader, each func(L) error, options ...client.ListOption) error {
	for next := ""; ; {
		list := L(new(T)) // what is decoded need not clear what was there
		if err := api.List(ctx, list, append(options, client.Limit(listPage), client.Continue(next))...); err != nil {
			return err
		}
		if err := each(list); err != nil {
			return err
		}
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

// Identify says what the cluster's data plane is now, of which plugins are the
// DaemonSets that FindPlugins named. It reads no other. Its answer changes when a node
// comes, goes or is replaced, when its kernel, kubelet or container runtime is another,
// and when one of the DaemonSets is gone, or its image or configuration is another. A
// plugin that is configured by custom resources, or by files of the nodes, is not seen to
// change by those, and one that is added is not seen at all.
func Identify(ctx context.Context, api client.Reader, plugins []string) (v1alpha1.ClusterIdentity, error) {
	var id, none v1alpha1.ClusterIdentity
	if len(plugins) > maxPlugins {
		return none, fmt.Errorf("more than %d network plugins", maxPlugins)
	}
	var all []string
	err := pages(ctx, api, func(nodes *corev1.NodeList) error {
		for _, n := range nodes.Items {
			i := n.Status.NodeInfo
			all = append(all, line(n.Name, string(n.UID), i.KernelVersion, i.KubeletVersion, i.ContainerRuntimeVersion, i.OSImage, i.Architecture))
		}
		return nil
	})
	if err != nil {
		return none, fmt.Errorf("list nodes: %w", err)
	}
	id.Nodes = digest(all)
	var images, configuration []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(plugins))) {
		image, configured, err := identifyPlugin(ctx, api, name)
		if err != nil {
			return none, err
		}
		id.Plugins = append(id.Plugins, name)
		images, configuration = append(images, name+" "+image), append(configuration, name+" "+configured)
	}
	id.Plugin, id.Configuration = digest(images), digest(configuration)
	return id, nil
}

// identifyPlugin returns the images of a network plugin, and a digest of how it is
// configured.
func identifyPlugin(ctx context.Context, api client.Reader, plugin string) (images, configured string, err error) {
	namespace, name, ok := strings.Cut(plugin, "/")
	if !ok || namespace == "" || name == "" {
		return "", "", fmt.Errorf("network plugin %q is not written as namespace/name", plugin)
	}
	var set appsv1.DaemonSet
	if err := api.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &set); apierrors.IsNotFound(err) {
		return "is not there", "", nil
	} else if err != nil {
		return "", "", fmt.Errorf("read network plugin %s: %w", plugin, err)
	}
	images = takeImages(&set.Spec.Template.Spec)
	raw, err := json.Marshal(set.Spec.Template.Spec)
	if err != nil {
		return "", "", err
	}
	maps, err := configOf(ctx, api, &set)
	if err != nil {
		return "", "", err
	}
	return images, digest(append(maps, string(raw))), nil
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

// configOf are digests of what the ConfigMaps say that a DaemonSet names.
func configOf(ctx context.Context, api client.Reader, set *appsv1.DaemonSet) ([]string, error) {
	names := configMapsOf(&set.Spec.Template.Spec)
	if len(names) > maxConfigMaps {
		return nil, fmt.Errorf("network plugin %s/%s takes its configuration from %d ConfigMaps, which is more than %d", set.Namespace, set.Name, len(names), maxConfigMaps)
	}
	var out []string
	for _, name := range names {
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
		out = append(out, line(key.String(), digest([]string{string(raw)})))
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
