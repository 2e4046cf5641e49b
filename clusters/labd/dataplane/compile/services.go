package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Sets of all Services. A front is a Service's address, protocol and port.
const (
	setFronts     = "services"
	setClusterIPs = "cluster_ips"
	setHairpin    = "hairpin"
	setRefused    = "refused_fronts" // nobody stands behind them
	setDropped    = "dropped_fronts" // nobody on this node does, and no other may
)

// masquerade is the bit in a packet's mark that asks for the node's own address
// as its source: answers must come back through this node.
const masquerade = 0x4000

// labelHeadless and labelProxy mark Services that another proxy looks after.
const (
	labelProxy    = "service.kubernetes.io/service-proxy-name"
	labelHeadless = corev1.IsHeadlessService
)

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// serviceChains turn packets for a front into packets for one of its endpoints. A
// ClusterIP that is still there after that has no endpoint on that port, and is
// refused at once. No packet for 127.0.0.0/8 comes in by wire: NodePorts answer
// there, so the kernel is told to route it, and lets strangers in without this.
func (c *Compiler) serviceChains(f *fragment) {
	nat := func(at ruleset.Point, priority int32, rules ...ruleset.Rule) ruleset.Chain {
		return ruleset.Chain{Hook: ruleset.Hook{Point: at, Priority: priority, NAT: true}, Rules: rules}
	}
	var to, from, refuse []ruleset.Rule
	for i, v := range c.families() {
		for set, kind := range map[string]ruleset.Kind{setFronts: ruleset.FrontChains, setClusterIPs: ruleset.Addrs,
			setHairpin: ruleset.AddrPairs, setRefused: ruleset.Fronts, setDropped: ruleset.Fronts} {
			f.set(named(set, v), kind.For(v))
		}
		to = append(to, ruleset.Rule{Family: v, Action: ruleset.DispatchFront, Target: named(setFronts, v)})
		from = append(from,
			ruleset.Rule{Family: v, PairSet: named(setHairpin, v), Action: ruleset.SNAT, To: c.NodeIPs[i]},
			ruleset.Rule{Family: v, Marked: masquerade, Action: ruleset.SNAT, To: c.NodeIPs[i]})
		refuse = append(refuse,
			ruleset.Rule{Family: v, FrontSet: named(setDropped, v), Action: ruleset.Drop},
			ruleset.Rule{Family: v, FrontSet: named(setRefused, v), Proto: ruleset.TCP, Action: ruleset.RejectReset},
			ruleset.Rule{Family: v, FrontSet: named(setRefused, v), Action: ruleset.RejectUnreachable},
			ruleset.Rule{Family: v, DstSet: named(setClusterIPs, v), Proto: ruleset.TCP, Action: ruleset.RejectReset},
			ruleset.Rule{Family: v, DstSet: named(setClusterIPs, v), Action: ruleset.RejectUnreachable})
	}
	f.chains["service-prerouting"] = nat(ruleset.Prerouting, -100, to...)
	f.chains["service-output"] = nat(ruleset.Output, -100, to...)
	f.chains["service-postrouting"] = nat(ruleset.Postrouting, 100, from...)
	for name, point := range map[string]ruleset.Point{"refuse-input": ruleset.Input, "refuse-forward": ruleset.Forward, "refuse-output": ruleset.Output} {
		f.chains[name] = ruleset.Chain{Hook: ruleset.Hook{Point: point, Priority: -10}, Rules: refuse}
	}
	if c.has(ruleset.IPv4) {
		f.chains["no-loopback-by-wire"] = ruleset.Chain{Hook: ruleset.Hook{Point: ruleset.Prerouting, Priority: -300},
			Rules: []ruleset.Rule{{Family: ruleset.IPv4, FromWire: true, DstIn: loopback, Action: ruleset.Drop}}}
	}
}

// SetService tells the Compiler what a Service is by now; nil: it is gone.
func (c *Compiler) SetService(key Key, s *corev1.Service) {
	delete(c.services, key)
	if s != nil {
		c.services[key] = s
	}
	c.unserved[key] = true
}

// SetSlice tells the Compiler what an EndpointSlice is by now; nil: it is gone.
func (c *Compiler) SetSlice(key Key, s *discoveryv1.EndpointSlice) {
	if of, had := c.sliceOf[key]; had {
		delete(c.slices[of], key)
		delete(c.sliceOf, key)
		c.unserved[of] = true
	}
	if s == nil {
		return
	}
	of := Key{s.Namespace, s.Labels[discoveryv1.LabelServiceName]}
	if c.slices[of] == nil {
		c.slices[of] = map[Key]*discoveryv1.EndpointSlice{}
	}
	c.slices[of][key], c.sliceOf[key] = s, of
	c.unserved[of] = true
}

// service makes all of a Service anew. ExternalName is for DNS alone.
func (c *Compiler) service(key Key) {
	svc := c.services[key]
	if svc == nil || svc.Spec.Type == corev1.ServiceTypeExternalName || foreign(svc) {
		c.claim(key, nil)
		c.replace("service/"+key.String(), nil)
		return
	}
	s := &serviceParts{Compiler: c, fragment: newFragment(), svc: svc, key: key}
	s.unsupported()
	var wanted []wish
	for _, text := range clusterIPs(svc) {
		if addr, err := netip.ParseAddr(text); err == nil && c.has(ruleset.FamilyOf(addr)) {
			s.member(named(setClusterIPs, ruleset.FamilyOf(addr)), ruleset.Element{Addr: addr})
			for _, port := range svc.Spec.Ports {
				wanted = append(wanted, s.port(addr, port)...)
			}
		}
	}
	wanted = distinct(wanted)
	c.claim(key, wanted)
	for _, w := range wanted {
		s.grant(w)
	}
	c.replace("service/"+key.String(), s.fragment)
}

