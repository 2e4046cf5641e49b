package lint

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// portProtocol finds ports that a rule lists with one protocol and that its pods
// have with another only. A port without a protocol is TCP.
func portProtocol(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			targets := v.targets(r)
			for i, q := range r.ports {
				if q.Port == nil || q.Port.IntVal == 0 || q.EndPort != nil || q.Port.IntVal == dnsPort {
					continue
				}
				other, c := otherProtocol(targets, q.Port.IntVal, protocolOf(q))
				if c == nil || lists(r.ports, q.Port.IntVal, other) || v.opened(r, c, port{q.Port.IntVal, other}) {
					continue
				}
				d := draft{policy: p, at: r.at("ports", i), severity: Warning}
				if r.definite() && leads(c, port{q.Port.IntVal, other}) {
					d.severity = Error // else the pods may listen on what they do not declare
				}
				d.what = fmt.Sprintf("The rule lists %d/%s, and %s listens on %d/%s.", q.Port.IntVal, protocolOf(q), c.name(), q.Port.IntVal, other)
				d.why = "A port counts with its protocol, and one without is TCP (NetworkPolicyPort.protocol)."
				d.fix = fmt.Sprintf("Write protocol: %s.", other)
				d.edit = set(r.at("ports", i, "protocol"), text(string(other)))
				drafts = append(drafts, d)
			}
		}
	}
	return drafts
}

// leads reports whether a Service leads to the port of the class.
func leads(c *class, p port) bool { return slices.Contains(servedPorts(c), p) }

// portLeftOut finds items of ports without a port beside others of the same protocol,
// which are pointless then. Alone it says every port of a protocol, and may be meant.
func portLeftOut(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			for i, q := range r.ports {
				beside := slices.ContainsFunc(r.ports, func(o networkingv1.NetworkPolicyPort) bool {
					return o.Port != nil && protocolOf(o) == protocolOf(q)
				})
				if q.Port != nil || !beside {
					continue
				}
				drafts = append(drafts, draft{
					policy: p, at: r.at("ports", i), severity: Warning,
					what: fmt.Sprintf("The item has no port and so opens every %s port, beside others that the rule lists.", protocolOf(q)),
					why:  fmt.Sprintf("Without a port an item matches all of its protocol (NetworkPolicyPort.port); items are alternatives, so the ports of the others restrict nothing. The rule is about %s.", selectedText(v, p)),
					fix:  "Write the port that is meant, or delete the item; if every port is meant, delete the others.",
				})
			}
		}
	}
	return drafts
}

// otherProtocol is the protocol with which the targets declare the port, where
// none declares it with that of the rule and no Service leads to it.
func otherProtocol(targets []*class, number int32, protocol corev1.Protocol) (other corev1.Protocol, of *class) {
	for _, c := range targets {
		if listens(c, port{number, protocol}) {
			return "", nil
		}
		i := slices.IndexFunc(c.Ports, func(p verdict.Port) bool { return p.Number == number })
		if i >= 0 && of == nil {
			other, of = portOf(c.Ports[i]).protocol, c
		}
	}
	return other, of
}
