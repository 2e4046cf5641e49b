package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

const (
	metadata4 = "169.254.169.254/32" // AWS, Azure and Google: credentials of the node
	metadata6 = "fd00:ec2::254/128"  // AWS
)

// block is an ipBlock of a rule, with where it stands.
type block struct {
	rule   rule
	index  int
	cidr   netip.Prefix
	except []netip.Prefix
	*networkingv1.IPBlock
}

func (b block) at(steps ...any) path {
	return b.rule.at(b.rule.peersKey(), b.index, "ipBlock").plus(steps...)
}

func (b block) has(a netip.Addr) bool {
	return b.cidr.Contains(a) && !slices.ContainsFunc(b.except, func(p netip.Prefix) bool { return p.Contains(a) })
}

// blocks calls f with every ipBlock that has an effect and can be read.
func (v *view) blocks(f func(b block)) {
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			for i, peer := range r.peers {
				if peer.IPBlock == nil {
					continue
				}
				if b, ok := blockOf(r, i); ok {
					f(b)
				}
			}
		}
	}
}

// blockOf reads the ipBlock of a peer; false where it cannot be read.
func blockOf(r rule, i int) (block, bool) {
	b := block{rule: r, index: i, IPBlock: r.peers[i].IPBlock}
	var err error
	if b.cidr, err = netip.ParsePrefix(b.CIDR); err != nil {
		return block{}, false
	}
	for _, e := range b.Except {
		if prefix, err := netip.ParsePrefix(e); err == nil {
			b.except = append(b.except, prefix)
		}
	}
	return b, true
}

// linkLocals are link-local addresses that pods need in some clusters.
var linkLocals = []struct {
	address string
	port    port
	what    string
}{
	{nodeLocal, port{dnsPort, udp}, "NodeLocal DNSCache listens on 169.254.20.10"},
	{"169.254.170.23", port{80, tcp}, "EKS Pod Identity gives out credentials on 169.254.170.23"},
	{"169.254.169.254", port{dnsPort, udp}, "Google's Cloud DNS answers on 169.254.169.254 port 53"},
}

// linkLocal finds an except of all link-local addresses. Meant against the
// metadata service, it also cuts off others that pods need.
func linkLocal(v *view) []draft {
	var drafts []draft
	whole := netip.MustParsePrefix("169.254.0.0/16")
	v.blocks(func(b block) {
		i := slices.Index(b.Except, whole.String())
		if b.rule.direction != egress || i < 0 || !b.cidr.Contains(whole.Addr()) || len(v.selected(b.rule.policy)) == 0 {
			return
		}
		cut := v.linkLocalsCut(b)
		if len(cut) == 0 {
			return
		}
		drafts = append(drafts, draft{
			policy: b.rule.policy, at: b.at("except", i), severity: Warning,
			what: "Leaving out all of 169.254.0.0/16 cuts off more than the metadata service.",
			why:  strings.Join(cut, "; ") + ".",
			fix:  "Leave out 169.254.169.254/32 only; on GKE with Cloud DNS allow port 53 there in a rule of its own.",
			edit: set(b.at("except", i), text(metadata4)),
		})
	})
	return drafts
}

// linkLocalsCut says which link-local addresses the block's rule would let its
// pods reach without the except, and no other rule does.
func (v *view) linkLocalsCut(b block) []string {
	var cut []string
	for _, need := range linkLocals {
		if !lists(b.rule.ports, need.port.number, need.port.protocol) {
			continue
		}
		to := verdict.End{IP: netip.MustParseAddr(need.address)}
		if slices.ContainsFunc(v.selected(b.rule.policy), func(c *class) bool {
			from := c.Pod
			from.IPs = nil
			conn := verdict.Conn{From: verdict.End{Pod: &from}, To: to, Port: need.port.number, Protocol: need.port.protocol}
			return !c.HostNetwork && v.snapshot.Judge(conn).Egress.Decision == verdict.Deny
		}) {
			cut = append(cut, need.what)
		}
	}
	return cut
}

// metadataOpen finds egress to the world that includes the metadata service,
// which hands out the node's credentials over HTTP.
func metadataOpen(v *view) []draft {
	var drafts []draft
	v.blocks(func(b block) {
		exposed := metadata4
		if b.cidr.Addr().Is6() {
			exposed = metadata6
		}
		if b.rule.direction != egress || !wide(b.CIDR) || !b.has(netip.MustParsePrefix(exposed).Addr()) || !lists(b.rule.ports, 80, tcp) {
			return
		}
		drafts = append(drafts, draft{
			policy: b.rule.policy, at: b.at(), severity: Warning,
			what: fmt.Sprintf("%s on port 80 includes the cloud's metadata service, %s.", b.CIDR, strings.Split(exposed, "/")[0]),
			why:  fmt.Sprintf("On AWS, Azure and Google Cloud it gives the node's credentials to whoever asks; the rule is about %s.", selectedText(v, b.rule.policy)),
			fix:  "Leave the address out.",
			edit: add(b.at("except"), text(exposed)),
		})
	})
	return drafts
}

