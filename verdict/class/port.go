package class

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

const lastPort = 65535

// Span is a range of ports that some rule mentions, both ends included. All
// ports of a protocol are 1 to 65535.
type Span struct {
	First, Last int32
	Protocol    corev1.Protocol
}

// Whole reports whether the span is all ports of its protocol.
func (s Span) Whole() bool { return s.First <= 1 && s.Last >= lastPort }

func (s Span) covers(number int32, protocol corev1.Protocol) bool {
	return s.Protocol == protocol && s.First <= number && number <= s.Last
}

// Spans are the ports that the policy's rules of a direction mention, sorted,
// each once. Names are left out: they select only what targets declare.
func Spans(p verdict.Policy, d networkingv1.PolicyType) []Span {
	var all []Span
	add := func(ports []networkingv1.NetworkPolicyPort) {
		for _, port := range ports {
			all = append(all, spanOf(port)...)
		}
	}
	if d == networkingv1.PolicyTypeEgress {
		for _, r := range p.Spec.Egress {
			add(r.Ports)
		}
	} else {
		for _, r := range p.Spec.Ingress {
			add(r.Ports)
		}
	}
	return Distinct(all)
}

// spanOf is empty for a name.
func spanOf(p networkingv1.NetworkPolicyPort) []Span {
	protocol := corev1.ProtocolTCP
	if p.Protocol != nil {
		protocol = protocolOf(*p.Protocol)
	}
	switch {
	case p.Port == nil:
		return []Span{{1, lastPort, protocol}}
	case p.Port.Type == intstr.String:
		return nil
	case p.EndPort != nil:
		return []Span{{p.Port.IntVal, *p.EndPort, protocol}}
	}
	return []Span{{p.Port.IntVal, p.Port.IntVal, protocol}}
}

func portName(p networkingv1.NetworkPolicyPort) string {
	if p.Port != nil && p.Port.Type == intstr.String {
		return p.Port.StrVal
	}
	return ""
}

// Distinct sorts the spans and drops repetitions.
func Distinct(all []Span) []Span {
	slices.SortFunc(all, func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	return slices.Compact(all)
}

// Try is a port to try on a target, which stands for all up to Last that the
// target does not declare.
type Try struct {
	verdict.Port // Name as the target declares it
	Last         int32
	// Rest says that it stands for every port of the protocol that the target does
	// not declare and no span covers.
	Rest bool
}

// Tries are the ports worth trying on a target: those that it declares and those
// given, each number and protocol once; one for each stretch of ports that the
// spans tell apart; and the rest of each protocol that has a span of all ports,
// and of those in rest. other is that of the vocabulary.
func Tries(declared, given []verdict.Port, spans []Span, rest []corev1.Protocol, other func(corev1.Protocol) int32) []Try {
	var all []Try
	known := map[verdict.Port]bool{}
	for _, p := range slices.Concat(declared, given) {
		p.Protocol = protocolOf(p.Protocol)
		key := verdict.Port{Number: p.Number, Protocol: p.Protocol}
		if p.Number >= 1 && p.Number <= lastPort && !known[key] {
			known[key] = true
			all = append(all, Try{Port: p, Last: p.Number})
		}
	}
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		cells, whole := cellsOf(spans, protocol)
		for _, c := range cells {
			if n := c.free(known); n > 0 {
				all = append(all, Try{Port: verdict.Port{Number: n, Protocol: protocol}, Last: c.Last})
			}
		}
		n := other(protocol)
		covered := slices.ContainsFunc(cells, func(c Span) bool { return c.covers(n, protocol) })
		if n > 0 && !covered && (whole || slices.Contains(rest, protocol)) {
			all = append(all, Try{Port: verdict.Port{Number: n, Protocol: protocol}, Last: n, Rest: true})
		}
	}
	return all
}

// free is the first number of the span that is not known already; 0: none.
func (s Span) free(known map[verdict.Port]bool) int32 {
	for n := s.First; n <= s.Last; n++ {
		if !known[verdict.Port{Number: n, Protocol: s.Protocol}] {
			return n
		}
	}
	return 0
}

// cellsOf cuts the spans of a protocol where any begins or ends, and says
// whether some are of all its ports, which cut nothing.
func cellsOf(spans []Span, protocol corev1.Protocol) (cells []Span, whole bool) {
	var cuts []int32
	var narrow []Span
	for _, s := range spans {
		switch {
		case s.Protocol != protocol || s.First > s.Last || s.First < 1 || s.Last > lastPort:
			continue // of another protocol, or invalid, which is Unknown on all ports
		case s.Whole():
			whole = true
			continue
		}
		narrow = append(narrow, s)
		cuts = append(cuts, s.First, s.Last+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := 0; i+1 < len(cuts); i++ {
		c := Span{cuts[i], cuts[i+1] - 1, protocol}
		if slices.ContainsFunc(narrow, func(s Span) bool { return s.covers(c.First, protocol) }) {
			cells = append(cells, c)
		}
	}
	return cells, whole
}

// Other returns, by protocol, the highest port that no pod declares, nobody gave
// and no policy of the vocabulary mentions (other than with all ports), or where
// there is none the highest that no pod declares. It stands for the rest of the
// ports of a pair of ends. 0: every port is declared.
func (v *Vocabulary) Other(pods []*verdict.Pod, given ...verdict.Port) func(corev1.Protocol) int32 {
	taken := map[verdict.Port]bool{}
	take := func(ports []verdict.Port) {
		for _, p := range ports {
			taken[verdict.Port{Number: p.Number, Protocol: protocolOf(p.Protocol)}] = true
		}
	}
	for _, p := range pods {
		take(p.Ports)
	}
	take(given)
	found := map[corev1.Protocol]int32{}
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		cells, _ := cellsOf(v.spans, protocol)
		for _, c := range append(outsideOf(cells, protocol), Span{1, lastPort, protocol}) {
			if found[protocol] == 0 {
				found[protocol] = c.lastFree(taken)
			}
		}
	}
	return func(p corev1.Protocol) int32 { return found[protocolOf(p)] }
}

// outsideOf are the stretches between the cells, the highest first.
func outsideOf(cells []Span, protocol corev1.Protocol) []Span {
	var all []Span
	end := int32(lastPort)
	for _, c := range slices.Backward(cells) {
		all = append(all, Span{c.Last + 1, end, protocol})
		end = c.First - 1
	}
	return append(all, Span{1, end, protocol})
}

// lastFree is the highest number of the span that is not taken; 0: none.
func (s Span) lastFree(taken map[verdict.Port]bool) int32 {
	for n := s.Last; n >= s.First; n-- {
		if !taken[verdict.Port{Number: n, Protocol: s.Protocol}] {
			return n
		}
	}
	return 0
}
