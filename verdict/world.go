package verdict

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// Port is a port that a pod declares. Declaring opens nothing: it only gives
// policies a name to select. An empty Protocol is TCP.
type Port struct {
	Name     string
	Number   int32 // 1 to 65535
	Protocol corev1.Protocol
}

// Pod is a pod as policies see it. A pod without IPs is judged, but any ipBlock
// that could decide about it makes the verdict Unknown.
type Pod struct {
	Namespace, Name string
	Labels          map[string]string
	IPs             []netip.Addr
	// StandIns are used where IPs is empty: the pod has one of them, or one that no
	// ipBlock tells from one of them. Empty: nothing is known of its address.
	StandIns    []netip.Addr
	Ports       []Port
	HostNetwork bool   // shares the address of its node, which v1 leaves undefined
	Node        string // empty: not scheduled, or not known
}

// Key is namespace/name.
func (p Pod) Key() string { return p.Namespace + "/" + p.Name }

// Addresses are what ipBlocks are matched with: the pod's own, else those that
// stand for them.
func (p *Pod) Addresses() []netip.Addr {
	if len(p.IPs) > 0 {
		return p.IPs
	}
	return p.StandIns
}

// Policy is a NetworkPolicy. Its spec need not be defaulted.
type Policy struct {
	Namespace, Name string
	Spec            networkingv1.NetworkPolicySpec
}

// Key is namespace/name.
func (p Policy) Key() string { return p.Namespace + "/" + p.Name }

// World is what connections are judged against. The zero World has no policy
// and allows every connection. The order of Policies never matters.
type World struct {
	// Namespaces holds labels by namespace name. A namespace that is missing has
	// unknown labels; one with nil labels is known to have none of its own.
	// kubernetes.io/metadata.name is implied, because the API server sets it.
	Namespaces map[string]map[string]string
	Policies   []Policy
	// ClusterPolicies are evaluated before (tier Admin) and after (tier Baseline)
	// Policies.
	ClusterPolicies []ClusterPolicy
	// Foreign are policies of kinds that are not understood. What they may affect
	// is Unknown, unless the other end certainly denies.
	Foreign []Foreign
	// Nodes are known nodes, for peers that select nodes.
	Nodes []Node
}

// ClusterPolicy is a ClusterNetworkPolicy of policy.networking.k8s.io, v1alpha2 or
// v1beta1: their schemas are the same.
type ClusterPolicy struct {
	Name string
	Spec v1alpha2.ClusterNetworkPolicySpec
}

// Foreign is a policy of a kind that is not understood, for example Calico's or
// Cilium's. An empty Namespace means that it may affect every pod.
type Foreign struct {
	Kind, Namespace, Name string
}

// Node is a node as policies see it.
type Node struct {
	Name   string
	Labels map[string]string
	IPs    []netip.Addr
}

// End is one end of a connection.
type End struct {
	Pod *Pod // nil: an outside address
	// IP is the address in use. It may be left zero for a pod: the verdict is then
	// taken over each family that both ends have, and Unknown where these differ.
	IP netip.Addr
	// Node is the node that an outside address is one of; empty: none, or not known.
	// Traffic between a pod and its own node is always allowed. Only the caller
	// knows all addresses of a node, so it is never guessed from IP.
	Node string
}

// String is namespace/name of a pod, else the address.
func (e End) String() string {
	switch {
	case e.Pod != nil:
		return e.Pod.Key()
	case e.IP.IsValid():
		return e.IP.String()
	}
	return "an unknown address"
}

// Conn is a connection as the pods see it: Port is the port on the target
// itself, after a Service's translation. An empty Protocol is TCP.
type Conn struct {
	From, To End
	Port     int32 // 1 to 65535
	Protocol corev1.Protocol
	// FromNode says that the source is the node that the target runs on, for
	// example the kubelet's probes: always allowed in. Only the caller knows a
	// node's addresses, so it is never guessed from From.IP.
	FromNode bool
}

// Decision is what a set of policies says about a connection.
type Decision uint8

// The decisions. The zero Decision is Unknown: neither a pass nor a denial.
const (
	Unknown Decision = iota
	Allow
	Deny
)

// String names the decision for people.
func (d Decision) String() string {
	switch d {
	case Allow:
		return "Allow"
	case Deny:
		return "Deny"
	}
	return "Unknown"
}

// Side is the decision at one end: egress at the source or ingress at the target.
type Side struct {
	Decision Decision
	Policy   string // namespace/name of the deciding policy; empty where none decides
	Rule     string // the allowing rule as namespace/name egress[index], the denial in words, or why no policy applies
	Reason   string // a sentence, never empty
}

// Verdict is the decision about a connection, with both sides.
type Verdict struct {
	Decision Decision
	Egress   Side
	Ingress  Side
	Reason   string // a sentence, never empty
}

// Rule says in one line what decided. A denial reads
//
//	<namespace>/<policy> egress: no rule allows <port>/<protocol> to <peer>
//	<namespace>/<policy> ingress: no rule allows <port>/<protocol> from <peer>
//
// Egress comes first where both sides deny, because packets meet it first. An
// Allow names the rule of each isolated side, or says "not isolated"; an
// Unknown gives its reason.
func (v Verdict) Rule() string {
	switch {
	case v.Decision == Unknown:
		return v.Reason
	case v.Egress.Decision == Deny:
		return v.Egress.Rule
	case v.Ingress.Decision == Deny:
		return v.Ingress.Rule
	case v.Decision == Deny: // each family by another side
		return v.Reason
	case v.Egress.Policy == "" && v.Ingress.Policy == "":
		return notIsolated
	case v.Egress.Policy == "":
		return v.Ingress.Rule
	case v.Ingress.Policy == "":
		return v.Egress.Rule
	}
	return v.Egress.Rule + ", " + v.Ingress.Rule
}