// serviceAddress finds egress to the address of a Service: policies see the
// connection after its translation to an endpoint, so the block never matches.
func serviceAddress(v *view) []draft {
	var drafts []draft
	v.blocks(func(b block) {
		if b.rule.direction != egress || wide(b.CIDR) {
			return
		}
		for i := range v.set.Services {
			s := &v.set.Services[i]
			if !slices.ContainsFunc(s.Addresses, b.has) || v.podsIn(b, s) || v.allowedAsPods(b.rule, s) {
				continue
			}
			if len(s.Pods) == 0 {
				if d, ok := v.podlessDraft(b, s); ok {
					drafts = append(drafts, d)
					return
				}
				continue
			}
			if v.cache && resolves(v.classOf(s)) || !b.cidr.IsSingleIP() && !v.addressed(s) && !v.forServices(b.cidr) {
				continue // the cache answers on that address; or the pods may be in the block
			}
			drafts = append(drafts, v.serviceDraft(b, s))
			return
		}
	})
	return drafts
}

// serviceRanges are the networks that distributions give to Services by default:
// kubeadm, k3s and RKE2, EKS (two), MicroK8s, OpenShift, GKE.
var serviceRanges = []netip.Prefix{
	netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("10.43.0.0/16"), netip.MustParsePrefix("10.100.0.0/16"),
	netip.MustParsePrefix("172.20.0.0/16"), netip.MustParsePrefix("10.152.183.0/24"), netip.MustParsePrefix("172.30.0.0/16"),
	netip.MustParsePrefix("34.118.224.0/20"),
}

// forServices reports whether a network lies in one that is stated to be Services',
// or commonly is.
func (v *view) forServices(cidr netip.Prefix) bool {
	return slices.ContainsFunc(slices.Concat(v.set.ServiceCIDRs, serviceRanges), func(r netip.Prefix) bool { return r.Bits() <= cidr.Bits() && r.Contains(cidr.Addr()) })
}

// podlessDraft is for a Service whose endpoints are no pods of the input, such as
// default/kubernetes. It is not one where the policy has other addresses as well,
// which may be those of the endpoints.
func (v *view) podlessDraft(b block, s *manifest.Service) (draft, bool) {
	if s.Selector != nil || !b.cidr.IsSingleIP() && !v.forServices(b.cidr) {
		return draft{}, false
	}
	endpoints := func(peer networkingv1.NetworkPolicyPeer) bool {
		return peer.IPBlock != nil && peer.IPBlock.CIDR != b.CIDR
	}
	for _, own := range b.rule.policy.rules(egress) {
		if overlap(own.ports, b.rule.ports) && (len(own.peers) == 0 || slices.ContainsFunc(own.peers, endpoints)) {
			return draft{}, false
		}
	}
	name := s.Namespace + "/" + s.Name
	fix := fmt.Sprintf("Write the addresses of its endpoints (kubectl get endpointslices -n %s -l kubernetes.io/service-name=%s) and the port that they show.", s.Namespace, s.Name)
	if shown := v.endpointsText(s); shown != "" {
		fix = fmt.Sprintf("Write the addresses of its endpoints: %s.", shown)
	}
	return draft{
		policy: b.rule.policy, at: b.at("cidr"), severity: Warning,
		what: fmt.Sprintf("%s is the address of Service %s, which most network plugins replace before policies look.", b.CIDR, name),
		why:  "The address is translated to that of an endpoint, and the rule does not match what comes out (NetworkPolicy specification: ipBlock is for addresses outside of the cluster).",
		fix:  fix,
	}, true
}

// overlap reports whether a port is, as it is written, in both lists; an empty
// list has every port.
func overlap(a, b []networkingv1.NetworkPolicyPort) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || p.Port.IntVal != 0 && lists(b, p.Port.IntVal, protocolOf(p))
	})
}

// podsIn reports whether the block covers a pod of the Service, or that may be.
func (v *view) podsIn(b block, s *manifest.Service) bool {
	return slices.ContainsFunc(s.Pods, func(i int) bool {
		return slices.ContainsFunc(v.set.Pods[i].IPs, b.has)
	})
}

// addressed reports whether the addresses of the Service's pods are known.
func (v *view) addressed(s *manifest.Service) bool {
	return !slices.ContainsFunc(s.Pods, func(i int) bool { return len(v.set.Pods[i].IPs) == 0 })
}

// allowedAsPods reports whether the policy lets its pods reach those of the
// Service in another way: the block then adds the address for plugins that need
// it, or for NodeLocal DNSCache.
func (v *view) allowedAsPods(r rule, s *manifest.Service) bool {
	for _, own := range r.policy.rules(egress) {
		for _, c := range v.targets(own) {
			if slices.Contains(c.services, s) {
				return true
			}
		}
	}
	return false
}

