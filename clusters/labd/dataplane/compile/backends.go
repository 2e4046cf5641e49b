package compile

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
)

// backends are the endpoints behind one port of a Service in one family. id is
// the port's, in names of chains and sets.
type backends struct {
	*serviceParts
	family           ruleset.Family
	proto            ruleset.Proto
	id               string
	everywhere, here []netip.AddrPort
}

// inside is where packets for the ClusterIP go.
func (b *backends) inside() destination {
	if p := b.svc.Spec.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
		if len(b.here) == 0 {
			return destination{dropped: len(b.everywhere) > 0}
		}
		return destination{chain: b.chain("local", b.here), targets: b.here}
	}
	if len(b.everywhere) == 0 {
		return destination{}
	}
	return destination{chain: b.chain("all", b.everywhere), targets: b.everywhere}
}

// outside is where packets for all other addresses go. With externalTrafficPolicy
// Cluster they seem to come from this node from then on. With Local, a client keeps
// its address and meets this node's endpoints only, but what this node and its own
// pods send goes anywhere, as if it had gone out to a load balancer and come back.
func (b *backends) outside() destination {
	if len(b.everywhere) == 0 {
		return destination{}
	}
	all := ruleset.Rule{Action: ruleset.Jump, Target: b.chain("all", b.everywhere)}
	if b.svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		chain := "outside-" + b.id
		b.fragment.chains[chain] = ruleset.Chain{Rules: []ruleset.Rule{{Mark: masquerade}, all}}
		return destination{chain: chain, targets: b.everywhere}
	}
	chain := "outside-local-" + b.id
	var rules []ruleset.Rule
	for _, node := range b.NodeIPs {
		if ruleset.FamilyOf(node) != b.family {
			continue
		}
		rules = append(rules,
			ruleset.Rule{Family: b.family, SrcIn: b.podRange(b.family), Action: ruleset.Jump, Target: all.Target},
			ruleset.Rule{Family: b.family, Src: node, Action: ruleset.Jump, Target: all.Target})
	}
	if b.family == ruleset.IPv4 {
		rules = append(rules,
			ruleset.Rule{Family: b.family, SrcIn: loopback, Mark: masquerade},
			ruleset.Rule{Family: b.family, SrcIn: loopback, Action: ruleset.Jump, Target: all.Target})
	}
	if len(b.here) > 0 {
		rules = append(rules, ruleset.Rule{Action: ruleset.Jump, Target: b.chain("local", b.here)})
	}
	b.fragment.chains[chain] = ruleset.Chain{Rules: rules}
	return destination{chain: chain, dropped: len(b.here) == 0, targets: b.everywhere}
}

// chain makes the chain that picks one of the targets and returns its name.
func (b *backends) chain(which string, targets []netip.AddrPort) string {
	name := "service-" + which + "-" + b.id
	if stay := b.affinity(); stay > 0 {
		b.sticky(name, targets)
		return name
	}
	elements := map[ruleset.Element]bool{}
	for i, t := range targets {
		elements[ruleset.Element{Index: uint32(i), Addr: t.Addr(), Port: t.Port()}] = true
	}
	set := "targets-" + which + "-" + b.id
	b.fragment.sets[set] = ruleset.Set{Kind: ruleset.IndexTargets.For(b.family), Elements: elements}
	b.fragment.chains[name] = ruleset.Chain{Rules: []ruleset.Rule{
		{Family: b.family, Action: ruleset.Balance, Target: set, Modulo: uint32(len(targets))}}}
	return name
}

// sticky is a chain that sends a client to the endpoint that remembers it, and a
// new client to any. Each connection renews the memory, which is kept by endpoint
// and so goes with it.
func (b *backends) sticky(name string, targets []netip.AddrPort) {
	stay := b.affinity()
	var rules []ruleset.Rule
	elements := map[ruleset.Element]bool{}
	for i, t := range targets {
		id := b.id + "-" + hash(t.String())
		chain, memory := "endpoint-"+id, "clients-"+id+"-"+strings.TrimSuffix(fmt.Sprint(stay.Seconds()), ".0")
		b.fragment.sets[memory] = ruleset.Set{Kind: ruleset.Remembered.For(b.family), Timeout: stay}
		b.fragment.chains[chain] = ruleset.Chain{Rules: []ruleset.Rule{
			{Family: b.family, Remember: memory},
			{Family: b.family, Action: ruleset.DNAT, To: t.Addr(), ToPort: t.Port()},
		}}
		rules = append(rules, ruleset.Rule{Family: b.family, SrcSet: memory, Action: ruleset.Jump, Target: chain})
		elements[ruleset.Element{Index: uint32(i), Chain: chain}] = true
	}
	set := "chains-" + name
	b.fragment.sets[set] = ruleset.Set{Kind: ruleset.IndexChains, Elements: elements}
	rules = append(rules, ruleset.Rule{Action: ruleset.BalanceChains, Target: set, Modulo: uint32(len(targets))})
	b.fragment.chains[name] = ruleset.Chain{Rules: rules}
}
