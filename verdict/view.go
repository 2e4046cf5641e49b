package verdict

import corev1 "k8s.io/api/core/v1"

// View is a snapshot on one port, for many decisions: what depends on the port
// is looked up once. It never changes.
type View struct {
	s        *Snapshot
	port     int32
	protocol corev1.Protocol
	rows     []*row // by profile
}

// On returns the view of one port. An empty protocol is TCP. Making one takes
// about as long as some thousand decisions.
func (s *Snapshot) On(port int32, protocol corev1.Protocol) *View {
	v := &View{s: s, port: port, protocol: protocol}
	index := protocolIndex(protocol)
	if index == protocols || uint32(port-1) >= 65535 {
		return v
	}
	point := pointOf(index, port)
	column := s.columns[s.portClasses[point]]
	v.rows = make([]*row, len(column))
	for profile, recipe := range column {
		if recipe == mixed {
			v.rows[profile] = s.row((*s.tables.at(profile)).recipe(point))
		} else {
			v.rows[profile] = s.row(int32(recipe))
		}
	}
	return v
}

// Decide is Snapshot.Decide on the port of the view.
func (v *View) Decide(from, to PodID) Decision {
	i, j, all := uint(uint32(from)), uint(uint32(to)), v.s.records
	if i >= uint(len(all)) || j >= uint(len(all)) || v.rows == nil || i == j {
		return v.s.decideRarely(from, to, v.port, v.protocol)
	}
	a, b := all[i], all[j]
	if a&hinderedAsSource|b&hinderedAsTarget != 0 {
		return v.s.decideRarely(from, to, v.port, v.protocol)
	}
	x := v.rows[a.egress()]
	leaves := x.code(b.class())
	if leaves == refuses && (a|b)&onHostNetwork == 0 {
		return Deny
	}
	y := v.rows[b.ingress()]
	switch leaves * y.code(a.class()) {
	case lets:
		return Allow
	case refuses:
		if (a|b)&onHostNetwork == 0 {
			return Deny
		}
	}
	return v.s.decideDoubt(i, j, x, y)
}
