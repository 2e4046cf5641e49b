package lint

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// proven is Error, unless pods that the input does not show may prove it wrong.
func proven(made bool) Severity {
	if made {
		return Warning
	}
	return Error
}

// operated reports whether a controller may make pods in the namespace of an
// object that the input shows. Which labels they have is not known.
func (v *view) operated(namespace string) bool {
	return slices.ContainsFunc(v.set.Objects.Customs, func(c manifest.Custom) bool { return c.Into == namespace || c.Into == "" })
}

// made reports whether pods may match a selector in the namespace although the
// input shows none: a controller makes them, or gives them a label.
func (v *view) made(namespace string, s *metav1.LabelSelector) bool {
	return v.operated(namespace) || v.labelledLater(s)
}

// labelledLater reports whether a selector asks for a label that no pod of the input
// has and that pods commonly get when they are made or admitted.
func (v *view) labelledLater(s *metav1.LabelSelector) bool {
	if s == nil {
		return false
	}
	for key, values := range alternatives(s) {
		if domestic(key) || v.carried(key) {
			if !slices.ContainsFunc(values, func(value string) bool { return slices.Contains(runtimeLabels, key+"="+value) }) {
				continue
			}
		}
		return true
	}
	return false
}

// runtimeLabels are labels without a domain that programs give to the pods that
// they make while they run: JupyterHub (z2jh.jupyter.org), Spark and Airflow.
var runtimeLabels = []string{"component=singleuser-server", "spark-role=driver", "spark-role=executor", "kubernetes_executor=True"}

// domestic reports whether a label is one that people who write manifests give:
// without a domain, or with one of Kubernetes or Helm.
func domestic(key string) bool {
	prefix, _, ok := strings.Cut(key, "/")
	return !ok || prefix == "kubernetes.io" || strings.HasSuffix(prefix, ".kubernetes.io") || strings.HasSuffix(prefix, "helm.sh")
}

// carried reports whether some pod of the input has the label.
func (v *view) carried(key string) bool {
	return slices.ContainsFunc(v.classes, func(c *class) bool { _, ok := c.Labels[key]; return ok })
}

// operatedPeer is operated for the namespaces of a peer.
func (v *view) operatedPeer(home string, peer *networkingv1.NetworkPolicyPeer) bool {
	if peer.NamespaceSelector == nil {
		return v.operated(home)
	}
	return slices.ContainsFunc(v.set.Objects.Customs, func(c manifest.Custom) bool {
		takes, known := v.matchesNamespace(peer.NamespaceSelector, c.Into)
		return takes || !known || c.Into == ""
	})
}

// madePeer is made for a peer.
func (v *view) madePeer(home string, peer *networkingv1.NetworkPolicyPeer) bool {
	return v.operatedPeer(home, peer) || v.labelledLater(peer.PodSelector)
}

// gatewayPeer reports whether a peer is for a namespace with a Gateway, of which
// controllers make pods that carry what clients ask for.
func (v *view) gatewayPeer(home string, peer *networkingv1.NetworkPolicyPeer) bool {
	return slices.ContainsFunc(v.set.Objects.Customs, func(c manifest.Custom) bool {
		if peer.NamespaceSelector == nil {
			return c.Kind == "Gateway" && c.Into == home
		}
		takes, known := v.matchesNamespace(peer.NamespaceSelector, c.Into)
		return c.Kind == "Gateway" && (takes || !known)
	})
}

// admitsUnseen reports whether an ingress rule may let in what the input does not
// show: addresses, everyone, or pods of namespaces that nothing of it is in.
func (v *view) admitsUnseen(r rule) bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		switch {
		case peer.IPBlock != nil, v.labelledLater(peer.PodSelector), v.gatewayPeer(r.policy.Namespace, &peer):
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
