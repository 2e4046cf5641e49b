package compile

import (
	"encoding/json"
	"fmt"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// peerMatches: no peers at all means everybody. Otherwise each selector is a
// set of pod addresses, and all ipBlocks together are one set of ranges. A rule
// whose peers are all without address matches nobody, which is not everybody.
func (c *compiler) peerMatches(p *networkingv1.NetworkPolicy, d direction, peers []networkingv1.NetworkPolicyPeer, field string) ([]ruleset.Rule, *fieldError) {
	if len(peers) == 0 {
		return []ruleset.Rule{{}}, nil
	}
	var sets []string
	var blocks []addrRange
	for i, peer := range peers {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case peer.IPBlock != nil && (peer.PodSelector != nil || peer.NamespaceSelector != nil):
			return nil, &fieldError{at, "ipBlock together with a selector"}
		case peer.IPBlock != nil:
			ranges, err := c.block(p, peer.IPBlock, at+".ipBlock")
			if err != nil {
				return nil, err
			}
			blocks = append(blocks, ranges...)
		case peer.PodSelector != nil || peer.NamespaceSelector != nil:
			set, err := c.selectorSet(p.Namespace, peer, at)
			if err != nil {
				return nil, err
			}
			sets = append(sets, set)
		default:
			return nil, &fieldError{at, "a peer with neither selector nor ipBlock"}
		}
	}
	if set := c.blockSet(blocks); set != "" {
		sets = append(sets, set)
	}
	var matches []ruleset.Rule
	for _, set := range sets {
		if d == ingress {
			matches = append(matches, ruleset.Rule{SrcSet: set})
		} else {
			matches = append(matches, ruleset.Rule{DstSet: set})
		}
	}
	return matches, nil
}

// selectorSet returns the set with the addresses of the pods a peer means. The
// set is named after the selectors, so policies that mean the same share it.
//
// From the specification: podSelector alone means pods of the policy's own
// namespace; namespaceSelector alone means all pods of those namespaces; both
// mean the pods podSelector matches in the namespaces namespaceSelector matches.
// An empty selector matches all; a missing one is not a selector.
func (c *compiler) selectorSet(own string, peer networkingv1.NetworkPolicyPeer, field string) (string, *fieldError) {
	pods, err := readSelector(peer.PodSelector, field+".podSelector")
	if err != nil {
		return "", err
	}
	spaces, err := readSelector(peer.NamespaceSelector, field+".namespaceSelector")
	if err != nil {
		return "", err
	}
	where := []any{own, nil}
	if peer.NamespaceSelector != nil {
		where = []any{"", peer.NamespaceSelector}
	}
	text, bad := json.Marshal(append(where, peer.PodSelector))
	if bad != nil {
		return "", &fieldError{field, bad.Error()}
	}
	set := "peer-" + hash(string(text))
	if _, done := c.out.Ruleset.Sets[set]; done {
		return set, nil
	}
	elements := map[ruleset.Element]bool{}
	add := func(namespace string) {
		for _, p := range c.peers[namespace] {
			if pods.Matches(labels.Set(p.labels)) {
				elements[ruleset.Element{Addr: p.addr}] = true
			}
		}
	}
	if peer.NamespaceSelector == nil {
		add(own)
	} else {
		for _, ns := range c.in.Namespaces {
			if spaces.Matches(labels.Set(ns.Labels)) {
				add(ns.Name)
			}
		}
	}
	c.out.Ruleset.Sets[set] = ruleset.Set{Kind: ruleset.Addrs, Elements: elements}
	return set, nil
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
