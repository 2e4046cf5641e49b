package verdict

import (
	corev1 "k8s.io/api/core/v1"
)

// flags say what the short way of deciding cannot do for a pod.
type flags uint32

const (
	free          flags = 1 << iota // no pod has the PodID
	manyAddresses                   // more than one of a family
	orderedOut                      // policies of other kinds than v1, or doubtful ones, for egress
	orderedIn                       // the same for ingress
	byName                          // egress rules name ports of the target
	hostNetwork                     // it is on the network of its node

	asSource = free | manyAddresses | hostNetwork | orderedOut | byName
	asTarget = free | manyAddresses | hostNetwork | orderedIn
)

// noAddress is the atom of a pod without address in a family.
const noAddress = 0

// Decide is Judge without the explanation, for a connection between two pods of
// the snapshot. An empty protocol is TCP. A free PodID is Unknown.
func (s *Snapshot) Decide(from, to PodID, port int32, protocol corev1.Protocol) Decision {
	i, j, p := uint(uint32(from)), uint(uint32(to)), protocolIndex(protocol)
	if i >= uint(len(s.records)) || j >= uint(len(s.records)) || uint32(port-1) >= 65535 || p == protocols || i == j {
		return s.decideRarely(from, to, port, protocol)
	}
	a, b := s.records[i], s.records[j]
	if a&hinderedAsSource|b&hinderedAsTarget != 0 {
		return s.decideRarely(from, to, port, protocol)
	}
	column := s.columns[s.portClasses[p<<16|int(port)]]
	// Ingress first: rules mostly say who may enter, so that it decides most
	// denials, and the processor foresees it.
	y := s.rows[column[b.ingress()]].Load()
	if y == nil {
		return s.decideLong(i, j, port, p)
	}
	enters := y.code(a.class())
	if enters == refuses && (a|b)&onHostNetwork == 0 {
		return Deny
	}
	x := s.rows[column[a.egress()]].Load()
	if x == nil {
		return s.decideLong(i, j, port, p)
	}
	switch enters * x.code(b.class()) {
	case lets:
		return Allow
	case refuses:
		if (a|b)&onHostNetwork == 0 {
			return Deny
		}
	}
	return s.decideDoubt(i, j, x, y)
}

// decideLong makes rows that nobody has asked for before, and finds those that
// the port class does not lead to.
func (s *Snapshot) decideLong(from, to uint, port int32, p int) Decision {
	out := *s.tables.at(int(s.places.at(int(from)).profiles[egress]))
	in := *s.tables.at(int(s.places.at(int(to)).profiles[ingress]))
	point := pointOf(p, port)
	d := s.doubt(from, to, s.row(out.recipe(point)), s.row(in.recipe(point)))
	d.named, d.port, d.protocol = out.named, port, protocolNames[p]
	return d.decide()
}

// decideDoubt is for profiles without rules that name ports of the target.
func (s *Snapshot) decideDoubt(from, to uint, x, y *row) Decision {
	d := s.doubt(from, to, x, y)
	return d.decide()
}

// decideRarely does what Decide leaves out, and asks Judge where it must.
func (s *Snapshot) decideRarely(from, to PodID, port int32, protocol corev1.Protocol) Decision {
	a, b := s.Pod(from), s.Pod(to)
	if a == nil || b == nil {
		return Unknown
	}
	p := protocolIndex(protocol)
	if p < protocols && uint32(port-1) < 65535 {
		if from == to {
			return Allow
		}
		either := s.places.at(int(from)).flags&asSource | s.places.at(int(to)).flags&asTarget
		if either&^(hostNetwork|byName) == 0 {
			return s.decideLong(uint(from), uint(to), port, p)
		}
	}
	return s.Judge(Conn{From: End{Pod: a}, To: End{Pod: b}, Port: port, Protocol: protocol}).Decision
}

// doubt is a connection between two pods that labels alone do not decide.
type doubt struct {
	s        *Snapshot
	from, to *place
	out, in  *row
	named    []namedRule // of the egress
	port     int32       // for those
	protocol corev1.Protocol
}

func (s *Snapshot) doubt(from, to uint, out, in *row) doubt {
	return doubt{s: s, from: s.places.at(int(from)), to: s.places.at(int(to)), out: out, in: in}
}

// decide takes the connection over each family that both pods have, or over
// every combination of addresses if they share none.
func (d *doubt) decide() Decision {
	a, b := d.from.atom, d.to.atom
	four, six := a[0] != noAddress && b[0] != noAddress, a[1] != noAddress && b[1] != noAddress
	switch {
	case four && six:
		return d.alike(a, b)
	case four:
		return d.over(a[0], b[0])
	case six:
		return d.over(a[1], b[1])
	case a[0] != noAddress && a[1] != noAddress:
		return d.alike(a, [2]int32{})
	case b[0] != noAddress && b[1] != noAddress:
		return d.alike([2]int32{}, b)
	}
	return d.over(a[0]|a[1], b[0]|b[1])
}

func (d *doubt) alike(a, b [2]int32) Decision {
	if v := d.over(a[0], b[0]); v == d.over(a[1], b[1]) {
		return v
	}
	return Unknown
}

// over is the decision between addresses of these atoms.
func (d *doubt) over(from, to int32) Decision {
	leaves := d.out.allows(d.to.class, to)
	if len(d.named) > 0 && leaves != yes {
		leaves = leaves.or(d.byName(to))
	}
	return worse(side(leaves, d.from, d.to), side(d.in.allows(d.from.class, from), d.to, d.from))
}

// byName reads the egress rules with ports that the target declares by name.
func (d *doubt) byName(to int32) truth {
	result := no
	for _, n := range d.named {
		if n.protocol == d.protocol && declares((*d.s.classes.at(int(d.to.class))).ports, n.name, d.port, d.protocol) {
			result = result.or(d.s.row(n.recipe).allows(d.to.class, to))
		}
	}
	return result
}

// side: a denial is in doubt where implementations may let through what the
// rules deny, as Conn.undefined says.
func side(is truth, subject, peer *place) Decision {
	switch {
	case is == yes:
		return Allow
	case is == maybe, subject.flags&hostNetwork != 0, peer.flags&hostNetwork != 0 && (peer.node == 0 || subject.node == 0 || peer.node == subject.node):
		return Unknown
	}
	return Deny
}
