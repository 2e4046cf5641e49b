// Package compile translates. A Compiler is told what the API knows about pods,
// namespaces, policies and Services, and which pods run on this node, object by
// object, and answers with the node's ruleset and the names of what changed in
// it. One object costs what depends on it. What the ruleset is depends on the
// objects alone, not on the way they came: Node compiles them all at once. It
// reads the NetworkPolicy v1 specification on its own; no code is shared with the
// judge in the main module, so that each checks the other.
//
// A packet between pods passes, on the sender's node, the base chain `egress`
// and, on the receiver's node, the base chain `ingress` (both, in this order,
// when it is one node). DNAT came before, so both see pod addresses and target
// ports. Accept ends only the base chain it stands in.
//
//	egress/ingress ─vmap by pod address─► pod chain ─jump─► group chain ─jump─► policy chains (count, accept)
//	                                          └─ no policy accepted: count, log, drop
//
// A group is the pods with the same policies.
package compile

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Options say whose ruleset is compiled.
type Options struct {
	NodeName string
	NodeIPs  []netip.Addr   // one of each family that the lab has
	PodCIDRs []netip.Prefix // of this node's pods, one of each family
	Enforce  bool           // false: policies are accepted and nothing is enforced
}

// Input is everything the ruleset of one node depends on. Objects are only read.
type Input struct {
	Options

	Local      []LocalPod
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
	Services   []*corev1.Service
	Slices     []*discoveryv1.EndpointSlice
}

// LocalPod is a pod whose network this node holds. Its addresses are the ones
// the node gave it, whatever its status says by now.
type LocalPod struct {
	Namespace, Name, UID string
	Addrs                []netip.Addr
	Pod                  *corev1.Pod // nil: the API has not shown it yet; nothing may pass
}

// Output is a node's ruleset and what people need to know about it. Its maps are
// the Compiler's own: they are only read, and not while it works.
type Output struct {
	Ruleset  ruleset.Ruleset
	Changed  ruleset.Names // what may differ from the Output before
	Problems []Problem
	Meanings map[string]Meaning // by counter name
	// Moved are UDP fronts whose targets changed since the Output before, with the
	// targets of now; none if the front is gone.
	Moved map[Front][]netip.AddrPort

	reasons map[string]string // of Reason, by chain
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

// Node compiles the ruleset of one node at once.
func Node(in Input) Output {
	c := New(in.Options)
	for _, ns := range in.Namespaces {
		c.SetNamespace(ns.Name, ns)
	}
	for _, p := range in.Pods {
		c.SetPod(Key{p.Namespace, p.Name}, p)
	}
	for _, l := range in.Local {
		c.SetLocal(l.UID, &l)
	}
	for _, p := range in.Policies {
		c.SetPolicy(Key{p.Namespace, p.Name}, p)
	}
	for _, s := range in.Services {
		c.SetService(Key{s.Namespace, s.Name}, s)
	}
	for _, s := range in.Slices {
		c.SetSlice(Key{s.Namespace, s.Name}, s)
	}
	return c.Output()
}

// hash names a thing by its content, short enough for the kernel and long
// enough that two things never share a name.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:10])
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
	if known, is := o.reasons[chain]; is {
		return known
	}
	var text strings.Builder
	o.describe(&text, chain)
	reason := hash(text.String())
	if o.reasons != nil {
		o.reasons[chain] = reason
	}
	return reason
}

func (o Output) describe(text *strings.Builder, chain string) {
	for _, r := range o.Ruleset.Chains[chain].Rules {
		text.WriteString(r.String() + "\n")
		if r.Action == ruleset.Jump && r.Target != chainDenied {
			o.describe(text, r.Target)
		}
	}
}
