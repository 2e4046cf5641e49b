package verdict

// place is what decisions need of a pod.
type place struct {
	class    int32
	profiles [2]int32 // by direction; 0 is that of pods that are not isolated
	flags    flags
	atom     [2]int32 // of its IPv4 and its IPv6 address
	node     int32    // 0: not known
}

// record is as much of a place as nearly every decision needs, in one word, so
// that the records of a large cluster stay near the processor and copying them for
// a change is cheap:
//
//	class (20 bits) | egress profile (20) | ingress profile (20) | hindrances (4)
type record uint64

const (
	hinderedAsSource record = 1 << iota // the short way of deciding will not do
	hinderedAsTarget
	onHostNetwork

	numberBits = 20
	numberMask = 1<<numberBits - 1
	ingressAt  = 4
	egressAt   = ingressAt + numberBits
	classAt    = egressAt + numberBits
	hindered   = hinderedAsSource | hinderedAsTarget
)

func (r record) class() int32 { return int32(r >> classAt) }

func (r record) egress() int { return int(r >> egressAt & numberMask) }

func (r record) ingress() int { return int(r >> ingressAt & numberMask) }

// record leaves what does not fit to the long way of deciding.
func (p *place) record() record {
	if p.class > numberMask || p.profiles[egress] > numberMask || p.profiles[ingress] > numberMask {
		return hindered
	}
	r := record(p.class)<<classAt | record(p.profiles[egress])<<egressAt | record(p.profiles[ingress])<<ingressAt
	if p.flags&asSource&^hostNetwork != 0 {
		r |= hinderedAsSource
	}
	if p.flags&asTarget&^hostNetwork != 0 {
		r |= hinderedAsTarget
	}
	if p.flags&hostNetwork != 0 {
		r |= onHostNetwork
	}
	return r
}
