package lint

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// lookups is what a class can ask of the cluster's DNS.
type lookups struct {
	class    *class
	resolver resolver
	udp, tcp verdict.Decision
	wrong    bool // the Service's port is allowed, and the pods listen on another one
}

// worth orders resolvers: the one that a class reaches best is the one it uses.
func (l lookups) worth() int {
	switch {
	case l.udp != verdict.Deny && l.tcp != verdict.Deny:
		return 3
	case l.udp != verdict.Deny || l.tcp != verdict.Deny:
		return 2
	case l.wrong:
		return 1
	}
	return 0
}

// askAll works out what every isolated class can ask.
func (v *view) askAll() []lookups {
	var answers []lookups
	s := verdict.Compile(v.namingDNS(), nil)
	for _, c := range v.classes {
		if len(v.isolated[c][egress]) == 0 || c.HostNetwork || !usesClusterDNS(c) {
			continue
		}
		best := v.lookups(s, c, v.dnsPods[0])
		for _, r := range v.dnsPods[1:] {
			if l := v.lookups(s, c, r); l.worth() > best.worth() {
				best = l
			}
		}
		answers = append(answers, best)
	}
	return answers
}

// namingDNS is the world with the namespaces that clusters commonly have DNS in.
func (v *view) namingDNS() verdict.World {
	world := v.world
	world.Namespaces = map[string]map[string]string{"kube-system": nil, openShiftDNS: nil}
	maps.Copy(world.Namespaces, v.world.Namespaces)
	return world
}

func (v *view) lookups(s *verdict.Snapshot, c *class, r resolver) lookups {
	l := lookups{class: c, resolver: r, udp: v.ask(s, c, r, r.udp, udp), tcp: v.ask(s, c, r, r.tcp, tcp)}
	l.wrong = r.udp != dnsPort && v.ask(s, c, r, dnsPort, udp) == verdict.Allow || r.tcp != dnsPort && v.ask(s, c, r, dnsPort, tcp) == verdict.Allow
	return l
}

// usesClusterDNS is false for pods that say otherwise (dnsPolicy Default is the
// node's resolver, None one of their own).
func usesClusterDNS(c *class) bool {
	if c.workload == nil || c.workload.Template == nil {
		return true
	}
	policy := c.workload.Template.Spec.DNSPolicy
	return policy != corev1.DNSDefault && policy != corev1.DNSNone
}

// dnsForgotten finds pods that may go somewhere and may not look up where that is.
func dnsForgotten(v *view) []draft {
	var drafts []draft
	for _, group := range v.blamed(egress, v.dns, func(l lookups) bool { return l.worth() == 0 && !v.locally(l.class) }) {
		p, l := group.policy, group.lookups[0]
		d := draft{policy: p, at: at("spec", "egress"), severity: v.needsNames(p, group.classes())}
		d.what = fmt.Sprintf("%s may connect out and may not look up names: no rule allows port %d to the cluster's DNS.", names(group.classes()), l.resolver.udp)
		d.why = fmt.Sprintf("%s, and %s; every call by name fails, which looks like a dead target.", v.isolators(l.class, egress), l.resolver.describe())
		d.fix = "Allow UDP and TCP to the DNS pods in " + p.Key() + "."
		if others := v.silent(p); len(others) > 0 {
			d.fix += fmt.Sprintf(" The rule is for %s too, which use no cluster DNS by default.", names(others))
		}
		if r := v.unproven(p); r != nil && l.resolver.assumed {
			d.severity = Warning
			d.at = r.at("to")
			d.what = fmt.Sprintf("%s may look up names only if DNS pods and their namespace have labels that nothing here shows.", names(group.classes()))
			d.fix = "Name the namespace by " + corev1.LabelMetadataName + ", which the API server sets, and the pods by k8s-app: kube-dns; or add the cluster's DNS pods to what is checked."
		}
		d.edit, d.adds = add(at("spec", "egress"), v.dnsRule(p, l.resolver)), true
		if by := v.overruled(l, udp); by != "" {
			d.overruledBy(by, group.classes())
		}
		drafts = append(drafts, d)
	}
	return drafts
}

// overruledBy says that a ClusterNetworkPolicy cuts the lookups, which no edit of a
// NetworkPolicy mends.
func (d *draft) overruledBy(policy string, classes []*class) {
	d.severity, d.edit = min(d.severity, Warning), nil
	d.what = fmt.Sprintf("%s may not look up names: ClusterNetworkPolicy %s denies it.", names(classes), policy)
	d.why = "A ClusterNetworkPolicy of tier Admin decides before all NetworkPolicies, so no rule of theirs lets the lookups through; every call by name fails, which looks like a dead target."
	d.fix = fmt.Sprintf("Accept UDP and TCP to the DNS pods in a rule of ClusterNetworkPolicy %s before the one that denies, or take these pods out of its subject.", policy)
}

