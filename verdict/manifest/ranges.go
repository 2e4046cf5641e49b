package manifest

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// maxPrefixes bounds the networks of policies that are held against the range of
// pods. With more, the addresses of pods stay unknown.
const maxPrefixes = 512

// StandIns are addresses of the ranges, one for each part of them that the policies
// tell from the others: a pod somewhere in the ranges is judged like one of them.
func (s *Set) StandIns(ranges []netip.Prefix) []netip.Addr {
	prefixes := s.prefixes()
	if len(prefixes) > maxPrefixes {
		return nil
	}
	var all []netip.Addr
	seen := map[string]bool{}
	for _, r := range ranges {
		tried := []netip.Addr{r.Addr()}
		for _, p := range prefixes {
			tried = append(tried, p.Addr(), last(p).Next())
		}
		for _, a := range tried {
			if !a.IsValid() || !r.Contains(a) {
				continue
			}
			inside := []byte(fmt.Sprint(a.Is4()))
			for _, p := range prefixes {
				inside = append(inside, fmt.Sprint(p.Contains(a))[0])
			}
			if !seen[string(inside)] {
				seen[string(inside)] = true
				all = append(all, a)
			}
		}
	}
	return all
}

// last is the highest address of a network.
func last(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 1 << (7 - bit%8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// prefixes are the networks that policies name, each once.
func (s *Set) prefixes() []netip.Prefix {
	var all []netip.Prefix
	add := func(text string) {
		if p, err := netip.ParsePrefix(text); err == nil {
			if p.Addr().Is4In6() && p.Bits() >= 96 {
				p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
			}
			all = append(all, p.Masked())
		}
	}
	peers := func(peers []networkingv1.NetworkPolicyPeer) {
		for _, peer := range peers {
			if peer.IPBlock != nil {
				add(peer.IPBlock.CIDR)
				for _, e := range peer.IPBlock.Except {
					add(e)
				}
			}
		}
	}
	for _, spec := range s.specs() {
		for _, r := range spec.Ingress {
			peers(r.From)
		}
		for _, r := range spec.Egress {
			peers(r.To)
		}
	}
	for _, p := range s.Objects.ClusterPolicies {
		for _, r := range p.Object.Spec.Egress {
			for _, to := range r.To {
				for _, n := range to.Networks {
					add(string(n))
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(all)
}

// specs are those of all NetworkPolicies, candidates included.
func (s *Set) specs() []*networkingv1.NetworkPolicySpec {
	var all []*networkingv1.NetworkPolicySpec
	for _, p := range s.Objects.NetworkPolicies {
		all = append(all, &p.Object.Spec)
	}
	for _, r := range s.Objects.Rollouts {
		for _, p := range r.Candidates {
			all = append(all, &p.Object.Spec)
		}
	}
	return all
}

// state puts into the set what somebody states about the cluster besides: the
// addresses that pods without one may have, and labels of namespaces.
func (s *Set) state(o Options) {
	s.PodCIDRs, s.ServiceCIDRs = o.PodCIDRs, o.ServiceCIDRs
	if len(o.PodCIDRs) == 0 {
		return
	}
	standIns := s.StandIns(o.PodCIDRs)
	for i := range s.Pods {
		if p := &s.Pods[i]; len(p.IPs) == 0 && !p.HostNetwork {
			p.StandIns = standIns
		}
	}
}

// within reports whether one of the networks holds the address.
func within(all []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// IsPods and IsServices report whether the address is in the stated range of pods,
// or of Services.
func (s *Set) IsPods(ip netip.Addr) bool { return within(s.PodCIDRs, ip) }

// IsServices: see IsPods.
func (s *Set) IsServices(ip netip.Addr) bool { return within(s.ServiceCIDRs, ip) }

// NodeAt is the node that has the address: one that lists it, or that of a pod whose
// status says so; empty: none that is known.
func (s *Set) NodeAt(ip netip.Addr) string {
	has := func(text string) bool {
		own, err := netip.ParseAddr(text)
		return err == nil && own.Unmap() == ip
	}
	for _, n := range s.World.Nodes {
		if slices.ContainsFunc(n.IPs, func(own netip.Addr) bool { return own.Unmap() == ip }) {
			return n.Name
		}
	}
	for _, p := range s.Objects.Pods {
		status, node := &p.Object.Status, p.Object.Spec.NodeName
		if node != "" && (has(status.HostIP) || slices.ContainsFunc(status.HostIPs, func(h corev1.HostIP) bool { return has(h.IP) }) ||
			p.Object.Spec.HostNetwork && slices.ContainsFunc(addresses(*status), has)) {
			return node
		}
	}
	return ""
}

// isAt reports whether a pod has the address as its own, and not its node's.
func isAt(ip netip.Addr) func(verdict.Pod) bool {
	return func(p verdict.Pod) bool {
		return !p.HostNetwork && slices.ContainsFunc(p.IPs, func(own netip.Addr) bool { return own.Unmap() == ip })
	}
}
