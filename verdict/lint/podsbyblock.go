package lint

import (
	"fmt"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// podsByBlock finds rules for addresses that are the only way to pods. Some network
// plugins never match pods by address.
func podsByBlock(v *view) []draft { return append(v.dnsByBlock(), v.rangesOfPods()...) }

// podRanges are the networks that distributions give to pods by default: kubeadm
// with Flannel and kind, k3s and RKE2, OpenShift. Calico's, 192.168.0.0/16, is the
// network of many offices and homes too.
var podRanges = []netip.Prefix{
	netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("10.128.0.0/14"),
}

// rangesOfPods finds rules for the addresses of pods, by their range.
func (v *view) rangesOfPods() []draft {
	var drafts []draft
	v.blocks(func(b block) {
		pods := v.forPods(b)
		if wide(b.CIDR) || b.cidr.IsSingleIP() || !pods && !v.maybeForPods(b) || v.besidePods(b.rule) {
			return
		}
		d := draft{policy: b.rule.policy, at: b.at("cidr"), severity: Warning}
		d.what = fmt.Sprintf("%s is a range of pods, which some network plugins do not match by address.", b.CIDR)
		if !pods {
			d.severity = Info
			d.what = fmt.Sprintf("If pods have addresses of %s, as some distributions give them, some network plugins do not match them by address.", b.CIDR)
		}
		d.why = "An ipBlock is meant for addresses outside of the cluster (NetworkPolicy specification). Cilium, and data planes that are built on it (such as GKE Dataplane V2), never match a pod by its address: there, the rule lets no pod through."
		d.fix = "Select the pods by their labels and namespaces, beside the block or in place of it."
		drafts = append(drafts, d)
	})
	return drafts
}

// forPods reports whether the block is one of pods: it has the address of one, or
// is within a range that is stated to be pods'.
func (v *view) forPods(b block) bool {
	if slices.ContainsFunc(v.set.PodCIDRs, func(r netip.Prefix) bool { return r.Overlaps(b.cidr) }) {
		return true
	}
	return slices.ContainsFunc(v.set.Pods, func(p verdict.Pod) bool { return !p.HostNetwork && slices.ContainsFunc(p.IPs, b.has) })
}

// maybeForPods reports whether nothing states the range of pods, and the block has
// just the one that a distribution gives them.
func (v *view) maybeForPods(b block) bool {
	return len(v.set.PodCIDRs) == 0 && slices.Contains(podRanges, b.cidr)
}

// besidePods reports whether the policy has selectors for the same ports, for
// plugins that need them.
func (v *view) besidePods(r rule) bool {
	return slices.ContainsFunc(r.policy.rules(r.direction), func(own rule) bool {
		return overlap(own.ports, r.ports) && (len(own.peers) == 0 || slices.ContainsFunc(own.peers, func(peer networkingv1.NetworkPolicyPeer) bool { return peer.IPBlock == nil }))
	})
}

// dnsByBlock finds pods that may look up names only by a rule for addresses.
func (v *view) dnsByBlock() []draft {
	var drafts []draft
	found := map[*policy][]*class{}
	for _, l := range v.dns {
		if l.udp == verdict.Deny || v.locally(l.class) || v.resolvesAsPods(l.class) {
			continue
		}
		r, i := v.resolvesByBlock(l)
		if i < 0 {
			continue
		}
		p := r.policy
		if found[p] = append(found[p], l.class); len(found[p]) > 1 {
			continue
		}
		d := draft{policy: p, at: r.at("to", i, "ipBlock"), severity: Warning}
		d.why = "An ipBlock is meant for addresses outside of the cluster (NetworkPolicy specification). Cilium, and data planes that are built on it (such as GKE Dataplane V2), never match a pod by its address: there, these pods can look up no name"
		d.fix = "Add a rule that selects the DNS pods"
		if v.anyEgress(l.class, selectsPods) {
			d.why, d.fix = d.why+", and call only those pods that a rule selects.", d.fix+"."
		} else {
			d.why, d.fix = d.why+" and call no other pod.", d.fix+", and one for each group of pods that these pods call."
		}
		d.edit = add(at("spec", "egress"), v.dnsRule(p, l.resolver))
		drafts = append(drafts, d)
	}
	for i := range drafts {
		drafts[i].what = fmt.Sprintf("%s may reach the cluster's DNS only by an ipBlock, which some network plugins do not match with pods.", names(found[drafts[i].policy]))
	}
	return drafts
}

// selectsPods reports whether the rule takes pods by selectors, or everyone.
func selectsPods(r rule) bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool { return p.IPBlock == nil })
}

// resolvesAsPods reports whether some rule lets the class reach DNS pods by
// selectors, or by having no peers. Labels that are not known count as matching.
func (v *view) resolvesAsPods(c *class) bool {
	return v.anyEgress(c, func(r rule) bool {
		return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
			return slices.ContainsFunc(v.dnsPods, func(dns resolver) bool {
				takes, known := v.takes(r.policy.Namespace, &peer, dns.class)
				return peer.IPBlock == nil && (takes || !known) && (lists(r.ports, dns.udp, udp) || covers(r.ports, dns.class, port{dns.udp, udp}))
			})
		})
	})
}

// resolvesByBlock finds the rule and the peer by which the class reaches its resolver.
func (v *view) resolvesByBlock(l lookups) (r rule, index int) {
	index = -1
	v.anyEgress(l.class, func(one rule) bool {
		if !lists(one.ports, l.resolver.udp, udp) {
			return false
		}
		r, index = one, slices.IndexFunc(one.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
			if peer.IPBlock == nil {
				return false
			}
			cidr, err := netip.ParsePrefix(peer.IPBlock.CIDR)
			return err == nil && (wide(peer.IPBlock.CIDR) || slices.ContainsFunc(l.resolver.IPs, cidr.Contains))
		})
		return index >= 0
	})
	return r, index
}

// anyEgress reports whether an egress rule of a policy that isolates the class is so.
func (v *view) anyEgress(c *class, is func(rule) bool) bool {
	return slices.ContainsFunc(v.isolated[c][egress], func(p *policy) bool { return slices.ContainsFunc(p.rules(egress), is) })
}