// silent are the classes that the policy selects and that ask no cluster DNS.
func (v *view) silent(p *policy) []*class {
	return slices.DeleteFunc(v.selected(p), func(c *class) bool { return c.HostNetwork || usesClusterDNS(c) })
}

// needsNames is an Error where some rule leads to pods or to the world, which
// programs reach by name; a few fixed addresses need no DNS, and neither does the API
// server, whose address pods find in their environment. A program that has an account
// for the API server may learn addresses from it; of that one, only a name that it is
// told proves that it looks up any.
func (v *view) needsNames(p *policy, classes []*class) Severity {
	least := Info
	for _, c := range classes {
		for _, q := range v.isolated[c][egress] {
			for _, r := range q.rules(egress) {
				if r.onlyPort(6443) || v.onlyForAPIServer(r) {
					continue
				}
				least = max(least, Warning)
				if (!c.callsAPIServer() || v.toldNames(c)) && (len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
					return peer.IPBlock == nil || wide(peer.IPBlock.CIDR)
				})) {
					return Error
				}
			}
		}
	}
	return least
}

// toldNames reports whether the class is told to call something by a name.
func (v *view) toldNames(c *class) bool {
	return slices.ContainsFunc(v.toldToCall(c), func(t target) bool {
		_, err := netip.ParseAddr(t.host)
		return err != nil
	})
}

// onlyPort reports whether the rule lists that one port and no other.
func (r rule) onlyPort(number int32) bool {
	return len(r.ports) > 0 && !slices.ContainsFunc(r.ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || p.EndPort != nil || p.Port.IntVal != number
	})
}

// wide reports whether a network is too large for a list of known addresses.
func wide(cidr string) bool {
	p, err := netip.ParsePrefix(cidr)
	return err == nil && p.Bits() <= 8
}

// locally reports whether a rule names a resolver on the node, by its link-local
// address, or another one by its own address.
func (v *view) locally(c *class) bool {
	for _, p := range v.isolated[c][egress] {
		for _, r := range p.rules(egress) {
			if len(r.ports) == 0 || !lists(r.ports, dnsPort, udp) && !lists(r.ports, dnsPort, tcp) {
				continue
			}
			for _, peer := range r.peers {
				if peer.IPBlock != nil && !wide(peer.IPBlock.CIDR) {
					return true
				}
			}
		}
	}
	return false
}

// unproven finds a rule that was meant for DNS and names it by labels that the
// set does not show: DNS pods that are assumed may have them, or not.
func (v *view) unproven(p *policy) *rule {
	for _, r := range p.rules(egress) {
		if len(r.ports) == 0 || !lists(r.ports, dnsPort, udp) && !lists(r.ports, dnsPort, tcp) {
			continue
		}
		for i := range r.peers {
			peer := &r.peers[i]
			if peer.NamespaceSelector == nil {
				continue
			}
			name, named := peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName]
			_, declared := v.world.Namespaces["kube-system"]
			if !named && !declared || named && len(v.in(name)) == 0 {
				return &r // its pods are not in the input, and may be the cluster's DNS
			}
		}
	}
	return nil
}

func (r resolver) describe() string {
	if r.assumed {
		return fmt.Sprintf("no DNS pods are among what is checked, so those of most clusters are assumed (%s, port %d)", r.selection(), r.udp)
	}
	return fmt.Sprintf("the DNS pods are %s, which listen on %d/UDP and %d/TCP", r.name(), r.udp, r.tcp)
}

func (r resolver) selection() string {
	return fmt.Sprintf("%s in namespace %s", selectorText(r.labels()), r.Namespace)
}

// labels are those that rules commonly name the DNS pods by.
func (r resolver) labels() map[string]string {
	if own, ok := r.Labels["k8s-app"]; ok {
		return map[string]string{"k8s-app": own}
	}
	return r.identity()
}

// dnsRule is the rule that lets a policy's pods look up names.
func (v *view) dnsRule(p *policy, r resolver) *yaml.Node {
	peers := []*yaml.Node{object("namespaceSelector", namespaceNode(r.Namespace), "podSelector", labelsNode(r.labels()))}
	ports := []port{{r.udp, udp}, {r.tcp, tcp}}
	if v.cache {
		peers = append(peers, nodeLocalPeers(r)...)
		if r.udp != dnsPort {
			ports = append(ports, port{dnsPort, udp}, port{dnsPort, tcp})
		}
	}
	return ruleNode("to", peers, ports...)
}

