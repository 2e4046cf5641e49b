package verdict

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// direction says whose policies are meant: egress those of the source, ingress
// those of the target.
type direction uint8

const (
	egress direction = iota
	ingress
)

func (d direction) String() string { return [2]string{"egress", "ingress"}[d] }

func (d direction) policyType() networkingv1.PolicyType {
	return [2]networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress}[d]
}

// networkPolicy is a NetworkPolicy of a compiled world, read when it is first needed.
type networkPolicy struct {
	Policy
	serial uint64 // of this version: another spec has another one
	once   sync.Once
	text   reading
}

// reading is the text of a policy, made ready for matching.
type reading struct {
	pods    *selector
	affects [2]bool
	rules   [2][]rule
}

func (p *networkPolicy) read() *reading {
	p.once.Do(func() {
		p.text.pods = readSelector(&p.Spec.PodSelector)
		for _, r := range p.Spec.Egress {
			p.text.rules[egress] = append(p.text.rules[egress], p.readRule(r.Ports, r.To))
		}
		for _, r := range p.Spec.Ingress {
			p.text.rules[ingress] = append(p.text.rules[ingress], p.readRule(r.Ports, r.From))
		}
		for d := range p.text.affects {
			p.text.affects[d] = p.Affects(direction(d).policyType())
		}
	})
	return &p.text
}

// isolates is never for a pod of another namespace, and for a direction that the
// policy leaves alone.
func (p *networkPolicy) isolates(pod *Pod, d direction) answer {
	t := p.read()
	if p.Namespace != pod.Namespace || !t.affects[d] {
		return never
	}
	if t.pods.err != nil {
		return unsure("policy %s: podSelector is invalid: %v", p.Key(), t.pods.err)
	}
	return answer{is: t.pods.truth(pod.Labels)}
}

// rule is an ingress or egress rule: "The traffic must match both ports and
// from" (or to). An empty list restricts nothing.
type rule struct {
	ports []portRange
	peers []peer
}

func (p *networkPolicy) readRule(ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer) rule {
	var r rule
	for _, q := range ports {
		r.ports = append(r.ports, readPort(q))
	}
	for _, q := range peers {
		r.peers = append(r.peers, readPeer(p.Namespace, q))
	}
	return r
}

// portRange is a NetworkPolicyPort: from low to high, or the port of that name.
type portRange struct {
	protocol  corev1.Protocol
	low, high int32
	name      string
	invalid   string // why it may mean anything; empty: it is valid
}

// readPort: a missing port means all ports of the protocol; a missing protocol
// means TCP; endPort needs a port number that is not above it.
func readPort(p networkingv1.NetworkPolicyPort) portRange {
	r := portRange{protocol: corev1.ProtocolTCP, low: math.MinInt32, high: math.MaxInt32}
	if p.Protocol != nil {
		r.protocol = *p.Protocol
	}
	switch {
	case p.EndPort != nil && (p.Port == nil || p.Port.Type == intstr.String):
		r.invalid = fmt.Sprintf("endPort %d stands without a port number, which is invalid", *p.EndPort)
	case p.EndPort != nil && *p.EndPort < p.Port.IntVal:
		r.invalid = fmt.Sprintf("endPort %d is less than port %d, which is invalid", *p.EndPort, p.Port.IntVal)
	case p.Port == nil:
	case p.Port.Type == intstr.String:
		r.name = p.Port.StrVal
		r.low, r.high = 0, -1
	case p.EndPort != nil:
		r.low, r.high = p.Port.IntVal, *p.EndPort
	default:
		r.low, r.high = p.Port.IntVal, p.Port.IntVal
	}
	return r
}

// named reports whether the range stands for a port that the target declares.
// An empty name is one too: it means ports without a name.
func (r *portRange) named() bool { return r.invalid == "" && r.low > r.high }

// matches looks a name up among the ports that the target declares; one that it
// does not declare matches nothing, and an outside address declares none.
func (r *portRange) matches(port int32, protocol corev1.Protocol, declared []Port) answer {
	switch {
	case r.invalid != "":
		return answer{why: r.invalid}
	case r.protocol != protocol:
		return never
	case r.named():
		return known(declares(declared, r.name, port, protocol))
	}
	return known(r.low <= port && port <= r.high)
}

func declares(all []Port, name string, port int32, protocol corev1.Protocol) bool {
	for i := range all {
		p := &all[i]
		if p.Number == port && p.Name == name && cmp.Or(p.Protocol, corev1.ProtocolTCP) == protocol {
			return true
		}
	}
	return false
}

// peer is a NetworkPolicyPeer.
type peer struct {
	key        string    // peers of one key match alike
	own        string    // the namespace it is confined to, if namespaces is nil
	namespaces *selector // nil: the policy's own
	pods       *selector // nil: all
	block      *block    // nil: it selects pods
	invalid    string    // why it may mean anything; empty: it is valid
}

// readPeer reads a peer of a policy in the namespace: podSelector alone selects
// in that namespace, namespaceSelector alone all pods of the namespaces it
// selects, both together the pods that match in the namespaces that match. A nil
// selector is absent, an empty one matches everything.
func readPeer(ns string, p networkingv1.NetworkPolicyPeer) peer {
	selects := p.PodSelector != nil || p.NamespaceSelector != nil
	switch {
	case p.IPBlock != nil && selects:
		return peer{invalid: "a peer has ipBlock and a selector, which is invalid"}
	case p.IPBlock != nil:
		b, err := readBlock(p.IPBlock.CIDR, p.IPBlock.Except)
		if err != nil {
			return peer{invalid: err.Error()}
		}
		return peer{key: b.key(), block: b}
	case !selects:
		return peer{invalid: "a peer without ipBlock and selectors is invalid"}
	}
	r := peer{own: ns}
	spaces, pods := "@"+ns, ""
	if p.NamespaceSelector != nil {
		r.namespaces, r.own = readSelector(p.NamespaceSelector), ""
		spaces = r.namespaces.key
	}
	if p.PodSelector != nil {
		r.pods = readSelector(p.PodSelector)
		pods = r.pods.key
	}
	r.key = spaces + "\x00" + pods
	return r
}

// block is an ipBlock: inside cidr and inside no except. An except takes away
// from its own block only.
type block struct {
	text   string // cidr as it was written
	cidr   netip.Prefix
	except []netip.Prefix
}

func readBlock(cidr string, except []string) (*block, error) {
	p, err := parseCIDR(cidr)
	if err != nil {
		return nil, err
	}
	b := &block{text: cidr, cidr: p}
	for _, e := range except {
		if p, err = parseCIDR(e); err != nil {
			return nil, err
		}
		b.except = append(b.except, p)
	}
	return b, nil
}

func parseCIDR(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("ipBlock %q is invalid: %w", s, err)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 { // old objects may hold the mapped form
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func (b *block) key() string { return fmt.Sprint("#", b.cidr, b.except) }

// matches counts addresses of pods like any other.
func (b *block) matches(addrs []netip.Addr) answer {
	inside := 0
	for _, a := range addrs {
		if b.cidr.Contains(a) && !slices.ContainsFunc(b.except, func(p netip.Prefix) bool { return p.Contains(a) }) {
			inside++
		}
	}
	switch {
	case len(addrs) == 0:
		return unsure("ipBlock %s: the address of the peer is not known", b.text)
	case inside == 0, inside == len(addrs):
		return known(inside > 0)
	}
	return unsure("ipBlock %s: it covers only some of the addresses %v", b.text, addrs)
}
