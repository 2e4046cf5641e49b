package manifest

// Use is what input is read for. What a command does not need may be wrong, or be
// there twice: that is a note then, and the object is left out. The zero Use needs
// everything.
type Use uint8

// The uses.
const (
	ForPlan       Use = iota // rollouts, and the suites that they name
	ForCandidates            // rollouts, for their policies: no suite is needed
	ForLint                  // the same, and of two rollouts of one name the first is enough
	ForPolicies              // policies and pods: neither rollouts nor suites are needed
	ForApply                 // rollouts and suites themselves: what they refer to may be in the cluster, and nothing else is needed
)

// needs reports whether an object of the kind has to be right.
func (u Use) needs(kind string) bool {
	if u == ForApply {
		return kind == "PolicyRollout" || kind == "ConnectivitySuite"
	}
	switch kind {
	case "PolicyRollout":
		return u != ForPolicies
	case "ConnectivitySuite":
		return u == ForPlan
	case "EndpointSlice", "Endpoints": // they only tell where Services without selector lead
		return false
	}
	return true
}

// fault is a problem with an object that is needed. One that is not needed is left
// out, which is a note.
func (r *reading) fault(kind string, at Position, object, format string, args ...any) {
	if r.options.Use.needs(kind) {
		r.problem(at, object, format, args...)
		return
	}
	r.note(at, object, "is not needed here and is left out: "+format, args...)
}

// twice is the fault of an object whose name another one has.
func (r *reading) twice(at Source, first Position) {
	if at.Kind == "PolicyRollout" && r.options.Use == ForLint {
		r.note(at.Position, at.subject(), "is declared twice, and this one is left out: first at %s", first)
		return
	}
	r.fault(at.Kind, at.Position, at.subject(), "is declared twice: first at %s", first)
}
