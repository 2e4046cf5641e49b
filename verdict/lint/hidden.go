package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unseen says why pods may match a selector in the namespace although the input
// shows none; empty where nothing suggests so.
func (v *view) unseen(namespace string, s *metav1.LabelSelector) string {
	for _, c := range v.set.Objects.Customs {
		if c.Into == namespace || c.Into == "" {
			return fmt.Sprintf("a controller may make pods of %s that the input does not show", c)
		}
	}
	if s == nil {
		return ""
	}
	asked := alternatives(s)
	for _, key := range slices.Sorted(maps.Keys(asked)) {
		if maker, ok := strings.CutSuffix(domain(key), "."); ok && !v.carried(key) {
			return fmt.Sprintf("pods get labels of %s when they are made or admitted", maker)
		}
		for _, value := range asked[key] {
			if made := runtimeLabels[key+"="+value]; made != "" {
				return made + " when they are needed"
			}
		}
	}
	return ""
}

// runtimeLabels are labels without a domain that programs give to the pods that
// they make while they run.
var runtimeLabels = map[string]string{
	"component=singleuser-server": "JupyterHub makes pods (z2jh.jupyter.org, network security)",
	"spark-role=driver":           "Spark makes pods (spark.apache.org, running on Kubernetes)",
	"spark-role=executor":         "Spark makes pods (spark.apache.org, running on Kubernetes)",
	"kubernetes_executor=True":    "Airflow makes pods (airflow.apache.org, Kubernetes executor)",
}

// domain is the prefix of a label's key with a dot behind it, where the label is
// one that neither Kubernetes nor people who write manifests give; else empty.
func domain(key string) string {
	prefix, _, ok := strings.Cut(key, "/")
	if !ok || prefix == "kubernetes.io" || strings.HasSuffix(prefix, ".kubernetes.io") || strings.HasSuffix(prefix, "helm.sh") {
		return ""
	}
	return prefix + "."
}

// carried reports whether some pod of the input has the label.
func (v *view) carried(key string) bool {
	return slices.ContainsFunc(v.classes, func(c *class) bool { _, ok := c.Labels[key]; return ok })
}

// unseenPeers is unseen for the pods of a peer.
func (v *view) unseenPeers(home string, peer *networkingv1.NetworkPolicyPeer) string {
	if peer.NamespaceSelector == nil {
		return v.unseen(home, peer.PodSelector)
	}
	for _, c := range v.set.Objects.Customs {
		if takes, known := v.matchesNamespace(peer.NamespaceSelector, c.Into); takes || !known || c.Into == "" {
			return v.unseen(c.Into, nil)
		}
	}
	return v.unseen("", peer.PodSelector)
}

// admitsUnseen reports whether an ingress rule may let in what the input does not
// show: addresses, everyone, or pods of namespaces that nothing of it is in.
func (v *view) admitsUnseen(r rule) bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		switch {
		case peer.IPBlock != nil, v.unseenPeers(r.policy.Namespace, &peer) != "":
			return true
		case peer.NamespaceSelector != nil && everything(peer.NamespaceSelector) && (peer.PodSelector == nil || everything(peer.PodSelector)):
			return true
		}
		return !slices.ContainsFunc(v.classes, func(c *class) bool {
			takes, known := v.takes(r.policy.Namespace, &peer, c)
			return takes && known
		})
	})
}
