package rollout

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/class"
)

// Exposure is an edge that baseline and candidates both deny, and that some mix
// of pod states on the way allows: mostly the baseline closes one end, and the
// candidates the other. From and To stand for their workloads.
type Exposure struct {
	From, To *verdict.Pod
	Port     verdict.Port // of To, where it declares it
	// LastPort is the end of the stretch that Port stands for, of ports that To does
	// not declare; OtherPort says that Port stands for all that nothing speaks of.
	LastPort  int32
	OtherPort bool
	// Mix opens it. Decision is Allow, or Unknown where v1 leaves open whether the mix allows it.
	Mix      Mix
	Decision verdict.Decision
	// First is the end to enforce for all its pods before the other end's
	// candidates are activated, which avoids the exposure.
	First Order
}

// Order is which end of an exposure has to be enforced first. The zero Order is
// that no order helps.
type Order uint8

// The orders.
const (
	NoOrder Order = iota
	TargetFirst
	SourceFirst
)

// String names the order for people.
func (o Order) String() string {
	return [...]string{"no order avoids it", "enforce the target first", "enforce the source first"}[o]
}

// exposer looks for exposures.
type exposer struct {
	states
	tries   trier
	list    []Exposure
	max     int
	leftOff int
	order   *order
}

// end is a class of pods, and how a change touches it.
type end struct {
	*class.Class
	workloads []*class.Class
	touched   map[networkingv1.PolicyType]bool // a policy of R or C isolates it
	opened    bool                             // it is isolated in some direction before and not after
	egress    []class.Span
	ingress   []class.Span
}

// expose judges every pair of classes that may have an exposure. The baseline
// closes one end and the candidates the other, so both ends are touched: where
// an end is in all states as it was, an edge that another state opens there was
// never closed by it. With ClusterNetworkPolicies that argument does not hold (a
// bridge lifts a pod out of the Baseline tier), and one end is enough.
func (x *exposer) expose(ends []*end, oneEnd bool) {
	for _, a := range ends {
		for _, b := range ends {
			from, to := a.touched[networkingv1.PolicyTypeEgress], b.touched[networkingv1.PolicyTypeIngress]
			if from && to || oneEnd && (from || to) {
				x.between(a, b)
			}
		}
	}
}

func (x *exposer) between(a, b *end) {
	tries := x.tries.of(a, b)
	found := map[class.Relation][]Exposure{}
	for _, p := range class.Pairs(a.Class, b.Class) {
		for _, try := range tries {
			if !x.mayBe(a, b, p, try) {
				continue
			}
			if e, ok := x.judge(p.From.Is, p.To.Is, try); ok {
				x.order.after(e)
				found[p.Relation] = append(found[p.Relation], e)
			}
		}
	}
	if len(found) == 0 {
		return
	}
	for _, from := range a.workloads {
		for _, to := range b.workloads {
			for _, p := range class.Pairs(from, to) {
				for _, e := range found[p.Relation] {
					e.From, e.To = p.From.Is, p.To.Is
					x.add(e)
				}
			}
		}
	}
}

func (x *exposer) add(e Exposure) {
	if len(x.list) >= x.max {
		x.leftOff++
		return
	}
	x.list = append(x.list, e)
}

// mayBe looks at the three worlds without explanations: no exposure where one of
// the sets allows the edge, or where the bridged state, the widest unless the
// change un-isolates an end, denies it.
func (x *exposer) mayBe(a, b *end, p class.Pair, try class.Try) bool {
	decide := func(s PodState) verdict.Decision {
		return x.states[s].Decide(p.From.IsID, p.To.IsID, try.Number, try.Protocol)
	}
	return decide(AtBaseline) != verdict.Allow && decide(AtEnforced) != verdict.Allow &&
		(a.opened || b.opened || decide(AtBridged) != verdict.Deny)
}

// judge looks at all nine mixes of an edge that both sets certainly deny, in
// every address family.
func (x *exposer) judge(from, to *verdict.Pod, try class.Try) (Exposure, bool) {
	e := Exposure{From: from, To: to, Port: try.Port, LastPort: try.Last, OtherPort: try.Rest, Decision: verdict.Deny}
	conn := verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: try.Number, Protocol: try.Protocol}
	for _, c := range families(conn) {
		s := x.states.judge(c)
		if s[AtBaseline].Decision != verdict.Deny || s[AtEnforced].Decision != verdict.Deny {
			continue
		}
		for _, m := range mixes {
			if d := s.in(m); wider(d, e.Decision) != e.Decision {
				e.Decision, e.Mix, e.First = d, m, s.first()
			}
		}
	}
	return e, e.Decision != verdict.Deny
}

// first says which end may go all the way while the other stays at the baseline,
// and the other after it, without the edge ever being open.
func (s sides) first() Order {
	closed := func(m Mix) bool { return s.in(m) == verdict.Deny }
	target, source := true, true
	for state := AtBaseline; state <= AtEnforced; state++ {
		target = target && closed(Mix{AtBaseline, state}) && closed(Mix{state, AtEnforced})
		source = source && closed(Mix{state, AtBaseline}) && closed(Mix{AtEnforced, state})
	}
	switch {
	case target:
		return TargetFirst
	case source:
		return SourceFirst
	}
	return NoOrder
}

// trier says which ports to try from one end to another.
type trier struct {
	given []verdict.Port
	other func(corev1.Protocol) int32
}

func (t trier) of(a, b *end) []class.Try {
	to := b.Rep().Is
	var rest []corev1.Protocol
	if len(to.Ports) == 0 {
		rest = append(rest, corev1.ProtocolTCP)
	}
	return class.Tries(to.Ports, t.given, slices.Concat(a.egress, b.ingress), rest, t.other)
}
