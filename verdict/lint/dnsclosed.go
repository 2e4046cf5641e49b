package lint

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// dnsClosed finds a policy of the cluster's DNS pods that keeps out pods which look
// up names. Nothing shows it where those pods are.
func dnsClosed(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		var shut []*class
		for _, c := range v.deaf {
			if v.isolated[c][ingress][0] == p {
				shut = append(shut, c)
			}
		}
		if len(shut) > 0 {
			drafts = append(drafts, v.dnsClosedDraft(p, shut))
		}
	}
	return drafts
}

func (v *view) dnsClosedDraft(p *policy, shut []*class) draft {
	r := v.resolver(shut[0])
	ports := []port{{r.udp, udp}, {r.tcp, tcp}}
	d := draft{policy: p, at: at("spec", word(ingress)), severity: Error}
	if len(p.rules(ingress)) == 0 {
		d.at = at("spec", "podSelector")
	}
	if slices.ContainsFunc(shut, func(c *class) bool { return v.lets(c, port{r.udp, udp}, rule.hasBlock) }) {
		d.severity = Warning // caches on the nodes may be who asks
	}
	d.what = fmt.Sprintf("%s cannot look up names: no rule lets them reach the DNS pods %s on %s.", names(v.unheard), names(shut), portsText(ports))
	d.why = fmt.Sprintf("%s. These pods answer for the whole cluster; every call by name fails, which looks like a dead target.", v.isolators(shut[0], ingress))
	everybody := object("namespaceSelector", flow(object()))
	d.fix = fmt.Sprintf("Allow %s from every namespace %s. Pods on their node's network and caches on the nodes need an ipBlock of the nodes besides.", portsText(ports), d.grant(v, ingress, shut, ruleNode("from", []*yaml.Node{everybody}, ports...), ports))
	return d
}

// hasBlock reports whether a peer is one of addresses.
func (r rule) hasBlock() bool {
	return slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool { return p.IPBlock != nil })
}

// findDeaf finds the DNS pods that do not let in all who may ask them, and who
// those are. Pods that one of the resolvers hears are not among them.
func (v *view) findDeaf() (deaf, unheard []*class) {
	answering := slices.DeleteFunc(slices.Clone(v.dnsPods), func(r resolver) bool {
		return r.assumed || r.Namespace != "kube-system" && r.Namespace != openShiftDNS
	})
	if len(answering) == 0 || v.cache {
		return nil, nil
	}
	for _, c := range v.classes {
		if c.HostNetwork || !usesClusterDNS(c) || resolves(c) || v.locally(c) {
			continue
		}
		if v.keptOut(c, answering) {
			unheard = append(unheard, c)
		}
	}
	if len(unheard) == 0 {
		return nil, nil
	}
	for _, r := range answering {
		deaf = append(deaf, r.class)
	}
	return deaf, unheard
}

// keptOut reports whether NetworkPolicies of all the resolvers deny what the class
// may ask at least one of them.
func (v *view) keptOut(c *class, answering []resolver) bool {
	asks := false
	for _, r := range answering {
		on := conn(c, r.class, port{r.udp, udp})
		judged := v.snapshot.Judge(on)
		if len(v.isolated[r.class][ingress]) == 0 || judged.Ingress.Decision != verdict.Deny || v.overruling(ingress, on) != "" {
			return false
		}
		asks = asks || judged.Egress.Decision != verdict.Deny
	}
	return asks
}
