package lint

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// clientAddress finds ingress rules for the addresses of clients outside of the
// cluster that come in through a Service which may hide those addresses.
func clientAddress(v *view) []draft {
	var drafts []draft
	v.blocks(func(b block) {
		if b.rule.direction != ingress || b.cidr.Bits() == 0 || v.ofCluster(b) {
			return
		}
		for _, c := range v.selected(b.rule.policy) {
			s := hiding(b.rule, c)
			if s == nil || v.admitsNodes(c, b) {
				continue
			}
			d := draft{policy: b.rule.policy, at: b.at("cidr"), severity: Warning}
			if private(b.cidr) {
				d.severity = Info // it may be the nodes' own range
			}
			d.what = fmt.Sprintf("Clients at %s that come through Service %s/%s may have a node's address.", b.CIDR, s.Namespace, s.Name)
			d.why = fmt.Sprintf("The Service is of type %s with externalTrafficPolicy Cluster: the node that a connection arrives at may replace its source address with the node's address, before policies look at it. The rule then does not match (kubernetes.io, Using Source IP).", s.Spec.Type)
			d.fix = "Set externalTrafficPolicy: Local on the Service, which keeps the client's address, or allow the nodes' addresses too."
			drafts = append(drafts, d)
			return
		}
	})
	return drafts
}

// hiding is a Service through which connections to a port of the rule may arrive
// at the class with a node's address.
func hiding(r rule, c *class) *manifest.Service {
	for _, s := range c.services {
		if s.Spec == nil || s.Spec.Type != corev1.ServiceTypeNodePort && s.Spec.Type != corev1.ServiceTypeLoadBalancer ||
			s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
			continue
		}
		if slices.ContainsFunc(s.Ports, func(p manifest.ServicePort) bool {
			on, ok := p.On(&c.Pod)
			return ok && covers(r.ports, c, port{on, p.Protocol})
		}) {
			return s
		}
	}
	return nil
}

// ofCluster reports whether the block is about addresses of nodes or pods of the input.
func (v *view) ofCluster(b block) bool {
	for _, n := range v.world.Nodes {
		if slices.ContainsFunc(n.IPs, b.has) {
			return true
		}
	}
	return slices.ContainsFunc(v.set.Pods, func(p verdict.Pod) bool { return slices.ContainsFunc(p.IPs, b.has) })
}

// admitsNodes reports whether another rule may let the nodes' addresses in: one
// for everyone, or for a private range beside the block that is looked at.
func (v *view) admitsNodes(c *class, b block) bool {
	for _, p := range v.isolated[c][ingress] {
		for _, r := range p.rules(ingress) {
			if len(r.peers) == 0 && overlap(r.ports, b.rule.ports) {
				return true
			}
			for _, peer := range r.peers {
				if peer.IPBlock == nil || peer.IPBlock.CIDR == b.CIDR {
					continue
				}
				if other, err := netip.ParsePrefix(peer.IPBlock.CIDR); err == nil && (other.Bits() == 0 || private(other) || private(b.cidr)) {
					return true
				}
			}
		}
	}
	return false
}

// private reports whether a network is one that clusters commonly give to nodes
// (RFC 1918, RFC 6598, RFC 4193).
func private(p netip.Prefix) bool {
	return p.Addr().IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(p.Addr())
}

// clientsForgotten finds pods behind a Service for clients outside of the cluster
// that let in pods only: such a client is no pod, so no selector matches it.
func clientsForgotten(v *view) []draft {
	var drafts []draft
	for _, c := range v.classes {
		isolating := v.isolated[c][ingress]
		if len(isolating) == 0 || c.HostNetwork || v.othersDecide(c.Namespace) ||
			!slices.ContainsFunc(isolating, func(p *policy) bool { return len(p.rules(ingress)) > 0 }) { // without, see ingress-closed
			continue
		}
		for _, s := range c.services {
			if s.Spec == nil || s.Spec.Type != corev1.ServiceTypeLoadBalancer {
				continue
			}
			if closed := v.closedToClients(c, s); len(closed) > 0 {
				d := draft{policy: isolating[0], at: at("spec", "ingress"), severity: Warning}
				d.what = fmt.Sprintf("Clients outside of the cluster cannot reach %s on %s, where Service %s/%s leads them.", c.name(), portsText(closed), s.Namespace, s.Name)
				d.why = v.isolators(c, ingress) + ", and no rule for everyone or for addresses allows the port. The Service is of type LoadBalancer; its clients are no pods, so no selector matches them."
				d.fix = fmt.Sprintf("Allow %s from an ipBlock with the addresses of the clients, and of the nodes unless externalTrafficPolicy is Local.", portsText(closed))
				drafts = append(drafts, d)
				break
			}
		}
	}
	return drafts
}

// closedToClients are the ports of the class behind the Service, if no rule lets
// addresses reach any of them.
func (v *view) closedToClients(c *class, s *manifest.Service) []port {
	var closed []port
	for _, sp := range s.Ports {
		on, ok := sp.On(&c.Pod)
		if !ok {
			continue
		}
		if v.letsOutsideIn(c, port{on, sp.Protocol}) {
			return nil
		}
		closed = append(closed, port{on, sp.Protocol})
	}
	return closed
}