func (v *view) serviceDraft(b block, s *manifest.Service) draft {
	target := v.classOf(s)
	d := draft{policy: b.rule.policy, at: b.at("cidr"), severity: Error}
	if !b.cidr.IsSingleIP() || !slices.ContainsFunc(clusterIPs(s), b.has) {
		d.severity = Warning // a load balancer's address may lead out of the cluster first
	}
	d.what = fmt.Sprintf("%s is the address of Service %s/%s, which policies do not see.", b.CIDR, s.Namespace, s.Name)
	if !b.cidr.IsSingleIP() {
		d.what = fmt.Sprintf("%s covers the address of Service %s/%s and none of its pods'.", b.CIDR, s.Namespace, s.Name)
	}
	d.why = fmt.Sprintf("The address is translated to a pod's before policies look (NetworkPolicy specification: ipBlock is for addresses outside the cluster); the pods are those of %s.", target.name())
	d.fix = "Select the pods, on the ports that they listen on."
	var ports []port
	for _, sp := range s.Ports {
		if on, ok := sp.On(&target.Pod); ok && (lists(b.rule.ports, sp.Port, sp.Protocol) || lists(b.rule.ports, on, sp.Protocol)) {
			ports = append(ports, port{on, sp.Protocol})
		}
	}
	if len(ports) > 0 { // else the rule would be for every port
		peer := podsNode(b.rule.policy.Namespace, target.Namespace, s.Selector)
		d.edit = add(at("spec", "egress"), ruleNode("to", []*yaml.Node{peer}, ports...))
	}
	return d
}

func (v *view) classOf(s *manifest.Service) *class {
	for _, c := range v.classes {
		if slices.Contains(c.services, s) {
			return c
		}
	}
	return nil
}

// podAddress finds rules for the one address of a pod, which the next pod will
// not have.
func podAddress(v *view) []draft {
	var drafts []draft
	v.blocks(func(b block) {
		if !b.cidr.IsSingleIP() {
			return
		}
		for _, c := range v.classes {
			if c.HostNetwork || !slices.ContainsFunc(c.pods, func(i int) bool { return slices.Contains(v.set.Pods[i].IPs, b.cidr.Addr()) }) {
				continue
			}
			d := draft{
				policy: b.rule.policy, at: b.at("cidr"), severity: Warning,
				what: fmt.Sprintf("%s is the address of a pod of %s, which it loses when it is replaced.", b.CIDR, c.name()),
				why:  "Addresses of pods are short-lived (NetworkPolicy specification: ipBlock is for addresses outside the cluster).",
				fix:  "Select the pods by their labels.",
			}
			switch told := v.tell(c); {
			case len(told.Labels) == 0:
				d.fix = "Give the pods a label of their own, and select them by it."
			case len(told.Also) > 0:
				d.fix = fmt.Sprintf("Give the pods a label that tells them from %s, and select them by it.", names(v.classesOf(told.Also)))
			default:
				d.edit = set(b.rule.at(b.rule.peersKey(), b.index), podsNode(b.rule.policy.Namespace, c.Namespace, told.Labels))
			}
			drafts = append(drafts, d)
			return
		}
	})
	return drafts
}

// ipv6Twin finds rules for all of IPv4 and none of IPv6, for pods with both.
func ipv6Twin(v *view) []draft {
	var drafts []draft
	dual := slices.ContainsFunc(v.set.Pods, both) || slices.ContainsFunc(v.set.Services, func(s manifest.Service) bool {
		return s.Spec != nil && len(s.Spec.IPFamilies) == 2
	})
	v.blocks(func(b block) {
		if !dual || b.cidr.Addr().Is6() || b.cidr.Bits() != 0 || !slices.ContainsFunc(v.selected(b.rule.policy), func(c *class) bool { return len(c.IPs) == 0 || both(c.Pod) }) {
			return
		}
		for _, p := range b.rule.peers {
			if p.IPBlock != nil && strings.Contains(p.IPBlock.CIDR, ":") {
				return
			}
		}
		var except []string
		if !b.has(netip.MustParsePrefix(metadata4).Addr()) {
			except = append(except, metadata6)
		}
		d := draft{policy: b.rule.policy, at: b.at("cidr"), severity: Warning}
		d.what = "The rule is for all of IPv4 and nothing of IPv6, and the pods have both."
		d.why = "0.0.0.0/0 contains no IPv6 address; clients that prefer IPv6 (RFC 6724) wait for it to fail, or fail."
		d.fix = "Add ::/0, with what it is to leave out."
		d.edit = add(b.rule.at(b.rule.peersKey()), blockNode("::/0", except...))
		drafts = append(drafts, d)
	})
	return drafts
}

// both reports whether the pod has addresses of both families.
func both(p verdict.Pod) bool {
	four := slices.ContainsFunc(p.IPs, func(a netip.Addr) bool { return a.Unmap().Is4() })
	return four && slices.ContainsFunc(p.IPs, func(a netip.Addr) bool { return !a.Unmap().Is4() })
}
