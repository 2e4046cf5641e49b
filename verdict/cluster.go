package verdict

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// clusterPolicy is a ClusterNetworkPolicy of a compiled world, read when it is
// first needed.
type clusterPolicy struct {
	ClusterPolicy
	once    sync.Once
	subject clusterPeer // only pods
	rules   [2][]clusterRule
}

// clusterRule is an ingress or egress rule. Peers of ingress have a part of the
// fields of those of egress.
type clusterRule struct {
	action     outcomes // what it does to what it matches; more than one if action is invalid
	text       string   // the action as it was written
	failClosed bool     // a peer has no field that is known
	peers      []clusterPeer
	ports      []portRange // empty: any
	invalid    string      // why a match is in doubt; empty: it is not
}

// clusterPeer has one field that is set. The zero clusterPeer matches nothing.
type clusterPeer struct {
	namespaces, pods *selector // pods nil: all of the namespaces
	nodes            *selector
	networks         []network
	domain           string // the first of its names
	invalid          string // why it may mean anything; empty: it is valid
}

// network is one CIDR; err says that it is none.
type network struct {
	block *block
	err   error
}

func (p *clusterPolicy) read() *clusterPolicy {
	p.once.Do(func() {
		s := p.Spec.Subject
		if (s.Namespaces == nil) == (s.Pods == nil) {
			p.subject.invalid = "a subject needs either namespaces or pods"
		} else {
			p.subject.selectPods(s.Namespaces, s.Pods)
		}
		for _, r := range p.Spec.Egress {
			p.rules[egress] = append(p.rules[egress], readClusterRule(r))
		}
		for _, r := range p.Spec.Ingress {
			same := v1alpha2.ClusterNetworkPolicyEgressRule{Action: r.Action, Protocols: r.Protocols}
			for _, q := range r.From {
				same.To = append(same.To, v1alpha2.ClusterNetworkPolicyEgressPeer{Namespaces: q.Namespaces, Pods: q.Pods})
			}
			p.rules[ingress] = append(p.rules[ingress], readClusterRule(same))
		}
	})
	return p
}

func (p *clusterPeer) selectPods(namespaces *metav1.LabelSelector, pods *v1alpha2.NamespacedPod) {
	if namespaces != nil {
		p.namespaces = readSelector(namespaces)
		return
	}
	p.namespaces, p.pods = readSelector(&pods.NamespaceSelector), readSelector(&pods.PodSelector)
}

// readClusterRule: "If an implementation sees no fields are set then it can
// infer that the deployed CRD is of an incompatible version with an unknown
// field. In that case it should fail closed. For "Accept" rules, "fail closed"
// means: "treat the rule as matching no traffic". For "Deny" and "Pass" rules,
// "fail closed" means: "treat the rule as a 'Deny all' rule"."
//
// "networks/nodes/domainNames peer cannot be set with namedPorts since there are
// no namedPorts for networks/nodes/domainNames": such a rule is in doubt.
func readClusterRule(r v1alpha2.ClusterNetworkPolicyEgressRule) clusterRule {
	c := clusterRule{text: string(r.Action)}
	unnamed, named := false, false
	for _, q := range r.To {
		p := readClusterPeer(q)
		c.failClosed = c.failClosed || fieldsOf(q) == 0
		unnamed = unnamed || q.Nodes != nil || len(q.Networks) > 0 || len(q.DomainNames) > 0
		c.peers = append(c.peers, p)
	}
	for _, q := range r.Protocols {
		named = named || q.DestinationNamedPort != ""
		c.ports = append(c.ports, readClusterPorts(q)...)
	}
	if unnamed && named {
		c.invalid = "a rule has a named port and a peer that has none, which is invalid"
	}
	switch r.Action {
	case v1alpha2.ClusterNetworkPolicyRuleActionAccept:
		c.action = accepted
	case v1alpha2.ClusterNetworkPolicyRuleActionDeny:
		c.action = denied
	case v1alpha2.ClusterNetworkPolicyRuleActionPass:
		c.action = passed
	default:
		c.action, c.failClosed = accepted|denied|passed, false
	}
	return c
}

// fieldsOf counts: "Exactly one of the fields must be set for a given peer".
func fieldsOf(p v1alpha2.ClusterNetworkPolicyEgressPeer) int {
	n := 0
	for _, set := range []bool{p.Namespaces != nil, p.Pods != nil, p.Nodes != nil, len(p.Networks) > 0, len(p.DomainNames) > 0} {
		if set {
			n++
		}
	}
	return n
}

func readClusterPeer(p v1alpha2.ClusterNetworkPolicyEgressPeer) clusterPeer {
	var c clusterPeer
	switch n := fieldsOf(p); {
	case n != 1:
		c.invalid = fmt.Sprintf("a peer has %d fields instead of one, which is invalid", n)
	case p.Namespaces != nil, p.Pods != nil:
		c.selectPods(p.Namespaces, p.Pods)
	case p.Nodes != nil:
		c.nodes = readSelector(p.Nodes)
	case len(p.DomainNames) > 0:
		c.domain = string(p.DomainNames[0])
	}
	for _, cidr := range p.Networks {
		b, err := readBlock(string(cidr), nil)
		c.networks = append(c.networks, network{b, err})
	}
	return c
}

