package class

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Vocabulary is what the policies of some worlds can tell pods apart by, besides
// their namespace. The zero Vocabulary is that of no policy.
type Vocabulary struct {
	values   map[string]map[string]bool // label key → the values that selectors list
	names    map[string]bool            // names of ports
	spans    []Span                     // of ports, each once
	prefixes []netip.Prefix             // of ipBlocks, excepts and networks, each once
	byNode   bool                       // some peer selects nodes
}

// NewVocabulary reads the policies of all the worlds.
func NewVocabulary(worlds ...verdict.World) *Vocabulary {
	v := &Vocabulary{values: map[string]map[string]bool{}, names: map[string]bool{}}
	for _, w := range worlds {
		for i := range w.Policies {
			v.addPolicy(&w.Policies[i].Spec)
		}
		for i := range w.ClusterPolicies {
			v.addClusterPolicy(&w.ClusterPolicies[i].Spec)
		}
	}
	for _, w := range worlds {
		for _, n := range w.Nodes {
			for _, ip := range n.IPs {
				if a := ip.Unmap().WithZone(""); v.byNode && a.IsValid() {
					v.addPrefix(netip.PrefixFrom(a, a.BitLen()))
				}
			}
		}
	}
	slices.SortFunc(v.prefixes, comparePrefixes)
	v.prefixes = slices.Compact(v.prefixes)
	v.spans = Distinct(v.spans)
	return v
}

func (v *Vocabulary) addPolicy(spec *networkingv1.NetworkPolicySpec) {
	v.addSelector(&spec.PodSelector)
	for _, r := range spec.Ingress {
		v.addPeers(r.From)
		v.addPorts(r.Ports)
	}
	for _, r := range spec.Egress {
		v.addPeers(r.To)
		v.addPorts(r.Ports)
	}
}

func (v *Vocabulary) addSelector(sel *metav1.LabelSelector) {
	if sel == nil {
		return
	}
	for key, value := range sel.MatchLabels {
		v.addLabel(key, value)
	}
	for _, r := range sel.MatchExpressions {
		v.addLabel(r.Key, r.Values...)
	}
}

func (v *Vocabulary) addLabel(key string, values ...string) {
	if v.values[key] == nil {
		v.values[key] = map[string]bool{}
	}
	for _, value := range values {
		v.values[key][value] = true
	}
}

func (v *Vocabulary) addPeers(peers []networkingv1.NetworkPolicyPeer) {
	for _, p := range peers {
		v.addSelector(p.PodSelector) // a namespaceSelector tells namespaces apart, which differ anyway
		if p.IPBlock != nil {
			v.addCIDR(p.IPBlock.CIDR)
			for _, e := range p.IPBlock.Except {
				v.addCIDR(e)
			}
		}
	}
}

// addCIDR leaves out what does not parse: it makes verdicts Unknown for all
// pods alike. The mapped form of old objects is read as IPv4.
func (v *Vocabulary) addCIDR(s string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	v.addPrefix(p.Masked())
}

func (v *Vocabulary) addPrefix(p netip.Prefix) { v.prefixes = append(v.prefixes, p) }

func (v *Vocabulary) addPorts(ports []networkingv1.NetworkPolicyPort) {
	for _, p := range ports {
		if name := portName(p); name != "" {
			v.names[name] = true
		}
		v.spans = append(v.spans, spanOf(p)...)
	}
}

// Signature is equal for two pods exactly if they are of one class.
func (v *Vocabulary) Signature(p *verdict.Pod) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q", p.Namespace)
	if p.HostNetwork {
		b.WriteString(" host")
		if v.byNode {
			fmt.Fprintf(&b, " node=%q", p.Node)
		}
	}
	v.writeLabels(&b, p)
	v.writePorts(&b, p)
	v.writeAddresses(&b, p)
	return b.String()
}

// writeLabels writes a value that no selector lists as a bare key: selectors can
// only tell that it is there and none of those listed.
func (v *Vocabulary) writeLabels(b *strings.Builder, p *verdict.Pod) {
	var all []string
	for key, value := range p.Labels {
		listed, ok := v.values[key]
		switch {
		case ok && listed[value]:
			all = append(all, fmt.Sprintf(" %q=%q", key, value))
		case ok:
			all = append(all, fmt.Sprintf(" %q", key))
		}
	}
	slices.Sort(all)
	for _, s := range all {
		b.WriteString(s)
	}
}

func (v *Vocabulary) writePorts(b *strings.Builder, p *verdict.Pod) {
	var all []string
	for _, port := range p.Ports {
		name := port.Name
		if !v.names[name] {
			name = ""
		}
		all = append(all, fmt.Sprintf(" %d/%s:%q", port.Number, protocolOf(port.Protocol), name))
	}
	slices.Sort(all)
	for _, s := range slices.Compact(all) {
		b.WriteString(s)
	}
}

func (v *Vocabulary) writeAddresses(b *strings.Builder, p *verdict.Pod) {
	if len(v.prefixes) == 0 {
		return // no policy looks at addresses
	}
	var all []string
	for _, ip := range p.Addresses() {
		a := ip.Unmap().WithZone("")
		if !a.IsValid() {
			continue
		}
		inside := []byte(fmt.Sprintf(" v4=%t:", a.Is4()))
		for _, prefix := range v.prefixes {
			inside = append(inside, "01"[btoi(prefix.Contains(a))])
		}
		all = append(all, string(inside))
	}
	slices.Sort(all)
	for _, s := range slices.Compact(all) {
		b.WriteString(s)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func protocolOf(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}