// distinct leaves the first wish for each front.
func distinct(wishes []wish) []wish {
	seen := map[Front]bool{}
	return slices.DeleteFunc(wishes, func(w wish) bool {
		twice := seen[w.front]
		seen[w.front] = true
		return twice
	})
}

func foreign(svc *corev1.Service) bool {
	_, proxy := svc.Labels[labelProxy]
	_, headless := svc.Labels[labelHeadless]
	return proxy || headless
}

// clusterIPs are the Service's addresses; none of a headless one is an address.
func clusterIPs(svc *corev1.Service) []string {
	if len(svc.Spec.ClusterIPs) > 0 {
		return svc.Spec.ClusterIPs
	}
	return []string{svc.Spec.ClusterIP}
}

// serviceParts is a Service while its rules are made.
type serviceParts struct {
	*Compiler
	*fragment
	svc *corev1.Service
	key Key
}

// port makes the chains of one port and one family, and says which fronts lead
// there. Inside traffic comes to the ClusterIP, outside traffic to all others.
func (s *serviceParts) port(addr netip.Addr, port corev1.ServicePort) []wish {
	proto, ok := protoOf(&port.Protocol)
	if !ok || port.Port < 1 || port.Port > 65535 {
		s.problem("spec.ports", fmt.Sprintf("port %q: protocol %q or number %d is not known here: it is refused", port.Name, port.Protocol, port.Port))
		return nil
	}
	v := ruleset.FamilyOf(addr)
	b := backends{serviceParts: s, family: v, proto: proto, id: hash(s.key.String(), v.String(), proto.String(), fmt.Sprint(port.Port))}
	b.everywhere, b.here = s.endpoints(port, v)
	wishes := []wish{{front: Front{addr, proto, uint16(port.Port)}, rank: rankCluster, to: b.inside()}}
	for _, f := range s.outsideFronts(v, proto, port) {
		f.to = b.outside()
		wishes = append(wishes, f)
	}
	return wishes
}

// outsideFronts are the fronts of a port besides the ClusterIP.
func (s *serviceParts) outsideFronts(v ruleset.Family, proto ruleset.Proto, port corev1.ServicePort) []wish {
	var all []wish
	add := func(text string, number int32, r rank) {
		a, err := netip.ParseAddr(text)
		if err == nil && ruleset.FamilyOf(a) == v && number > 0 && number <= 65535 {
			all = append(all, wish{front: Front{a, proto, uint16(number)}, rank: r})
		}
	}
	for _, ip := range s.NodeIPs {
		add(ip.String(), port.NodePort, rankNodePort)
	}
	add(loopback.Addr().Next().String(), port.NodePort, rankNodePort)
	for _, ip := range s.svc.Spec.ExternalIPs {
		add(ip, port.Port, rankExternal)
	}
	if len(s.svc.Spec.LoadBalancerSourceRanges) > 0 {
		return all // its addresses are not answered; unsupported says so
	}
	for _, in := range s.svc.Status.LoadBalancer.Ingress {
		if in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP {
			add(in.IP, port.Port, rankExternal)
		}
	}
	return all
}

// affinity is how long a client stays with an endpoint; 0: it does not.
func (s *serviceParts) affinity() time.Duration {
	if s.svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	seconds := int32(corev1.DefaultClientIPServiceAffinitySeconds)
	if c := s.svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil && *c.ClientIP.TimeoutSeconds > 0 {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	return time.Duration(seconds) * time.Second
}

// unsupported reports what of a Service this data plane does not do.
func (s *serviceParts) unsupported() {
	spec := s.svc.Spec
	if spec.Type == corev1.ServiceTypeLoadBalancer && len(s.svc.Status.LoadBalancer.Ingress) == 0 {
		s.problem("spec.type", "nothing in the lab gives LoadBalancer addresses: the ClusterIP and the NodePorts answer")
	}
	if len(spec.LoadBalancerSourceRanges) > 0 {
		s.problem("spec.loadBalancerSourceRanges", "source ranges are not built: the load balancer's addresses do not answer")
	}
	if spec.HealthCheckNodePort != 0 {
		s.problem("spec.healthCheckNodePort", "health checks of load balancers are not built: the port does not answer")
	}
	for _, v := range []ruleset.Family{ruleset.IPv4, ruleset.IPv6} {
		if !s.has(v) && slices.Contains(spec.IPFamilies, corev1.IPFamily(v.String())) {
			s.problem("spec.ipFamilies", fmt.Sprintf("this lab has no %s: that address does not answer", v))
		}
	}
}

func (s *serviceParts) problem(field, message string) {
	p := Problem{Kind: "Service", Namespace: s.key.Namespace, Name: s.key.Name, UID: string(s.svc.UID), Field: field, Message: message}
	if !slices.Contains(s.fragment.problems, p) { // every family has the port's
		s.fragment.problems = append(s.fragment.problems, p)
	}
}
