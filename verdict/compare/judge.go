package compare

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

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
	class.Try
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
	key := group{from, to, c.Number, c.Last, c.Protocol, c.before, c.after}
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
		From: from, To: to, Port: c.Number, LastPort: c.Last, Protocol: c.Protocol, Name: c.Name, OtherPort: c.Rest,
		Before: c.before, After: c.after, BeforeRule: d.before.Judge(was).Rule(), AfterRule: d.after.Judge(is).Rule(),
		ExampleFrom: is.From, ExampleTo: is.To, Pairs: pairs,
	}
}

// outside compares what the pods of a class and an address may do with each
// other. From an address only ingress of the pod decides, to it only egress.
func (d *differ) outside(u *unit, ip netip.Addr) {
	pod, end := u.Rep(), verdict.End{IP: ip}
	if u.touched.egress || u.touched.peer {
		for _, port := range d.toOutside(u) {
			was := verdict.Conn{From: verdict.End{Pod: pod.Was}, To: end, Port: port.Number, Protocol: port.Protocol}
			is := was
			is.From.Pod = pod.Is
			d.address(u, port, was, is, func(w *workload) (string, string) { return w.name, ip.String() })
		}
	}
	if u.touched.ingress || u.touched.peer {
		for _, port := range d.portsTo(nobody, u) {
			was := verdict.Conn{From: end, To: verdict.End{Pod: pod.Was}, Port: port.Number, Protocol: port.Protocol}
			is := was
			is.To.Pod = pod.Is
			d.address(u, port, was, is, func(w *workload) (string, string) { return ip.String(), w.name })
		}
	}
}

func (d *differ) address(u *unit, port class.Try, was, is verdict.Conn, names func(*workload) (from, to string)) {
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

// nobody is the source where only the target's policies decide.
var nobody = &unit{asSource: -1}

// portsTo are the ports to try from one class to another.
func (d *differ) portsTo(a, b *unit) []class.Try {
	key := [2]int{a.asSource, b.asTarget}
	if all, ok := d.tries[key]; ok {
		return all
	}
	to := b.Rep()
	declared := slices.Concat(to.Is.Ports, to.Was.Ports)
	var rest []corev1.Protocol
	if len(declared) == 0 {
		rest = append(rest, corev1.ProtocolTCP)
	}
	all := class.Tries(declared, d.Ports, d.mentioned(a.egress, b.ingress), rest, d.other)
	d.tries[key] = all
	return all
}

// toOutside are the ports to try from a class to an outside address.
func (d *differ) toOutside(a *unit) []class.Try {
	return class.Tries(nil, d.Ports, d.mentioned(a.egress, nil), []corev1.Protocol{corev1.ProtocolTCP}, d.other)
}

func (d *differ) mentioned(egress, ingress []class.Span) []class.Span {
	if d.DeclaredOnly {
		return nil
	}
	return slices.Concat(egress, ingress)
}
