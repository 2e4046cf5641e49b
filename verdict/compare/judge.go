package compare

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// pods compares all connections from pods of one class to those of another.
// Its pairs are judged alike as far as they have the same relation, so what
// changes is found once and then given to the workloads.
func (d *differ) pods(a, b *unit) {
	ports := d.portsTo(a, b)
	changed := map[class.Relation][]change{}
	for _, p := range class.Pairs(a.Class, b.Class) {
		for _, port := range ports {
			was := d.before.Decide(p.From.WasID, p.To.WasID, port.Number, port.Protocol)
			is := d.after.Decide(p.From.IsID, p.To.IsID, port.Number, port.Protocol)
			if was != is {
				changed[p.Relation] = append(changed[p.Relation], change{port, was, is})
				d.changes.add(kindOf(was, is), p.Count)
			}
		}
	}
	if len(changed) == 0 {
		return
	}
	for _, from := range a.workloads {
		for _, to := range b.workloads {
			d.share(from, to, changed)
		}
	}
}

// change is a port on which a pair of ends changes verdict.
type change struct {
	verdict.Port
	before, after verdict.Decision
}

func (d *differ) share(from, to *workload, changed map[class.Relation][]change) {
	for _, p := range class.Pairs(from.Class, to.Class) {
		for _, c := range changed[p.Relation] {
			d.record(from.name, to.name, c, p.Count, func() (was, is verdict.Conn) {
				was = verdict.Conn{From: verdict.End{Pod: p.From.Was}, To: verdict.End{Pod: p.To.Was}, Port: c.Number, Protocol: c.Protocol}
				is = verdict.Conn{From: verdict.End{Pod: p.From.Is}, To: verdict.End{Pod: p.To.Is}, Port: c.Number, Protocol: c.Protocol}
				return was, is
			})
		}
	}
}

// record adds pairs to the line of their group, or counts them as left off. The
// rules are looked up for the first pair only.
func (d *differ) record(from, to string, c change, pairs int, example func() (was, is verdict.Conn)) {
	key := group{from, to, c.Number, c.Protocol, c.before, c.after}
	if line, ok := d.groups[key]; ok {
		line.Pairs += pairs
		return
	}
	if len(d.groups) >= d.Max {
		d.changes.LeftOff += pairs
		return
	}
	was, is := example()
	d.groups[key] = &Change{
		From: from, To: to, Port: c.Number, Protocol: c.Protocol, Name: c.Name, OtherPort: c.Number == d.other(c.Protocol),
		Before: c.before, After: c.after, BeforeRule: d.before.Judge(was).Rule(), AfterRule: d.after.Judge(is).Rule(),
		ExampleFrom: is.From, ExampleTo: is.To, Pairs: pairs,
	}
}

// outside compares what the pods of a class and an address may do with each
// other. From an address only ingress of the pod decides, to it only egress.
func (d *differ) outside(u *unit, ip netip.Addr) {
	pod, end := u.Rep(), verdict.End{IP: ip}
	if u.touched.egress || u.touched.peer {
		ports := class.Tried(&verdict.Pod{}, d.other, d.given(true, u.egress)...)
		for _, port := range ports {
			was := verdict.Conn{From: verdict.End{Pod: pod.Was}, To: end, Port: port.Number, Protocol: port.Protocol}
			is := was
			is.From.Pod = pod.Is
			d.address(u, port, was, is, func(w *workload) (string, string) { return w.name, ip.String() })
		}
	}
	if u.touched.ingress || u.touched.peer {
		for _, port := range class.Tried(pod.Is, d.other, d.given(undeclared(pod), u.ingress, pod.Was.Ports)...) {
			was := verdict.Conn{From: end, To: verdict.End{Pod: pod.Was}, Port: port.Number, Protocol: port.Protocol}
			is := was
			is.To.Pod = pod.Is
			d.address(u, port, was, is, func(w *workload) (string, string) { return ip.String(), w.name })
		}
	}
}

