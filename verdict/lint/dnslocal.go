package lint

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"

	"github.com/tightrope-dev/tightrope/verdict"
)

// dnsNodeLocal finds pods that may reach DNS by labels only, which cannot match
// NodeLocal DNSCache: it shares its node's network and listens on a link-local
// address, and on the DNS Service's address, which it takes over on every node.
func dnsNodeLocal(v *view) []draft {
	runs := v.cache
	var drafts []draft
	seen := map[string]bool{}
	for _, l := range v.dns {
		if !runs && !l.resolver.assumed || l.udp != verdict.Allow || v.cacheAllowed(l.class) {
			continue
		}
		r, ok := v.dnsRuleOf(l, l.resolver.udp, udp)
		if !ok || len(r.peers) == 0 || seen[r.policy.Key()] {
			continue
		}
		seen[r.policy.Key()] = true
		drafts = append(drafts, nodeLocalDraft(r, l, runs))
	}
	return drafts
}

func nodeLocalDraft(r rule, l lookups, runs bool) draft {
	d := draft{policy: r.policy, at: r.at("to"), severity: Info}
	d.what = "DNS is allowed by a selector, which cannot match NodeLocal DNSCache."
	d.why = fmt.Sprintf("It shares its node's network and listens on %s, so only an ipBlock matches it (kubernetes#70555); it is the default on GKE from 1.34.1. What is checked does not show whether this cluster runs it.", nodeLocal)
	if runs {
		d.severity = Warning
		d.why = fmt.Sprintf("This cluster runs it: it shares its node's network and listens on %s, so only an ipBlock matches it (kubernetes#70555).", nodeLocal)
	}
	d.fix = fmt.Sprintf("Add ipBlock %s/32 beside the selector.", nodeLocal)
	if len(l.resolver.clusters) > 0 {
		d.fix = fmt.Sprintf("Add ipBlocks for %s and for the DNS Service's address, which it answers too.", nodeLocal)
	}
	peers := nodeLocalPeers(l.resolver)
	if lists(r.ports, dnsPort, udp) {
		var changes []edit
		for _, p := range peers {
			changes = append(changes, add(r.at("to"), p))
		}
		d.edit = edits(changes...)
	} else {
		d.edit = add(at("spec", "egress"), ruleNode("to", peers, port{dnsPort, udp}, port{dnsPort, tcp}))
	}
	return d
}

// cacheAllowed reports whether the class may reach NodeLocal DNSCache, or a link
// local resolver that some cluster has in its place.
func (v *view) cacheAllowed(c *class) bool {
	from := c.Pod
	from.IPs = nil
	conn := verdict.Conn{From: verdict.End{Pod: &from}, To: verdict.End{IP: netip.MustParseAddr(nodeLocal)}, Port: dnsPort, Protocol: udp}
	return v.snapshot.Judge(conn).Egress.Decision != verdict.Deny
}

func nodeLocalPeers(r resolver) []*yaml.Node {
	peers := []*yaml.Node{blockNode(nodeLocal + "/32")}
	for _, a := range r.clusters {
		peers = append(peers, blockNode(netip.PrefixFrom(a, a.BitLen()).String()))
	}
	return peers
}