// readClusterPorts reads one element of protocols: "Exactly one field must be
// set." A named port is "a destination port on a pod based on the ContainerPort
// name", so that the target's declaration gives number and protocol.
func readClusterPorts(p v1alpha2.ClusterNetworkPolicyProtocol) []portRange {
	var all []portRange
	if p.TCP != nil {
		all = append(all, readClusterPort(corev1.ProtocolTCP, p.TCP.DestinationPort))
	}
	if p.UDP != nil {
		all = append(all, readClusterPort(corev1.ProtocolUDP, p.UDP.DestinationPort))
	}
	if p.SCTP != nil {
		all = append(all, readClusterPort(corev1.ProtocolSCTP, p.SCTP.DestinationPort))
	}
	n := len(all)
	if p.DestinationNamedPort != "" {
		n++
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
			all = append(all, portRange{protocol: protocol, name: p.DestinationNamedPort, high: -1})
		}
	}
	if n != 1 {
		return []portRange{{invalid: fmt.Sprintf("an element of protocols has %d fields instead of one, which is invalid", n)}}
	}
	return all
}

// readClusterPort: the protocol has MinProperties=1, so that a missing port is
// invalid; "You must specify either Port or Range"; "the Start value must be less
// than End".
func readClusterPort(protocol corev1.Protocol, p *v1alpha2.Port) portRange {
	switch {
	case p == nil:
		return portRange{invalid: "a protocol without destinationPort is invalid"}
	case (p.Number != 0) == (p.Range != nil):
		return portRange{invalid: "a destinationPort needs either number or range"}
	case p.Range != nil && p.Range.Start >= p.Range.End:
		return portRange{invalid: "a destinationPort's range does not start before its end"}
	case p.Range != nil:
		return portRange{protocol: protocol, low: p.Range.Start, high: p.Range.End}
	}
	return portRange{protocol: protocol, low: p.Number, high: p.Number}
}

// cluster is what concerns all namespaces.
type cluster struct {
	policies []*clusterPolicy // by priority, then by name
	foreign  []Foreign
	nodes    []Node // with canonical addresses
}

// selects: "Note that host-networked pods are not included in subject selection."
func (s *Snapshot) selects(p *clusterPolicy, pod *Pod) answer {
	p.read()
	switch {
	case pod.HostNetwork:
		return never
	case p.subject.invalid != "":
		return answer{why: p.subject.invalid}
	}
	return s.matchesPods(&p.subject, pod)
}

func (s *Snapshot) matchesPods(p *clusterPeer, pod *Pod) answer {
	a := s.matchesNamespace(p.namespaces, pod.Namespace)
	if p.pods != nil {
		a = both(a, p.pods.matches(pod.Labels))
	}
	return a
}

// matchesClusterPeer: "Note that host-networked pods are not included" where
// pods are selected. A name may belong to any address outside the cluster.
func (s *Snapshot) matchesClusterPeer(p *clusterPeer, end *End, addrs []netip.Addr) answer {
	switch {
	case p.invalid != "":
		return answer{why: p.invalid}
	case p.namespaces != nil && end.Pod != nil && !end.Pod.HostNetwork:
		return s.matchesPods(p, end.Pod)
	case p.nodes != nil:
		return s.matchesNode(p.nodes, end, addrs)
	case p.networks != nil:
		return matchesNetworks(p.networks, addrs)
	case p.domain != "" && end.Pod == nil:
		return unsure("%s may have the name %s", end, p.domain)
	}
	return never
}

// matchesNetworks: "cluster-internal traffic will be checked against the rule as
// well".
func matchesNetworks(all []network, addrs []netip.Addr) answer {
	a := never
	for _, n := range all {
		if n.err != nil {
			a = either(a, unsure("%v", n.err))
		} else {
			a = either(a, n.block.matches(addrs))
		}
	}
	return a
}

// matchesNode: "It selects the nodeIPs as the peer type by matching on the IPs
// present in the node.Status.Addresses field of the node." A pod on the network
// of a node has the node's addresses, whether they are stated or not.
func (s *Snapshot) matchesNode(sel *selector, end *End, addrs []netip.Addr) answer {
	host := end.Pod != nil && end.Pod.HostNetwork
	if host {
		i := slices.IndexFunc(s.cluster.nodes, func(n Node) bool { return n.Name == end.Pod.Node })
		if i >= 0 {
			return sel.matches(s.cluster.nodes[i].Labels)
		}
	}
	if len(addrs) == 0 {
		if end.Pod != nil && !host {
			return never // an ordinary pod has an address of its own
		}
		return unsure("the address of %s is not known, so it may be a node's", end)
	}
	first := s.hasNodeAddress(sel, end, addrs[0])
	for _, addr := range addrs[1:] {
		if s.hasNodeAddress(sel, end, addr).is != first.is {
			return unsure("only some addresses of %s are those of the selected nodes", end)
		}
	}
	return first
}

func (s *Snapshot) hasNodeAddress(sel *selector, end *End, addr netip.Addr) answer {
	a, isNode, hidden := never, false, len(s.cluster.nodes) == 0
	for _, n := range s.cluster.nodes {
		matches := sel.matches(n.Labels)
		if slices.Contains(n.IPs, addr) {
			a, isNode = either(a, matches), true
		} else if len(n.IPs) == 0 && matches.is != no {
			hidden = true
		}
	}
	switch {
	case isNode, end.Pod != nil && !end.Pod.HostNetwork:
		return a
	case end.Pod != nil:
		return unsure("the node of %s is not known", end)
	case hidden:
		return unsure("%s may be a node's address: not those of all nodes are known", end)
	}
	return never
}