func (d *differ) address(u *unit, port verdict.Port, was, is verdict.Conn, names func(*workload) (from, to string)) {
	c := change{port, d.before.Judge(was).Decision, d.after.Judge(is).Decision}
	if c.before == c.after {
		return
	}
	d.changes.add(kindOf(c.before, c.after), len(u.Members))
	for _, w := range u.workloads {
		from, to := names(w)
		d.record(from, to, c, len(w.Members), func() (verdict.Conn, verdict.Conn) {
			a, b := was, is
			own(&a, &b, w.Rep())
			return a, b
		})
	}
}

// own puts a pod of the workload in place of the one that was judged.
func own(was, is *verdict.Conn, m class.Member) {
	if was.From.Pod != nil {
		was.From.Pod, is.From.Pod = m.Was, m.Is
	} else {
		was.To.Pod, is.To.Pod = m.Was, m.Is
	}
}

// portsTo are the ports to try from one class to another.
func (d *differ) portsTo(a, b *unit) []verdict.Port {
	to := b.Rep()
	return class.Tried(to.Is, d.other, d.given(undeclared(to), to.Was.Ports, a.egress, b.ingress)...)
}

// given are the ports to try besides the declared ones: mentioned ones if
// wanted, the caller's, and the one that stands for all others where none would
// be tried otherwise.
func (d *differ) given(other bool, mentioned ...[]verdict.Port) []verdict.Port {
	all := slices.Clone(d.Ports)
	if !d.DeclaredOnly {
		all = append(all, slices.Concat(mentioned...)...)
	}
	if other {
		all = append(all, verdict.Port{})
	}
	return all
}

func undeclared(m class.Member) bool { return len(m.Is.Ports) == 0 && len(m.Was.Ports) == 0 }

// mentions are the ports that policies mention, by namespace and direction.
type mentions struct {
	policies map[string][]mention
	cluster  []verdict.Port // of ClusterNetworkPolicies, whoever they select
}

type mention struct {
	verdict.Policy
	ports map[networkingv1.PolicyType][]verdict.Port
}

func newMentions(worlds ...verdict.World) mentions {
	m := mentions{policies: map[string][]mention{}}
	for _, w := range worlds {
		for _, p := range w.Policies {
			m.policies[p.Namespace] = append(m.policies[p.Namespace], mention{p, map[networkingv1.PolicyType][]verdict.Port{
				networkingv1.PolicyTypeEgress:  class.Ports(p, networkingv1.PolicyTypeEgress),
				networkingv1.PolicyTypeIngress: class.Ports(p, networkingv1.PolicyTypeIngress),
			}})
		}
		for _, p := range w.ClusterPolicies {
			m.cluster = append(m.cluster, class.ClusterPorts(&p.Spec)...)
		}
	}
	return m
}

// of lists the ports that the policies which isolate the pod mention.
func (m mentions) of(pod class.Member) (egress, ingress []verdict.Port) {
	egress, ingress = slices.Clone(m.cluster), slices.Clone(m.cluster)
	for _, p := range m.policies[pod.Is.Namespace] {
		if isolates(p.Policy, pod, networkingv1.PolicyTypeEgress) {
			egress = append(egress, p.ports[networkingv1.PolicyTypeEgress]...)
		}
		if isolates(p.Policy, pod, networkingv1.PolicyTypeIngress) {
			ingress = append(ingress, p.ports[networkingv1.PolicyTypeIngress]...)
		}
	}
	return class.Distinct(egress), class.Distinct(ingress)
}

// isolates is true also where the selector is invalid, because then it may.
func isolates(p verdict.Policy, m class.Member, d networkingv1.PolicyType) bool {
	was, err := p.Isolates(*m.Was, d)
	is, err2 := p.Isolates(*m.Is, d)
	return was || is || err != nil || err2 != nil
}
