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
	longOut                         // the egress profile has a long table
	longIn                          // the ingress profile has a long table
	hostNetwork                     // it is on the network of its node

	asSource = free | manyAddresses | orderedOut | longOut
	asTarget = free | manyAddresses | orderedIn | longIn
)

// noAddress is the atom of a pod without address in a family.
const noAddress = 0

// Decide is Judge without the explanation, for a connection between two pods of
// the snapshot. An empty protocol is TCP. A free PodID is Unknown.
func (s *Snapshot) Decide(from, to PodID, port int32, protocol corev1.Protocol) Decision {
	all, p := s.records, protocolIndex(protocol)
	if uint(from) >= uint(len(all)) || uint(to) >= uint(len(all)) || uint32(port-1) >= 65535 || p == protocols || from == to {
		return s.decideRarely(from, to, port, protocol)
	}
	a, b := &all[from], &all[to]
	if a.flags&asSource|b.flags&asTarget != 0 {
		return s.decideRarely(from, to, port, protocol)
	}
	lanes := lanesOf(port)
	x := s.rows[s.tables[int(a.profile[egress])*protocols+p].short(lanes)].Load()
	y := s.rows[s.tables[int(b.profile[ingress])*protocols+p].short(lanes)].Load()
	if x == nil || y == nil {
		return s.decideLong(a, b, port, p)
	}
	leaves, enters := x.classes.has(b.class), y.classes.has(a.class)
	if leaves && enters {
		return Allow
	}
	if (a.flags|b.flags)&hostNetwork == 0 && (!leaves && x.certain || !enters && y.certain) {
		return Deny
	}
	d := doubt{s, a, b, x, y, nil, port, p}
	return d.decide()
}

// decideLong makes rows that nobody has asked for before, and finds them in
// tables of any length.
func (s *Snapshot) decideLong(a, b *record, port int32, p int) Decision {
	out, in := &s.tables[int(a.profile[egress])*protocols+p], &s.tables[int(b.profile[ingress])*protocols+p]
	d := doubt{s, a, b, s.row(out.recipe(port)), s.row(in.recipe(port)), out.long, port, p}
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
		x, y := &s.records[from], &s.records[to]
		if (x.flags&asSource|y.flags&asTarget)&^(longOut|longIn) == 0 {
			return s.decideLong(x, y, port, p)
		}
	}
	return s.Judge(Conn{From: End{Pod: a}, To: End{Pod: b}, Port: port, Protocol: protocol}).Decision
}

// doubt is a connection between two pods that labels alone do not decide.
type doubt struct {
	s        *Snapshot
	from, to *record
	out, in  *row
	names    *longTable // of the egress; nil: no rule has named ports
	port     int32
	protocol int
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
	if d.names != nil && leaves != yes {
		leaves = leaves.or(d.named(to))
	}
	return worse(d.side(leaves, d.from, d.to), d.side(d.in.allows(d.from.class, from), d.to, d.from))
}

// named reads the egress rules with ports that the target declares by name.
func (d *doubt) named(to int32) truth {
	result := no
	for _, n := range d.names.named {
		if declares(d.s.classes[d.to.class].ports, n.name, d.port, protocolNames[d.protocol]) {
			result = result.or(d.s.row(n.recipe).allows(d.to.class, to))
		}
	}
	return result
}

// side: a denial is in doubt where implementations may let through what the
// rules deny, as Conn.undefined says.
func (d *doubt) side(is truth, subject, peer *record) Decision {
	switch {
	case is == yes:
		return Allow
	case is == maybe, subject.flags&hostNetwork != 0, peer.flags&hostNetwork != 0 && peer.node != 0 && peer.node == subject.node:
		return Unknown
	}
	return Deny
}
