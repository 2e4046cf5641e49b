package compile

import (
	"fmt"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maxRules bounds what one policy may cost in one direction: peers times ports
// of all its rules.
const maxRules = 4096

// rulesOf returns the matches of the policy's rules in one direction, without
// verdict. A rule that cannot be honoured in full gives no match at all: what
// it would have allowed stays closed, and a Problem says so.
func (c *compiler) rulesOf(p *networkingv1.NetworkPolicy, d direction) []ruleset.Rule {
	var rules []ruleset.Rule
	one := func(i int, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, peersField string) {
		field := fmt.Sprintf("spec.%s[%d]", d.name, i)
		from, err := c.peerMatches(p, d, peers, field+"."+peersField)
		if err != nil {
			c.refuse(p, err.field, err.message+": the rule allows nothing")
			return
		}
		to, err := c.portMatches(ports, field+".ports")
		if err != nil {
			c.refuse(p, err.field, err.message+": the rule allows nothing")
			return
		}
		if len(rules)+len(from)*len(to) > maxRules {
			c.refuse(p, field, fmt.Sprintf("more than %d combinations of peers and ports: this rule allows nothing; split the policy", maxRules))
			return
		}
		for _, f := range from {
			for _, t := range to {
				rules = append(rules, both(f, t))
			}
		}
	}
	if d == ingress {
		for i, r := range p.Spec.Ingress {
			one(i, r.From, r.Ports, "from")
		}
	} else {
		for i, r := range p.Spec.Egress {
			one(i, r.To, r.Ports, "to")
		}
	}
	return rules
}

// fieldError says which field of a policy cannot be honoured.
type fieldError struct{ field, message string }

// both joins a match of peers with a match of ports.
func both(peer, port ruleset.Rule) ruleset.Rule {
	port.SrcSet, port.DstSet = peer.SrcSet, peer.DstSet
	return port
}

// portMatches: no ports at all means every port of every protocol.
func (c *compiler) portMatches(ports []networkingv1.NetworkPolicyPort, field string) ([]ruleset.Rule, *fieldError) {
	if len(ports) == 0 {
		return []ruleset.Rule{{}}, nil
	}
	var matches []ruleset.Rule
	for i, port := range ports {
		at := fmt.Sprintf("%s[%d]", field, i)
		proto, ok := protoOf(port.Protocol)
		if !ok {
			return nil, &fieldError{at + ".protocol", fmt.Sprintf("protocol %q is not known here (TCP, UDP, SCTP)", *port.Protocol)}
		}
		m, err := c.portMatch(proto, port, at)
		if err != nil {
			return nil, err
		}
		matches = append(matches, m)
	}
	return matches, nil
}

// portMatch: no port means every port of the protocol. A name stands for the
// port that the pod the packet goes to gives that name, so it is looked up by
// destination address and port, in both directions.
func (c *compiler) portMatch(proto ruleset.Proto, port networkingv1.NetworkPolicyPort, at string) (ruleset.Rule, *fieldError) {
	m := ruleset.Rule{Proto: proto}
	switch {
	case port.Port == nil && port.EndPort != nil:
		return m, &fieldError{at + ".endPort", "endPort without port"}
	case port.Port == nil:
		return m, nil
	case port.Port.Type == intstr.String && port.EndPort != nil:
		return m, &fieldError{at + ".endPort", "endPort with a named port"}
	case port.Port.Type == intstr.String:
		m.DstPortSet = c.namedPort(proto, port.Port.StrVal)
		return m, nil
	}
	first, last := port.Port.IntVal, port.Port.IntVal
	if port.EndPort != nil {
		last = *port.EndPort
	}
	if first < 1 || last > 65535 || last < first {
		return m, &fieldError{at + ".port", fmt.Sprintf("%d to %d is not a range of ports", first, last)}
	}
	m.PortFirst, m.PortLast = uint16(first), uint16(last)
	return m, nil
}

// namedPort returns the set of all pod addresses with the port that they call
// by this name, for this protocol.
func (c *compiler) namedPort(proto ruleset.Proto, name string) string {
	set := fmt.Sprintf("port-%s-%s", proto, hash(name))
	if _, done := c.out.Ruleset.Sets[set]; done {
		return set
	}
	elements := map[ruleset.Element]bool{}
	for _, pods := range c.peers {
		for _, p := range pods {
			for _, port := range portsCalled(p.pod, proto, name) {
				elements[ruleset.Element{Addr: p.addr, Port: port}] = true
			}
		}
	}
	c.out.Ruleset.Sets[set] = ruleset.Set{Kind: ruleset.AddrPorts, Elements: elements}
	return set
}

// portsCalled returns the numbers of the pod's ports of that name. Init
// containers count only if they keep running beside the others.
func portsCalled(pod *corev1.Pod, proto ruleset.Proto, name string) []uint16 {
	containers := pod.Spec.Containers
	for _, init := range pod.Spec.InitContainers {
		if init.RestartPolicy != nil && *init.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers[:len(containers):len(containers)], init)
		}
	}
	var ports []uint16
	for _, container := range containers {
		for _, port := range container.Ports {
			if has, ok := protoOf(&port.Protocol); ok && has == proto && port.Name == name &&
				port.ContainerPort > 0 && port.ContainerPort <= 65535 {
				ports = append(ports, uint16(port.ContainerPort))
			}
		}
	}
	return ports
}
