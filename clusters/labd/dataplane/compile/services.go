package compile

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

const (
	setFronts     = "services"
	setClusterIPs = "cluster_ips"
	setHairpin    = "hairpin"
)

// services turns packets for a Service's address into packets for one of its
// endpoints, picked at random per connection. A Service address that is still
// there after that has no endpoint on that port, and is refused at once.
func (c *compiler) services() {
	rs := c.out.Ruleset
	for _, name := range []string{setFronts, setClusterIPs, setHairpin} {
		kind := map[string]ruleset.Kind{setFronts: ruleset.FrontChains, setClusterIPs: ruleset.Addrs, setHairpin: ruleset.AddrPairs}[name]
		rs.Sets[name] = ruleset.Set{Kind: kind, Elements: map[ruleset.Element]bool{}}
	}
	for _, l := range c.in.Local {
		rs.Sets[setHairpin].Elements[ruleset.Element{Addr: l.Addr, Last: l.Addr}] = true
	}
	nat := func(at ruleset.Point, priority int32, rules ...ruleset.Rule) ruleset.Chain {
		return ruleset.Chain{Hook: ruleset.Hook{Point: at, Priority: priority, NAT: true}, Rules: rules}
	}
	front := ruleset.Rule{Action: ruleset.DispatchFront, Target: setFronts}
	rs.Chains["service-prerouting"] = nat(ruleset.Prerouting, -100, front)
	rs.Chains["service-output"] = nat(ruleset.Output, -100, front)
	rs.Chains["hairpin"] = nat(ruleset.Postrouting, 100,
		ruleset.Rule{PairSet: setHairpin, Action: ruleset.SNAT, To: c.in.NodeIP})
	refuse := []ruleset.Rule{
		{DstSet: setClusterIPs, Proto: ruleset.TCP, Action: ruleset.RejectReset},
		{DstSet: setClusterIPs, Action: ruleset.RejectUnreachable},
	}
	rs.Chains["refuse-forward"] = ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Forward, Priority: -10}, Rules: refuse}
	rs.Chains["refuse-output"] = ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Output, Priority: -10}, Rules: refuse}

	slicesOf := map[string][]*discoveryv1.EndpointSlice{}
	for _, s := range c.in.Slices {
		key := s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
		slicesOf[key] = append(slicesOf[key], s)
	}
	for _, svc := range byName(c.in.Services) {
		c.service(svc, slicesOf[svc.Namespace+"/"+svc.Name])
	}
}

func (c *compiler) service(svc *corev1.Service, from []*discoveryv1.EndpointSlice) {
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return // DNS only
	}
	c.unsupported(svc)
	addr, err := netip.ParseAddr(svc.Spec.ClusterIP)
	if err != nil || !addr.Is4() {
		return // headless ("None"), not allocated yet, or IPv6, which unsupported has reported
	}
	rs := c.out.Ruleset
	rs.Sets[setClusterIPs].Elements[ruleset.Element{Addr: addr}] = true
	for _, port := range svc.Spec.Ports {
		proto, ok := protoOf(&port.Protocol)
		if !ok || port.Port < 1 || port.Port > 65535 {
			c.problem(svc, "spec.ports", fmt.Sprintf("port %q: protocol %q or number %d is not known here: it is refused", port.Name, port.Protocol, port.Port))
			continue
		}
		front := Front{addr, proto, uint16(port.Port)}
		targets := c.targets(svc, port, from)
		if proto == ruleset.UDP {
			c.out.UDP[front] = targets
		}
		if len(targets) == 0 {
			continue
		}
		elements, text := map[ruleset.Element]bool{}, ""
		for i, t := range targets {
			elements[ruleset.Element{Index: uint32(i), Addr: t.Addr(), Port: t.Port()}] = true
			text += t.String() + " "
		}
		set, chain := "targets-"+hash(text), "service-"+hash(front.Addr.String(), front.Proto.String(), fmt.Sprint(front.Port))
		rs.Sets[set] = ruleset.Set{Kind: ruleset.IndexTargets, Elements: elements}
		rs.Chains[chain] = ruleset.Chain{Rules: []ruleset.Rule{{Action: ruleset.Balance, Target: set, Modulo: uint32(len(targets))}}}
		rs.Sets[setFronts].Elements[ruleset.Element{Addr: addr, Proto: proto, Port: front.Port, Chain: chain}] = true
	}
}

// unsupported reports what of a Service this data plane does not do. Its
// ClusterIP, if IPv4, works all the same.
func (c *compiler) unsupported(svc *corev1.Service) {
	if t := svc.Spec.Type; t == corev1.ServiceTypeNodePort || t == corev1.ServiceTypeLoadBalancer {
		c.problem(svc, "spec.type", fmt.Sprintf("%s is not built: only the ClusterIP answers", t))
	}
	if svc.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		c.problem(svc, "spec.sessionAffinity", "ClientIP is not built: connections go to random endpoints")
	}
	if len(svc.Spec.ExternalIPs) > 0 {
		c.problem(svc, "spec.externalIPs", "external addresses are not built: only the ClusterIP answers")
	}
	if slices.Contains(svc.Spec.IPFamilies, corev1.IPv6Protocol) {
		c.problem(svc, "spec.ipFamilies", "this lab is IPv4 only: the IPv6 address does not answer")
	}
}

func (c *compiler) problem(svc *corev1.Service, field, message string) {
	c.out.Problems = append(c.out.Problems, Problem{
		Kind: "Service", Namespace: svc.Namespace, Name: svc.Name, UID: string(svc.UID),
		Field: field, Message: message,
	})
}

// targets returns the ready endpoints of one port, sorted. If none is ready,
// those that are going but still serve stand in, as kube-proxy does it.
func (c *compiler) targets(svc *corev1.Service, port corev1.ServicePort, from []*discoveryv1.EndpointSlice) []netip.AddrPort {
	localOnly := svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
	var ready, serving []netip.AddrPort
	for _, s := range from {
		number, ok := slicePort(s, port)
		if !ok || s.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		for _, e := range s.Endpoints {
			if localOnly && (e.NodeName == nil || *e.NodeName != c.in.NodeName) {
				continue
			}
			for _, text := range e.Addresses[:min(1, len(e.Addresses))] {
				addr, err := netip.ParseAddr(text)
				if err != nil || !addr.Is4() {
					continue
				}
				if e.Conditions.Ready == nil || *e.Conditions.Ready {
					ready = append(ready, netip.AddrPortFrom(addr, number))
				} else if e.Conditions.Serving != nil && *e.Conditions.Serving && e.Conditions.Terminating != nil && *e.Conditions.Terminating {
					serving = append(serving, netip.AddrPortFrom(addr, number))
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = serving
	}
	slices.SortFunc(ready, netip.AddrPort.Compare)
	return slices.Compact(ready)
}

// slicePort finds the target port of a Service port in a slice: by name, where
// no name is a name as well, and by protocol.
func slicePort(s *discoveryv1.EndpointSlice, port corev1.ServicePort) (uint16, bool) {
	want, _ := protoOf(&port.Protocol)
	for _, p := range s.Ports {
		name := ""
		if p.Name != nil {
			name = *p.Name
		}
		proto, ok := protoOf(p.Protocol)
		if ok && proto == want && name == port.Name && p.Port != nil && *p.Port > 0 && *p.Port <= 65535 {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}
