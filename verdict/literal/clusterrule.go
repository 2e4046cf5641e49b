package literal

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// clusterRule is an ingress or egress rule of a ClusterNetworkPolicy. Peers are
// all read as those of egress, which have the fields of ingress and more.
type clusterRule struct {
	action    v1alpha2.ClusterNetworkPolicyRuleAction
	peers     []v1alpha2.ClusterNetworkPolicyEgressPeer
	protocols []v1alpha2.ClusterNetworkPolicyProtocol
}

func clusterRulesOf(spec v1alpha2.ClusterNetworkPolicySpec, d networkingv1.PolicyType) []clusterRule {
	var all []clusterRule
	if d == egress {
		for _, r := range spec.Egress {
			all = append(all, clusterRule{r.Action, r.To, r.Protocols})
		}
		return all
	}
	for _, r := range spec.Ingress {
		var peers []v1alpha2.ClusterNetworkPolicyEgressPeer
		for _, p := range r.From {
			peers = append(peers, v1alpha2.ClusterNetworkPolicyEgressPeer{Namespaces: p.Namespaces, Pods: p.Pods})
		}
		all = append(all, clusterRule{r.Action, peers, r.Protocols})
	}
	return all
}

// applies says whether the rule matches the connection and what it then does.
//
// "If an implementation sees no fields are set then it can infer that the
// deployed CRD is of an incompatible version with an unknown field. In that case
// it should fail closed. For "Accept" rules, "fail closed" means: "treat the
// rule as matching no traffic". For "Deny" and "Pass" rules, "fail closed" means:
// "treat the rule as a 'Deny all' rule"."
func (w world) applies(r clusterRule, c run, d networkingv1.PolicyType) (outcomes, answer) {
	failClosed := slices.ContainsFunc(r.peers, func(p v1alpha2.ClusterNetworkPolicyEgressPeer) bool { return fieldsOf(p) == 0 })
	matches := both(w.anyClusterPeer(r.peers, c, d), anyProtocol(r.protocols, c))
	if matches.is == yes && namesPortsOfNone(r) {
		matches = unsure("a rule has a named port and a peer that has none, which is invalid")
	}
	switch r.action {
	case v1alpha2.ClusterNetworkPolicyRuleActionAccept:
		if failClosed {
			return 0, never
		}
		return setOf(accept), matches
	case v1alpha2.ClusterNetworkPolicyRuleActionDeny, v1alpha2.ClusterNetworkPolicyRuleActionPass:
		if failClosed {
			return setOf(deny), always
		}
		if r.action == v1alpha2.ClusterNetworkPolicyRuleActionPass {
			return setOf(pass), matches
		}
		return setOf(deny), matches
	}
	if matches.is == no {
		return 0, never
	}
	return setOf(accept, deny, pass), unsure("a rule's action %q is invalid", r.action)
}

// namesPortsOfNone: "networks/nodes/domainNames peer cannot be set with
// namedPorts since there are no namedPorts for networks/nodes/domainNames".
func namesPortsOfNone(r clusterRule) bool {
	return slices.ContainsFunc(r.peers, func(p v1alpha2.ClusterNetworkPolicyEgressPeer) bool {
		return p.Nodes != nil || len(p.Networks) > 0 || len(p.DomainNames) > 0
	}) && slices.ContainsFunc(r.protocols, func(p v1alpha2.ClusterNetworkPolicyProtocol) bool {
		return p.DestinationNamedPort != ""
	})
}

// anyProtocol: "If unspecified, protocol-specific attributes will not be used to
// match traffic."
func anyProtocol(all []v1alpha2.ClusterNetworkPolicyProtocol, c run) answer {
	if len(all) == 0 {
		return always
	}
	a := never
	for _, p := range all {
		a = either(a, matchesProtocol(p, c))
	}
	return a
}

// matchesProtocol reads one element of protocols: "Exactly one field must be
// set." A named port is "a destination port on a pod based on the ContainerPort
// name", so the target's declaration gives number and protocol.
func matchesProtocol(p v1alpha2.ClusterNetworkPolicyProtocol, c run) answer {
	ports := map[corev1.Protocol]*v1alpha2.Port{}
	set := 0
	if p.TCP != nil {
		set, ports[corev1.ProtocolTCP] = set+1, p.TCP.DestinationPort
	}
	if p.UDP != nil {
		set, ports[corev1.ProtocolUDP] = set+1, p.UDP.DestinationPort
	}
	if p.SCTP != nil {
		set, ports[corev1.ProtocolSCTP] = set+1, p.SCTP.DestinationPort
	}
	if p.DestinationNamedPort != "" {
		set++
	}
	switch {
	case set != 1:
		return unsure("an element of protocols has %d fields instead of one, which is invalid", set)
	case p.DestinationNamedPort != "":
		return known(declares(c.To.Pod, p.DestinationNamedPort, c))
	}
	for protocol, port := range ports {
		if why := invalidPort(port); why != "" {
			return unsure("%s", why)
		}
		return both(known(protocol == c.Protocol), known(covers(*port, c.Port)))
	}
	return never
}

// invalidPort says why the port is invalid; empty: it is not. The protocol has
// MinProperties=1, so a missing port is; "You must specify either Port or Range";
// "the Start value must be less than End".
func invalidPort(p *v1alpha2.Port) string {
	switch {
	case p == nil:
		return "a protocol without destinationPort is invalid"
	case (p.Number != 0) == (p.Range != nil):
		return "a destinationPort needs either number or range"
	case p.Range != nil && p.Range.Start >= p.Range.End:
		return "a destinationPort's range does not start before its end"
	}
	return ""
}

func covers(p v1alpha2.Port, number int32) bool {
	if p.Range != nil { // "inclusive"
		return p.Range.Start <= number && number <= p.Range.End
	}
	return p.Number == number
}
