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
//
// Where nothing shows whether the cluster runs it, that is worth one remark and no
// correction, however many policies there are.
func dnsNodeLocal(v *view) []draft {
	var drafts []draft
	seen := map[string]bool{}
	var perhaps []rule
	for _, l := range v.dns {
		foreseen := l.resolver.assumed && l.resolver.Namespace != openShiftDNS // which has its own
		if !v.cache && !foreseen || l.udp != verdict.Allow || v.cacheAllowed(l.class) {
			continue
		}
		r, ok := v.dnsRuleOf(l, l.resolver.udp, udp)
		if !ok || len(r.peers) == 0 || seen[r.policy.Key()] {
			continue
		}
		seen[r.policy.Key()] = true
		if v.cache {
			drafts = append(drafts, nodeLocalDraft(r, l))
		} else {
			perhaps = append(perhaps, r)
		}
	}
	if len(perhaps) > 0 {
		drafts = append(drafts, perhapsNodeLocal(perhaps))
	}
	return drafts
}

func perhapsNodeLocal(rules []rule) draft {
	var policies []string
	for _, r := range rules {
		policies = append(policies, r.policy.Key())
	}
	return draft{
		policy: rules[0].policy, at: rules[0].at("to"), severity: Info,
		what: fmt.Sprintf("A selector allows DNS in %s, and no selector matches NodeLocal DNSCache.", some(policies)),
		why:  fmt.Sprintf("It shares its node's network and listens on %s (kubernetes#70555); it is the default on GKE from 1.34.1. The input does not show whether this cluster runs it.", nodeLocal),
		fix:  fmt.Sprintf("If it does, add ipBlock %s/32 beside the selectors.", nodeLocal),
	}
}

func nodeLocalDraft(r rule, l lookups) draft {
	d := draft{policy: r.policy, at: r.at("to"), severity: Warning}
	d.what = "DNS is allowed by a selector, which cannot match NodeLocal DNSCache."
	d.why = fmt.Sprintf("This cluster runs it: it shares its node's network and listens on %s, so only an ipBlock matches it (kubernetes#70555).", nodeLocal)
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
