package literal

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func (w world) anyPeer(ns string, peers []networkingv1.NetworkPolicyPeer, c run, d networkingv1.PolicyType) answer {
	_, peer := c.ends(d)
	a := never
	for _, p := range peers {
		if p.IPBlock == nil {
			a = either(a, w.matchesPod(ns, p, peer))
		} else if p.PodSelector != nil || p.NamespaceSelector != nil {
			a = either(a, unsure("a peer has ipBlock and a selector, which is invalid"))
		} else {
			a = either(a, matchesBlock(*p.IPBlock, peer.addrs))
		}
	}
	return a
}

// matchesPod reads a peer that selects pods. podSelector alone selects in the
// policy's own namespace, namespaceSelector alone all pods of the namespaces it
// selects, both together the pods that match in the namespaces that match. A
// nil selector is absent, an empty one matches everything.
func (w world) matchesPod(ns string, p networkingv1.NetworkPolicyPeer, peer party) answer {
	if p.PodSelector == nil && p.NamespaceSelector == nil {
		return unsure("a peer without ipBlock and selectors is invalid")
	}
	if peer.Pod == nil {
		return never
	}
	a := known(peer.Pod.Namespace == ns)
	if p.NamespaceSelector != nil {
		a = w.matchesNamespace(p.NamespaceSelector, peer.Pod.Namespace)
	}
	if p.PodSelector != nil {
		a = both(a, matchesLabels(p.PodSelector, peer.Pod.Labels))
	}
	if peer.Pod.HostNetwork && a.is == yes {
		return unsure("%s is a host-network pod: implementations may see its node's address instead of its labels", peer)
	}
	return a
}

func (w world) matchesNamespace(sel *metav1.LabelSelector, name string) answer {
	if len(sel.MatchLabels)+len(sel.MatchExpressions) == 0 {
		return always
	}
	own, ok := w.Namespaces[name]
	if !ok {
		return unsure("the labels of namespace %s are not known", name)
	}
	all := map[string]string{corev1.LabelMetadataName: name}
	maps.Copy(all, own)
	return matchesLabels(sel, all)
}

func matchesLabels(sel *metav1.LabelSelector, set map[string]string) answer {
	s, err := metav1.LabelSelectorAsSelector(sel)
	if err != nil {
		return unsure("a selector is invalid: %v", err)
	}
	return known(s.Matches(labels.Set(set)))
}

// matchesBlock reads an ipBlock: inside cidr and inside no except. Addresses of
// pods count like any other. An except takes away from its own block only.
func matchesBlock(b networkingv1.IPBlock, addrs []netip.Addr) answer {
	cidr, err := parseCIDR(b.CIDR)
	if err != nil {
		return unsure("%v", err)
	}
	var except []netip.Prefix
	for _, e := range b.Except {
		p, err := parseCIDR(e)
		if err != nil {
			return unsure("%v", err)
		}
		except = append(except, p)
	}
	inside := 0
	for _, a := range addrs {
		excluded := slices.ContainsFunc(except, func(p netip.Prefix) bool { return p.Contains(a) })
		if cidr.Contains(a) && !excluded {
			inside++
		}
	}
	switch {
	case len(addrs) == 0:
		return unsure("ipBlock %s: the address of the peer is not known", b.CIDR)
	case inside == 0, inside == len(addrs):
		return known(inside > 0)
	}
	return unsure("ipBlock %s: it covers only some of the addresses %v", b.CIDR, addrs)
}

func parseCIDR(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("ipBlock %q is invalid: %w", s, err)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 { // old objects may hold the mapped form
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}
