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
func (c *Compiler) rulesOf(f *fragment, p *networkingv1.NetworkPolicy, d direction) []ruleset.Rule {
	var rules []ruleset.Rule
	one := func(i int, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, peersField string) {
		field := fmt.Sprintf("spec.%s[%d]", d.name, i)
		from, err := c.peerMatches(f, p, d, peers, field+"."+peersField)
		if err != nil {
			f.refuse(p, err.field, err.message+": the rule allows nothing")
			return
		}
		to, err := c.portMatches(f, ports, field+".ports")
		if err != nil {
			f.refuse(p, err.field, err.message+": the rule allows nothing")
			return
		}
		if len(rules)+len(from)*len(to) > maxRules {
			f.refuse(p, field, fmt.Sprintf("more than %d combinations of peers and ports: this rule allows nothing; split the policy", maxRules))
			return
		}
		for _, peer := range from {
			for _, port := range to {
				if rule, can := both(peer, port); can {
					rules = append(rules, rule)
				}
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

// both joins a match of peers with a match of ports, unless they are of two families.
func both(peer, port ruleset.Rule) (ruleset.Rule, bool) {
	if peer.Family != 0 && port.Family != 0 && peer.Family != port.Family {
		return port, false
	}
	port.SrcSet, port.DstSet = peer.SrcSet, peer.DstSet
	port.Family = max(port.Family, peer.Family)
	return port, true
}

// portMatches: no ports at all means every port of every protocol.
func (c *Compiler) portMatches(f *fragment, ports []networkingv1.NetworkPolicyPort, field string) ([]ruleset.Rule, *fieldError) {
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
		if port.Port != nil && port.Port.Type == intstr.String && port.EndPort == nil {
			matches = append(matches, c.namedPort(f, proto, port.Port.StrVal)...)
			continue
		}
		m, err := portMatch(proto, port, at)
		if err != nil {
			return nil, err
		}
		matches = append(matches, m)
	}
	return matches, nil
}

// portMatch: no port means every port of the protocol.
func portMatch(proto ruleset.Proto, port networkingv1.NetworkPolicyPort, at string) (ruleset.Rule, *fieldError) {
	m := ruleset.Rule{Proto: proto}
	switch {
	case port.Port == nil && port.EndPort != nil:
		return m, &fieldError{at + ".endPort", "endPort without port"}
	case port.Port == nil:
		return m, nil
	case port.Port.Type == intstr.String:
		return m, &fieldError{at + ".endPort", "endPort with a named port"}
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

// namedPort: a name stands for the port that the pod the packet goes to gives
// that name, so it is looked up by destination address and port, in both
// directions: in the list of all pods with a port of that name and protocol.
func (c *Compiler) namedPort(f *fragment, proto ruleset.Proto, name string) []ruleset.Rule {
	l := &list{name: fmt.Sprintf("port-%s-%s-", proto, hash(name)), kind: ruleset.AddrPorts, all: true,
		entries: func(p *corev1.Pod) []ruleset.Element {
			var elements []ruleset.Element
			for _, port := range portsCalled(p, proto, name) {
				elements = append(elements, ruleset.Element{Port: port})
			}
			return elements
		}}
	f.lists = append(f.lists, l)
	var matches []ruleset.Rule
	for _, v := range c.families() {
		matches = append(matches, ruleset.Rule{Family: v, Proto: proto, DstPortSet: named(l.name, v)})
	}
	return matches
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
