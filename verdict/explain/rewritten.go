package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// rewrites reports whether nodes may put an address of theirs in the place of the
// client's: a Service that is open to clients outside, on every node.
func rewrites(s *corev1.ServiceSpec) bool {
	open := s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer || len(s.ExternalIPs) > 0
	return open && cmp.Or(s.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster) == corev1.ServiceExternalTrafficPolicyCluster
}

// judge decides about the connection. Where its source may be rewritten on the way,
// that is certain only if it is the same for every address.
func (x *explainer) judge(c verdict.Conn) verdict.Verdict {
	v := x.snapshot.Judge(c)
	if x.through == "" || c.To.Pod == nil {
		return v
	}
	if x.alike(c, v.Decision) {
		return v
	}
	why := fmt.Sprintf("nodes may put an address of their own in the place of %s, because externalTrafficPolicy of Service %s is Cluster, and the policies do not treat every address alike", c.From, x.through)
	v.Decision, v.Reason = verdict.Unknown, why
	v.Ingress = verdict.Side{Policy: v.Ingress.Policy, Rule: why, Reason: why}
	return v
}

// alike reports whether the decision is the same for every address of the source's
// family.
func (x *explainer) alike(c verdict.Conn, d verdict.Decision) bool {
	every := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if c.From.IP.Is6() {
		every = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	all := x.set.StandIns([]netip.Prefix{every})
	for _, n := range x.set.World.Nodes { // that peers of a ClusterNetworkPolicy may select
		for _, ip := range n.IPs {
			if every.Contains(ip) {
				all = append(all, ip)
			}
		}
	}
	return len(all) > 0 && !slices.ContainsFunc(all, func(ip netip.Addr) bool {
		c.From = verdict.End{IP: ip}
		return x.snapshot.Judge(c).Decision != d
	})
}

// stateSource says how to find out what the pod sees of the source.
func (x *explainer) stateSource() string {
	return fmt.Sprintf("Ask for the address of a node as well: --from ADDRESS --to NAMESPACE/POD. For pods to see the client's own address, set spec.externalTrafficPolicy of Service %s to Local; else allow the addresses of the nodes, too.", x.through)
}
