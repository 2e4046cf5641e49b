package lint

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// apiPorts are where API servers listen behind the Service default/kubernetes.
var apiPorts = []int32{443, 6443, 8443}

// apiServers are the values by which its pods, or its Service, are labelled.
var apiServers = []string{"kube-apiserver", "openshift-kube-apiserver", "apiserver"}

// apiServerBySelector finds egress rules that are meant for the API server and
// select pods: it runs on the network of its node, or outside of the cluster.
func apiServerBySelector(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			if r.direction != egress || len(r.ports) == 0 || !namesAPIPort(r) {
				continue
			}
			for i := range r.peers {
				meant := v.meansAPIServer(r, i)
				if meant == "" || v.reachesAPIServer(p) {
					continue
				}
				drafts = append(drafts, draft{
					policy: p, at: r.at("to", i), severity: Warning,
					what: "The peer selects no pod that is the API server.",
					why:  meant + " Selectors match pods that have a network of their own; the API server is on its node's network or outside of the cluster (NetworkPolicy specification, hostNetwork pods).",
					fix:  v.apiServerFix(),
				})
			}
		}
	}
	return drafts
}

func (v *view) apiServerFix() string {
	for i := range v.set.Services {
		if s := &v.set.Services[i]; s.Namespace == corev1.NamespaceDefault && s.Name == "kubernetes" {
			if shown := v.endpointsText(s); shown != "" {
				return "If the API server is meant, allow an ipBlock with its endpoints: " + shown + "."
			}
		}
	}
	return "If the API server is meant, allow an ipBlock with the addresses of its endpoints (kubectl get endpointslices -n default kubernetes), on the port that they show."
}

func namesAPIPort(r rule) bool {
	return slices.ContainsFunc(r.ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port != nil && slices.Contains(apiPorts, p.Port.IntVal) && protocolOf(p) == tcp
	})
}

// meansAPIServer says why a peer can only be meant for the API server; empty
// where it is not so.
func (v *view) meansAPIServer(r rule, i int) string {
	peer := &r.peers[i]
	if peer.IPBlock != nil {
		return ""
	}
	if peer.PodSelector != nil {
		for _, key := range []string{"component", "app", "k8s-app", "app.kubernetes.io/name"} {
			if slices.Contains(apiServers, peer.PodSelector.MatchLabels[key]) {
				return key + ": " + peer.PodSelector.MatchLabels[key] + " is a label of the API server's Service or of its pods, which share the network of their node."
			}
		}
	}
	if peer.NamespaceSelector == nil || peer.PodSelector != nil && !everything(peer.PodSelector) {
		return ""
	}
	if everything(peer.NamespaceSelector) {
		if !lists(r.ports, 6443, tcp) || !lists(r.ports, 443, tcp) && slices.ContainsFunc(v.classes, func(c *class) bool { return listens(c, port{6443, tcp}) }) {
			return "" // with 443 it is for the API server, whoever else listens on 6443
		}
		return "The rule lists 6443, where API servers listen, and its peer takes every pod."
	}
	if v.meansSystem(r, peer) {
		return "Its peer takes every pod of kube-system, where the pods of API servers are, and none of the input's listens there on what the rule lists."
	}
	home, known := v.matchesNamespace(peer.NamespaceSelector, corev1.NamespaceDefault)
	if !home || !known || slices.ContainsFunc(v.classes, func(c *class) bool { ok, _ := v.takes(r.policy.Namespace, peer, c); return ok }) {
		return ""
	}
	return "The Service of the API server is in namespace default, and no pod of the input is."
}

// meansSystem reports whether a peer that takes every pod of some namespaces is for
// kube-system and for nothing but the API server: its ports are those, no pod of the
// input listens on them there, and the policy's pods have an account for it.
func (v *view) meansSystem(r rule, peer *networkingv1.NetworkPolicyPeer) bool {
	home, known := v.matchesNamespace(peer.NamespaceSelector, metav1.NamespaceSystem)
	if !home || !known || !r.onlyAPIPorts() {
		return false
	}
	if !lists(r.ports, 6443, tcp) && !slices.ContainsFunc(v.selected(r.policy), (*class).callsAPIServer) {
		return false
	}
	return !slices.ContainsFunc(v.classes, func(c *class) bool {
		takes, _ := v.takes(r.policy.Namespace, peer, c)
		return takes && !c.HostNetwork && slices.ContainsFunc(apiPorts, func(n int32) bool { return lists(r.ports, n, tcp) && listens(c, port{n, tcp}) })
	})
}

// onlyAPIPorts reports whether the rule lists ports of API servers and no others.
func (r rule) onlyAPIPorts() bool {
	return len(r.ports) > 0 && !slices.ContainsFunc(r.ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || p.EndPort != nil || protocolOf(p) != tcp || !slices.Contains(apiPorts, p.Port.IntVal)
	})
}

// onlyForAPIServer reports whether the rule selects pods and can only be meant for
// the API server.
func (v *view) onlyForAPIServer(r rule) bool {
	if !r.onlyPods() || !r.onlyAPIPorts() {
		return false
	}
	for i := range r.peers {
		if home := r.peers[i].NamespaceSelector; home != nil && v.unlabelled(home, metav1.NamespaceSystem) {
			continue // by another label for the same
		}
		if v.meansAPIServer(r, i) == "" {
			return false
		}
	}
	return true
}

// unlabelled reports whether a selector is for the namespace's name in a label of
// which the input does not show whether the namespace has it.
func (v *view) unlabelled(s *metav1.LabelSelector, namespace string) bool {
	_, known := v.matchesNamespace(s, namespace)
	return !known && len(s.MatchExpressions) == 0 && len(s.MatchLabels) == 1 && slices.Contains(slices.Collect(maps.Values(s.MatchLabels)), namespace)
}

// callsAPIServer reports whether the class has an account of its own, which it needs
// for nothing in the cluster but the API server.
func (c *class) callsAPIServer() bool {
	if c.workload == nil || c.workload.Template == nil {
		return false
	}
	automount := c.workload.Template.Spec.AutomountServiceAccountToken
	return c.account() != "default" && (automount == nil || *automount)
}

// reachesAPIServer reports whether another rule lets the policy's pods reach
// addresses on one of the API server's ports. Which addresses it has is not known.
func (v *view) reachesAPIServer(p *policy) bool {
	open := func(p *policy) bool {
		return slices.ContainsFunc(p.rules(egress), func(r rule) bool {
			return !r.onlyPods() && slices.ContainsFunc(apiPorts, func(n int32) bool { return lists(r.ports, n, tcp) })
		})
	}
	selected := v.selected(p)
	return open(p) || len(selected) > 0 && !slices.ContainsFunc(selected, func(c *class) bool {
		return !slices.ContainsFunc(v.isolated[c][egress], open)
	})
}
