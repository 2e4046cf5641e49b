package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// endpointPort finds egress rules with the port of a Service whose endpoints are no
// pods and listen on another port, such as default/kubernetes: policies see the
// connection after the translation.
func endpointPort(v *view) []draft {
	var drafts []draft
	for i := range v.set.Services {
		s := &v.set.Services[i]
		for _, sp := range s.Ports {
			for _, b := range v.set.Backends(s, sp) {
				if b.Pod >= 0 || b.Port == sp.Port {
					continue
				}
				drafts = append(drafts, v.endpointDrafts(s, sp, b)...)
			}
		}
	}
	return unique(drafts)
}

func (v *view) endpointDrafts(s *manifest.Service, sp manifest.ServicePort, b manifest.Backend) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, r := range p.rules(egress) {
			at := slices.IndexFunc(r.ports, func(q networkingv1.NetworkPolicyPort) bool {
				return q.Port != nil && q.Port.IntVal == sp.Port && q.EndPort == nil && protocolOf(q) == sp.Protocol
			})
			if !p.Affects(egress) || at < 0 || !hasAddress(r, b.IP) || v.reachesEndpoint(p, b, sp) {
				continue
			}
			d := draft{policy: p, at: r.at("ports", at, "port"), severity: Warning}
			if len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool { return peer.IPBlock != nil && wide(peer.IPBlock.CIDR) }) {
				d.severity = Info // the world may be meant, and not this Service
			}
			name := s.Namespace + "/" + s.Name
			d.what = fmt.Sprintf("The rule lists %d, the port of Service %s, whose endpoints listen on %d.", sp.Port, name, b.Port)
			d.why = fmt.Sprintf("Most network plugins look at a connection after the Service's translation, to %s on %d/%s here, and no rule of the policy allows that.", b.IP, b.Port, sp.Protocol)
			d.fix = fmt.Sprintf("If the pods call the Service, allow %d/%s to ipBlock %s.", b.Port, sp.Protocol, netip.PrefixFrom(b.IP, b.IP.BitLen()))
			if name == "default/kubernetes" {
				d.fix = strings.Replace(d.fix, "the Service", "the API server", 1)
			}
			drafts = append(drafts, d)
			break
		}
	}
	return drafts
}

// hasAddress reports whether the rule is for the address: for everyone, or for a
// block with it.
func hasAddress(r rule, ip netip.Addr) bool {
	if len(r.peers) == 0 {
		return true
	}
	for i, peer := range r.peers {
		if peer.IPBlock == nil {
			continue
		}
		if b, ok := blockOf(r, i); ok && b.has(ip) {
			return true
		}
	}
	return false
}

// reachesEndpoint reports whether a rule of the policy, or of others that isolate
// all its pods, allows the endpoint's address and port.
func (v *view) reachesEndpoint(p *policy, b manifest.Backend, sp manifest.ServicePort) bool {
	allows := func(q *policy) bool {
		return slices.ContainsFunc(q.rules(egress), func(r rule) bool { return lists(r.ports, b.Port, sp.Protocol) && hasAddress(r, b.IP) })
	}
	selected := v.selected(p)
	return allows(p) || len(selected) > 0 && !slices.ContainsFunc(selected, func(c *class) bool { return !slices.ContainsFunc(v.isolated[c][egress], allows) })
}

// endpointsText lists where a Service without pods leads; empty where the input
// does not show it.
func (v *view) endpointsText(s *manifest.Service) string {
	var all []string
	for _, sp := range s.Ports {
		for _, b := range v.set.Backends(s, sp) {
			if b.Pod < 0 && len(all) < 3 {
				all = append(all, fmt.Sprintf("%s on %d/%s", netip.PrefixFrom(b.IP, b.IP.BitLen()), b.Port, sp.Protocol))
			}
		}
	}
	return strings.Join(all, ", ")
}