// dnsOneProtocol finds rules that allow DNS over one protocol and forget the other.
func dnsOneProtocol(has, lacks corev1.Protocol) func(v *view) []draft {
	return func(v *view) []draft {
		var drafts []draft
		seen := map[*policy]map[int]bool{}
		for _, l := range v.dns {
			if has == tcp && l.class.asksByTCP() {
				continue
			}
			if l.decision(has) != verdict.Allow || l.decision(lacks) != verdict.Deny || v.overruled(l, lacks) != "" {
				continue
			}
			r, ok := v.dnsRuleOf(l, l.resolver.port(has), has)
			if !ok || seen[r.policy][r.index] {
				continue
			}
			if seen[r.policy] == nil {
				seen[r.policy] = map[int]bool{}
			}
			seen[r.policy][r.index] = true
			drafts = append(drafts, oneProtocol(r, l, has, lacks))
		}
		return drafts
	}
}

// asksByTCP reports whether the pods' resolver is told to ask over TCP (resolv.conf(5)).
func (c *class) asksByTCP() bool {
	if c.workload == nil || c.workload.Template == nil || c.workload.Template.Spec.DNSConfig == nil {
		return false
	}
	return slices.ContainsFunc(c.workload.Template.Spec.DNSConfig.Options, func(o corev1.PodDNSConfigOption) bool { return o.Name == "use-vc" })
}

func oneProtocol(r rule, l lookups, has, lacks corev1.Protocol) draft {
	number := l.resolver.port(lacks)
	d := draft{policy: r.policy, at: r.at("ports"), severity: Warning}
	d.what = fmt.Sprintf("DNS is allowed over %s only.", has)
	d.why = "An answer that does not fit into a UDP packet is asked for again over TCP (RFC 7766): names with many or long records fail now and then."
	if has == tcp {
		d.severity = Error
		d.why = "Resolvers ask over UDP first (RFC 1035 section 4.2): lookups time out."
	}
	d.why += " Pods of " + l.class.name() + " are among those selected."
	d.fix = fmt.Sprintf("Add %d/%s to the rule.", number, lacks)
	d.edit = add(r.at("ports"), object("protocol", text(string(lacks)), "port", intNode(number)))
	return d
}

func (l lookups) decision(p corev1.Protocol) verdict.Decision {
	if p == udp {
		return l.udp
	}
	return l.tcp
}

// dnsRuleOf finds the rule that lets the class reach its resolver on the port.
func (v *view) dnsRuleOf(l lookups, number int32, protocol corev1.Protocol) (rule, bool) {
	world := v.world
	if _, ok := world.Namespaces[l.resolver.Namespace]; !ok {
		world = verdict.World{Namespaces: map[string]map[string]string{l.resolver.Namespace: nil}}
	}
	for _, p := range v.isolated[l.class][egress] {
		for _, r := range p.rules(egress) {
			conn := verdict.Conn{From: verdict.End{Pod: &l.class.Pod}, To: verdict.End{Pod: &l.resolver.Pod}, Port: number, Protocol: protocol}
			if r.allows(world, conn) == verdict.Allow {
				return r, true
			}
		}
	}
	return rule{}, false
}

// dnsWrongPort finds rules for the DNS Service's port where the pods behind it
// listen on another one.
func dnsWrongPort(v *view) []draft {
	var drafts []draft
	seen := map[string]bool{}
	for _, l := range v.dns {
		if l.worth() != 1 {
			continue
		}
		for _, protocol := range []corev1.Protocol{udp, tcp} {
			r, ok := v.dnsRuleOf(l, dnsPort, protocol)
			if !ok || seen[r.policy.Key()+r.at().String()] {
				continue
			}
			seen[r.policy.Key()+r.at().String()] = true
			drafts = append(drafts, wrongPort(r, l))
		}
	}
	return drafts
}

func wrongPort(r rule, l lookups) draft {
	d := draft{policy: r.policy, at: r.at("ports"), severity: Error}
	d.what = fmt.Sprintf("The rule allows DNS on the Service's port %d, but the DNS pods listen on %d.", dnsPort, l.resolver.udp)
	d.why = fmt.Sprintf("Policies see the connection after the Service's translation (NetworkPolicy specification, Services and targetPort), and %s. %s cannot look up names.", l.resolver.describe(), l.class.name())
	d.fix = fmt.Sprintf("Allow %d instead of %d.", l.resolver.udp, dnsPort)
	var changes []edit
	for i, p := range r.ports {
		if p.Port != nil && p.Port.IntVal == dnsPort && p.EndPort == nil {
			field := r.at("ports", i)
			if d.edit == nil {
				d.at = field.plus("port")
			}
			if r.onlyPods() {
				changes = append(changes, set(field.plus("port"), intNode(l.resolver.port(protocolOf(p)))))
			} else {
				changes = append(changes, add(r.at("ports"), object("protocol", text(string(protocolOf(p))), "port", intNode(l.resolver.port(protocolOf(p))))))
			}
			d.edit = edits(changes...)
		}
	}
	return d
}
