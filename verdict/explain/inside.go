package explain

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
	"github.com/tightrope-dev/tightrope/verdict/matrix"
)

// shared is the address space of carriers, which some clusters give to pods (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// mayBeInside reports whether a private address that nothing in the input has may be
// one of a pod or of a Service all the same. It is certainly outside where both
// ranges are stated, where it is a node's, and where the input has all pods with
// their addresses, as a cluster shows them.
func mayBeInside(set *manifest.Set, ip netip.Addr) bool {
	if !ip.IsPrivate() && !shared.Contains(ip) || len(set.PodCIDRs) > 0 && len(set.ServiceCIDRs) > 0 {
		return false
	}
	if set.NodeAt(ip) != "" {
		return false
	}
	return len(set.Pods) == 0 || slices.ContainsFunc(set.Pods, func(p verdict.Pod) bool { return len(p.IPs) == 0 })
}

// wide is how many bits a block has, at most, that is not written for the one
// address or network that somebody asks for.
const wide = 16

// byChance reports whether a rule lets the sources out to the address that was not
// written for it: a rule for everyone, or for a wide block.
func (q *Question) byChance(set *manifest.Set, port matrix.Port) bool {
	x := &explainer{set: set}
	return slices.ContainsFunc(q.From, func(from matrix.End) bool {
		return from.Pod != nil && slices.ContainsFunc(x.isolating(*from.Pod, networkingv1.PolicyTypeEgress), func(p verdict.Policy) bool {
			return slices.ContainsFunc(p.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
				return mayList(r.Ports, port) && (len(r.To) == 0 || slices.ContainsFunc(r.To, func(peer networkingv1.NetworkPolicyPeer) bool {
					return peer.IPBlock != nil && inWide(peer.IPBlock, q.To[0].IP)
				}))
			})
		})
	})
}

func inWide(b *networkingv1.IPBlock, ip netip.Addr) bool {
	in := func(cidr string) bool {
		p, err := netip.ParsePrefix(cidr)
		return err == nil && p.Contains(ip)
	}
	p, err := netip.ParsePrefix(b.CIDR)
	return err == nil && p.Bits() < wide && in(b.CIDR) && !slices.ContainsFunc(b.Except, in)
}

// mayList reports whether a rule's ports take the number, as far as numbers tell.
func mayList(ports []networkingv1.NetworkPolicyPort, port matrix.Port) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		switch {
		case p.Protocol != nil && *p.Protocol != port.Protocol, p.Protocol == nil && port.Protocol != "TCP":
			return false
		case p.Port == nil, p.Port.StrVal != "":
			return true
		case p.EndPort != nil:
			return p.Port.IntVal <= port.Number && port.Number <= *p.EndPort
		}
		return p.Port.IntVal == port.Number
	})
}
