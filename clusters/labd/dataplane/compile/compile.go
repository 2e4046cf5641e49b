// Package compile translates. Node takes what the API knows about pods,
// namespaces, policies and Services, and which pods run on this node, and
// answers with the node's whole ruleset. It is a pure function: same objects,
// same ruleset. It reads the NetworkPolicy v1 specification on its own; no code
// is shared with the judge in the main module, so that each checks the other.
//
// A packet between pods passes, on the sender's node, the base chain `egress`
// and, on the receiver's node, the base chain `ingress` (both, in this order,
// when it is one node). DNAT came before, so both see pod addresses and target
// ports. Accept ends only the base chain it stands in.
//
//	egress/ingress ─vmap by pod address─► pod chain ─jump─► policy chains (count, accept)
//	                                          └─ no policy accepted: count, log, drop
package compile

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Input is everything the ruleset of one node depends on. Objects are only read.
type Input struct {
	NodeName string
	NodeIP   netip.Addr
	PodCIDR  netip.Prefix
	Enforce  bool // false: policies are accepted and nothing is enforced

	Local      []LocalPod
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
	Services   []*corev1.Service
	Slices     []*discoveryv1.EndpointSlice
}

// LocalPod is a pod whose network this node holds. Its address is the one the
// node gave it, whatever its status says by now.
type LocalPod struct {
	Namespace, Name, UID string
	Addr                 netip.Addr
	Pod                  *corev1.Pod // nil: the API has not shown it yet; nothing may pass
}

// Output is a node's ruleset and what people need to know about it.
type Output struct {
	Ruleset  ruleset.Ruleset
	Problems []Problem
	Meanings map[string]Meaning // by counter name
	UDP      map[Front][]netip.AddrPort
}

// Front is a Service's address for one protocol and port.
type Front struct {
	Addr  netip.Addr
	Proto ruleset.Proto
	Port  uint16
}

// Meaning says what a named counter counts.
type Meaning struct {
	Object    string // namespace/name of the policy, or of the pod for PodDrops
	Direction string // "ingress" or "egress"
	Kind      CounterKind
}

// CounterKind is what kind of packets a counter counts.
type CounterKind string

// The kinds of counter. A packet denied counts once for every policy that
// isolates the pod in that direction and once for the pod.
const (
	Allowed  CounterKind = "allowed"
	Denied   CounterKind = "denied"
	PodDrops CounterKind = "drops"
)

// Problem is a part of an object that this data plane cannot honour. The part
// allows nothing.
type Problem struct {
	Kind, Namespace, Name, UID string // of the object
	Field                      string // path in the object, "spec.ingress[0].ports[1].protocol"
	Message                    string // what is wrong and what happens now
}

// LogGroup is the nflog group that denied packets are reported to.
const LogGroup = 7

// Node compiles the ruleset of one node.
func Node(in Input) Output {
	c := &compiler{in: in, out: Output{
		Ruleset:  ruleset.New(),
		Meanings: map[string]Meaning{},
		UDP:      map[Front][]netip.AddrPort{},
	}}
	c.gatherPeers()
	c.baseChains()
	c.services()
	if in.Enforce {
		c.policies()
	}
	return c.out
}

type compiler struct {
	in    Input
	out   Output
	peers map[string][]peer // by namespace
}

// peer is a pod as the rules of others see it: addresses and named ports.
type peer struct {
	labels map[string]string
	addr   netip.Addr
	pod    *corev1.Pod
}

