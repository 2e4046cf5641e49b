package literal

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/verdict"
)

// subject says whether the policy applies to the pod: "Exactly one field must be
// set. Note that host-networked pods are not included in subject selection."
func (w world) subject(s v1alpha2.ClusterNetworkPolicySubject, p verdict.Pod) answer {
	switch {
	case p.HostNetwork:
		return never
	case (s.Namespaces == nil) == (s.Pods == nil):
		return unsure("a subject needs either namespaces or pods")
	case s.Namespaces != nil:
		return w.matchesNamespace(s.Namespaces, p.Namespace)
	}
	return w.namespacedPod(*s.Pods, p)
}

// namespacedPod "allows the user to select a given set of pod(s) in selected
// namespace(s)": both selectors, of which an empty one selects everything.
func (w world) namespacedPod(s v1alpha2.NamespacedPod, p verdict.Pod) answer {
	return both(w.matchesNamespace(&s.NamespaceSelector, p.Namespace), matchesLabels(&s.PodSelector, p.Labels))
}

// anyClusterPeer: "If any element matches". The list "must be defined and
// contain at least one item".
func (w world) anyClusterPeer(peers []v1alpha2.ClusterNetworkPolicyEgressPeer, c run, d networkingv1.PolicyType) answer {
	if len(peers) == 0 {
		return unsure("a rule without peers is invalid")
	}
	_, peer := c.ends(d)
	a := never
	for _, p := range peers {
		a = either(a, w.matchesClusterPeer(p, peer))
	}
	return a
}

// fieldsOf counts the fields that are set: "Exactly one of the fields must be
// set for a given peer."
func fieldsOf(p v1alpha2.ClusterNetworkPolicyEgressPeer) int {
	n := 0
	for _, set := range []bool{p.Namespaces != nil, p.Pods != nil, p.Nodes != nil, len(p.Networks) > 0, len(p.DomainNames) > 0} {
		if set {
			n++
		}
	}
	return n
}

func (w world) matchesClusterPeer(p v1alpha2.ClusterNetworkPolicyEgressPeer, peer party) answer {
	// "Note that host-networked pods are not included in this type of peer."
	pod := peer.Pod != nil && !peer.Pod.HostNetwork
	switch {
	case fieldsOf(p) != 1:
		return unsure("a peer has %d fields instead of one, which is invalid", fieldsOf(p))
	case p.Namespaces != nil && pod:
		return w.matchesNamespace(p.Namespaces, peer.Pod.Namespace)
	case p.Pods != nil && pod:
		return w.namespacedPod(*p.Pods, *peer.Pod)
	case p.Nodes != nil:
		return w.matchesNode(p.Nodes, peer)
	case p.Networks != nil:
		return matchesNetworks(p.Networks, peer)
	case p.DomainNames != nil && peer.Pod == nil:
		return unsure("%s may have the name %s", peer, p.DomainNames[0])
	}
	return never
}

// matchesNetworks: "cluster-internal traffic will be checked against the rule as
// well".
func matchesNetworks(all []v1alpha2.CIDR, peer party) answer {
	a := never
	for _, cidr := range all {
		a = either(a, matchesBlock(networkingv1.IPBlock{CIDR: string(cidr)}, peer.addrs))
	}
	return a
}

// matchesNode: "It selects the nodeIPs as the peer type by matching on the IPs
// present in the node.Status.Addresses field of the node." A pod on the network
// of a node has the node's addresses, whether they are stated or not.
func (w world) matchesNode(sel *metav1.LabelSelector, peer party) answer {
	host := peer.Pod != nil && peer.Pod.HostNetwork
	for _, n := range w.Nodes {
		if host && n.Name == peer.Pod.Node {
			return matchesLabels(sel, n.Labels)
		}
	}
	if len(peer.addrs) == 0 {
		if peer.Pod != nil && !host {
			return never // an ordinary pod has an address of its own
		}
		return unsure("the address of %s is not known, so it may be a node's", peer)
	}
	first := w.hasNodeAddress(sel, peer, 0)
	for i := range peer.addrs {
		if a := w.hasNodeAddress(sel, peer, i); a.is != first.is {
			return unsure("only some addresses of %s are those of the selected nodes", peer)
		}
	}
	return first
}

func (w world) hasNodeAddress(sel *metav1.LabelSelector, peer party, i int) answer {
	a, isNode, hidden := never, false, len(w.Nodes) == 0
	for _, n := range w.Nodes {
		matches := matchesLabels(sel, n.Labels)
		if ips := addresses(verdict.End{Pod: &verdict.Pod{IPs: n.IPs}}); slices.Contains(ips, peer.addrs[i]) {
			a, isNode = either(a, matches), true
		} else if len(ips) == 0 && matches.is != no {
			hidden = true
		}
	}
	switch {
	case isNode, peer.Pod != nil && !peer.Pod.HostNetwork:
		return a
	case peer.Pod != nil:
		return unsure("the node of %s is not known", peer)
	case hidden:
		return unsure("%s may be a node's address: not those of all nodes are known", peer)
	}
	return never
}
