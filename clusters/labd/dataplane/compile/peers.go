package compile

import (
	"encoding/json"
	"fmt"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// peerMatches: no peers at all means everybody. Otherwise each selector is a
// list of pod addresses, and all ipBlocks together are one set of ranges. A rule
// whose peers are all without address matches nobody, which is not everybody.
func (c *Compiler) peerMatches(f *fragment, p *networkingv1.NetworkPolicy, d direction, peers []networkingv1.NetworkPolicyPeer, field string) ([]ruleset.Rule, *fieldError) {
	if len(peers) == 0 {
		return []ruleset.Rule{{}}, nil
	}
	var matches []ruleset.Rule
	from := func(set string, v ruleset.Family) {
		if d == ingress {
			matches = append(matches, ruleset.Rule{Family: v, SrcSet: set})
		} else {
			matches = append(matches, ruleset.Rule{Family: v, DstSet: set})
		}
	}
	var blocks []addrRange
	for i, peer := range peers {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case peer.IPBlock != nil && (peer.PodSelector != nil || peer.NamespaceSelector != nil):
			return nil, &fieldError{at, "ipBlock together with a selector"}
		case peer.IPBlock != nil:
			ranges, err := c.block(f, p, peer.IPBlock, at+".ipBlock")
			if err != nil {
				return nil, err
			}
			blocks = append(blocks, ranges...)
		case peer.PodSelector != nil || peer.NamespaceSelector != nil:
			l, err := selectorList(p.Namespace, peer, at)
			if err != nil {
				return nil, err
			}
			f.lists = append(f.lists, l)
			for _, v := range c.families() {
				from(named(l.name, v), v)
			}
		default:
			return nil, &fieldError{at, "a peer with neither selector nor ipBlock"}
		}
	}
	for _, v := range c.families() {
		if set := f.blockSet(blocks, v); set != "" {
			from(set, v)
		}
	}
	return matches, nil
}

// selectorList returns the list of the pods a peer means.
//
// From the specification: podSelector alone means pods of the policy's own
// namespace; namespaceSelector alone means all pods of those namespaces; both
// mean the pods podSelector matches in the namespaces namespaceSelector matches.
// An empty selector matches all; a missing one is not a selector.
func selectorList(own string, peer networkingv1.NetworkPolicyPeer, field string) (*list, *fieldError) {
	pods, err := readSelector(peer.PodSelector, field+".podSelector")
	if err != nil {
		return nil, err
	}
	spaces, err := readSelector(peer.NamespaceSelector, field+".namespaceSelector")
	if err != nil {
		return nil, err
	}
	where := []any{own, nil}
	if peer.NamespaceSelector != nil {
		where = []any{"", peer.NamespaceSelector}
	}
	text, bad := json.Marshal(append(where, peer.PodSelector))
	if bad != nil {
		return nil, &fieldError{field, bad.Error()}
	}
	l := &list{name: "peer-" + hash(string(text)), kind: ruleset.Addrs, own: own,
		entries: func(p *corev1.Pod) []ruleset.Element {
			if pods.Matches(labels.Set(p.Labels)) {
				return make([]ruleset.Element, 1)
			}
			return nil
		}}
	if peer.NamespaceSelector != nil {
		l.namespaces = spaces
	}
	return l, nil
}

// readSelector reads a selector that was written; one that was not matches all,
// because the other half of the peer then decides.
func readSelector(s *metav1.LabelSelector, field string) (labels.Selector, *fieldError) {
	if s == nil {
		return labels.Everything(), nil
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, &fieldError{field, err.Error()}
	}
	return sel, nil
}
