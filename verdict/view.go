package verdict

import corev1 "k8s.io/api/core/v1"

// View is a snapshot on one port, for many decisions: what depends on the port
// is looked up once. It never changes.
type View struct {
	s        *Snapshot
	port     int32
	protocol corev1.Protocol
	index    int
	rows     []*row // by profile
}

// On returns the view of one port. An empty protocol is TCP. Making one takes
// about as long as some thousand decisions.
func (s *Snapshot) On(port int32, protocol corev1.Protocol) *View {
	v := &View{s: s, port: port, protocol: protocol, index: protocolIndex(protocol)}
	if v.index == protocols || uint32(port-1) >= 65535 {
		return v
	}
	v.rows = make([]*row, len(s.tables)/protocols)
	for i := range v.rows {
		v.rows[i] = s.row(s.tables[i*protocols+v.index].recipe(port))
	}
	return v
}

// Decide is Snapshot.Decide on the port of the view.
func (v *View) Decide(from, to PodID) Decision {
	all := v.s.records
	if uint(from) >= uint(len(all)) || uint(to) >= uint(len(all)) {
		return Unknown
	}
	a, b := &all[from], &all[to]
	if v.rows == nil || from == to || (a.flags&asSource|b.flags&asTarget)&^(longOut|longIn) != 0 {
		return v.s.decideRarely(from, to, v.port, v.protocol)
	}
	x, y := v.rows[a.profile[egress]], v.rows[b.profile[ingress]]
	leaves, enters := x.classes.has(b.class), y.classes.has(a.class)
	if leaves && enters {
		return Allow
	}
	if (a.flags|b.flags)&hostNetwork|a.flags&longOut == 0 && (!leaves && x.certain || !enters && y.certain) {
		return Deny
	}
	d := doubt{v.s, a, b, x, y, v.s.tables[int(a.profile[egress])*protocols+v.index].long, v.port, v.index}
	return d.decide()
}