// gatherPeers lists the pods that selectors of peers can match: not on the host
// network (those are the node, for policies), not finished, with an address.
func (c *compiler) gatherPeers() {
	c.peers = map[string][]peer{}
	here := map[string]bool{}
	for _, l := range c.in.Local {
		here[l.UID] = true
		if l.Pod != nil && !finished(l.Pod) {
			c.peers[l.Namespace] = append(c.peers[l.Namespace], peer{l.Pod.Labels, l.Addr, l.Pod})
		}
	}
	for _, p := range c.in.Pods {
		if here[string(p.UID)] || p.Spec.HostNetwork || finished(p) {
			continue
		}
		if addr, ok := statusAddr(p); ok && !c.in.PodCIDR.Contains(addr) {
			c.peers[p.Namespace] = append(c.peers[p.Namespace], peer{p.Labels, addr, p})
		}
	}
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// statusAddr is the pod's IPv4 address as its node reported it. An address of
// this node's own range is known from the node itself, never from here: a stale
// status must not lend a new pod an old one's identity.
func statusAddr(p *corev1.Pod) (netip.Addr, bool) {
	for _, ip := range append([]corev1.PodIP{{IP: p.Status.PodIP}}, p.Status.PodIPs...) {
		if a, err := netip.ParseAddr(ip.IP); err == nil && a.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// Names of what every node's table has.
const (
	chainEgress, chainIngress     = "egress", "ingress"
	setLocal                      = "local_pods"
	setEgressPods, setIngressPods = "egress_pods", "ingress_pods"
)

// baseChains sets up the two places where pods are judged. An address of this
// node's range that no pod has yet (or any more) gets nothing through.
func (c *compiler) baseChains() {
	rs := c.out.Ruleset
	local := map[ruleset.Element]bool{}
	for _, l := range c.in.Local {
		local[ruleset.Element{Addr: l.Addr}] = true
	}
	rs.Sets[setLocal] = ruleset.Set{Kind: ruleset.Addrs, Elements: local}
	rs.Sets[setEgressPods] = ruleset.Set{Kind: ruleset.AddrChains, Elements: map[ruleset.Element]bool{}}
	rs.Sets[setIngressPods] = ruleset.Set{Kind: ruleset.AddrChains, Elements: map[ruleset.Element]bool{}}
	rs.Chains[chainEgress] = ruleset.Chain{
		Hook: ruleset.Hook{Point: ruleset.Forward, Priority: 0},
		Rules: []ruleset.Rule{
			{Established: true, Action: ruleset.Accept},
			{SrcIn: c.in.PodCIDR, SrcSet: setLocal, NotSrcSet: true, Action: ruleset.Drop},
			{Action: ruleset.DispatchSrc, Target: setEgressPods},
		},
	}
	rs.Chains[chainIngress] = ruleset.Chain{
		Hook: ruleset.Hook{Point: ruleset.Forward, Priority: 10},
		Rules: []ruleset.Rule{
			{Established: true, Action: ruleset.Accept},
			{DstIn: c.in.PodCIDR, DstSet: setLocal, NotDstSet: true, Action: ruleset.Drop},
			{Action: ruleset.DispatchDst, Target: setIngressPods},
		},
	}
}

// hash names a thing by its content, short enough for the kernel and long
// enough that two things never share a name.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:10])
}

func byName[T interface {
	GetNamespace() string
	GetName() string
}](objects []T) []T {
	sorted := slices.Clone(objects)
	slices.SortFunc(sorted, func(a, b T) int {
		return strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName())
	})
	return sorted
}

func protoOf(p *corev1.Protocol) (ruleset.Proto, bool) {
	if p == nil {
		return ruleset.TCP, true
	}
	switch *p {
	case corev1.ProtocolTCP, "":
		return ruleset.TCP, true
	case corev1.ProtocolUDP:
		return ruleset.UDP, true
	case corev1.ProtocolSCTP:
		return ruleset.SCTP, true
	}
	return 0, false
}

// Reason returns the text of every rule that judges the pod whose drops the
// counter counts; it changes exactly when the pod's policies do. "" if there is
// no such counter.
func (o Output) Reason(counter string) string {
	chain, is := strings.CutSuffix(counter, dropsSuffix)
	if !is {
		return ""
	}
	var text strings.Builder
	for _, r := range o.Ruleset.Chains[chain].Rules {
		text.WriteString(r.String() + "\n")
		if r.Action == ruleset.Jump {
			for _, r := range o.Ruleset.Chains[r.Target].Rules {
				text.WriteString(r.String() + "\n")
			}
		}
	}
	return hash(text.String())
}
