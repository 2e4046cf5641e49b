package lint

import (
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// hostNetworkPeer finds peers that select only pods which share their node's
// network: their packets have a node's address, which most plugins match with no
// selector.
func hostNetworkPeer(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			for i := range r.peers {
				all := v.taken(p.Namespace, &r.peers[i])
				if len(all) == 0 || slices.ContainsFunc(all, func(c *class) bool { return !c.HostNetwork }) || v.otherwise(r, all) {
					continue
				}
				d := draft{policy: p, at: r.at(r.peersKey(), i), severity: Warning}
				d.what = fmt.Sprintf("The peer selects only pods that share their node's network: %s.", names(all))
				d.why = "Their connections have the address of a node, so most network plugins match them with no selector (NetworkPolicy specification, hostNetwork pods)."
				d.fix = "Allow an ipBlock with the addresses of the nodes."
				drafts = append(drafts, d)
			}
		}
	}
	return drafts
}

// taken lists the classes that a peer certainly takes.
func (v *view) taken(home string, peer *networkingv1.NetworkPolicyPeer) []*class {
	var all []*class
	for _, c := range v.classes {
		if ok, known := v.takes(home, peer, c); ok && known {
			all = append(all, c)
		}
	}
	return all
}

// otherwise reports whether the policy has addresses for the same ports, or the
// pods are a DNS cache, which has a rule of its own.
func (v *view) otherwise(r rule, all []*class) bool {
	if slices.ContainsFunc(all, resolves) || v.cache && lists(r.ports, dnsPort, udp) {
		return true
	}
	return slices.ContainsFunc(r.policy.rules(r.direction), func(own rule) bool { return !own.onlyPods() && overlap(own.ports, r.ports) })
}
