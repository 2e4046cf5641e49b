package compile

import (
	"net/netip"
	"slices"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// candidates are the endpoints of one port by their condition.
type candidates struct{ ready, going []netip.AddrPort }

// usable are the ready ones, sorted. If none is ready, those that are going but
// still serve stand in, as kube-proxy does it.
func (c candidates) usable() []netip.AddrPort {
	use := c.ready
	if len(use) == 0 {
		use = c.going
	}
	slices.SortFunc(use, netip.AddrPort.Compare)
	return slices.Compact(use)
}

// endpoints returns the usable endpoints of a port: of all nodes, and of this one.
func (s *serviceParts) endpoints(port corev1.ServicePort, v ruleset.Family) (everywhere, here []netip.AddrPort) {
	var all, mine, hinted candidates
	complete := true // every ready endpoint says for which nodes it is
	for _, slice := range s.slices[s.key] {
		number, ok := slicePort(slice, port)
		if !ok || string(slice.AddressType) != v.String() {
			continue
		}
		if _, not := slice.Labels[labelHeadless]; not {
			continue
		}
		for _, e := range slice.Endpoints {
			if len(e.Addresses) == 0 {
				continue
			}
			addr, err := netip.ParseAddr(e.Addresses[0])
			if err != nil || ruleset.FamilyOf(addr) != v {
				continue
			}
			at := netip.AddrPortFrom(addr, number)
			all.add(e, at)
			if e.NodeName != nil && *e.NodeName == s.NodeName {
				mine.add(e, at)
			}
			if forNode, said := s.hint(e); forNode {
				hinted.add(e, at)
			} else if !said && ready(e) {
				complete = false
			}
		}
	}
	if complete && len(hinted.ready) > 0 {
		return hinted.usable(), mine.usable()
	}
	return all.usable(), mine.usable()
}

// hint says whether an endpoint is meant for this node, and whether it is meant
// for particular nodes at all (trafficDistribution: PreferSameNode).
func (s *serviceParts) hint(e discoveryv1.Endpoint) (forNode, said bool) {
	if e.Hints == nil || len(e.Hints.ForNodes) == 0 {
		return false, false
	}
	return slices.Contains(e.Hints.ForNodes, discoveryv1.ForNode{Name: s.NodeName}), true
}

func (c *candidates) add(e discoveryv1.Endpoint, at netip.AddrPort) {
	yes := func(b *bool) bool { return b != nil && *b }
	switch {
	case ready(e):
		c.ready = append(c.ready, at)
	case yes(e.Conditions.Serving) && yes(e.Conditions.Terminating):
		c.going = append(c.going, at)
	}
}

// ready: a condition that was not given counts as true.
func ready(e discoveryv1.Endpoint) bool {
	return e.Conditions.Ready == nil || *e.Conditions.Ready
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
