package matrix

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/verdict"
)

// End is a row or a column: a pod of the snapshot, or an outside address.
type End struct {
	Pod *verdict.Pod // nil: the address IP
	IP  netip.Addr   // of an outside end only
	// Node is the one that an outside address is of; empty: none that is known.
	Node string
	// Workload that the pod is one of, as kind/name in lower case, for example
	// deployment/web. Empty: the pod stands for itself, as pod/name.
	Workload string
}

// Namespace of a pod; empty for an address.
func (e End) Namespace() string {
	if e.Pod == nil {
		return ""
	}
	return e.Pod.Namespace
}

// Name of a pod, or the address.
func (e End) Name() string {
	if e.Pod == nil {
		return e.IP.String()
	}
	return e.Pod.Name
}

func (e End) String() string { return e.verdict().String() }

func (e End) verdict() verdict.End { return verdict.End{Pod: e.Pod, IP: e.IP, Node: e.Node} }

// workload is kind/name of what the end belongs to.
func (e End) workload() string {
	if e.Pod == nil {
		return "address/" + e.IP.String()
	}
	return cmp.Or(e.Workload, "pod/"+e.Pod.Name)
}

// byPlace orders pods by namespace, workload and name, and addresses last.
func byPlace(a, b End) int {
	switch {
	case a.Pod == nil && b.Pod == nil:
		return a.IP.Compare(b.IP)
	case a.Pod == nil:
		return 1
	case b.Pod == nil:
		return -1
	}
	return cmp.Or(strings.Compare(a.Pod.Namespace, b.Pod.Namespace),
		strings.Compare(a.workload(), b.workload()), strings.Compare(a.Pod.Name, b.Pod.Name))
}

// Query is what to judge: From × To × the ports. An address never meets an
// address, because no policy speaks about that.
type Query struct {
	Snapshot *verdict.Snapshot
	From, To []End
	// Ports to ask every target for; empty: those that its containers declare.
	Ports []Port
}

// Row is the verdict about one source, one target and one port. Of a source and
// a target there is always a row: where the target has no such port, or declares
// none and none was asked for, it is Unknown, and both sides say why. A pod and
// itself are a row too; v1 says that nothing can block it.
type Row struct {
	From, To *End
	Port     Port // as asked for: by name where a name was asked for
	verdict.Verdict
}

// Rows judges one row after the other, in the order of sources, then of
// targets, then of ports as they were asked for or by number. Nothing is kept.
func (q Query) Rows() iter.Seq[Row] {
	from, to := sorted(q.From), sorted(q.To)
	return func(yield func(Row) bool) {
		for i := range from {
			for j := range to {
				if from[i].Pod == nil && to[j].Pod == nil {
					continue
				}
				for _, p := range q.portsOf(to[j]) {
					if !yield(Row{&from[i], &to[j], p.shown, q.judge(from[i], to[j], p)}) {
						return
					}
				}
			}
		}
	}
}

func sorted(ends []End) []End { return slices.SortedFunc(slices.Values(ends), byPlace) }

// judge asks for each number behind the port: one, unless a pod gives several
// the same name. Those have to agree.
func (q Query) judge(from, to End, p asked) verdict.Verdict {
	if len(p.numbers) == 0 {
		return nothingToJudge(p.why)
	}
	var v verdict.Verdict
	for i, n := range p.numbers {
		w := q.Snapshot.Judge(verdict.Conn{From: from.verdict(), To: to.verdict(), Port: n, Protocol: p.shown.Protocol})
		if i > 0 && w.Decision != v.Decision {
			return nothingToJudge(to.String() + " declares " + p.shown.String() + " more than once, and the verdicts differ")
		}
		if i == 0 {
			v = w
		}
	}
	return v
}

// decide is judge without the reasons, for pods of the snapshot.
func (q Query) decide(from, to member, p asked) verdict.Decision {
	if from.id < 0 || to.id < 0 || len(p.numbers) != 1 {
		return q.judge(from.End, to.End, p).Decision
	}
	return q.Snapshot.Decide(from.id, to.id, p.numbers[0], p.shown.Protocol)
}

func nothingToJudge(why string) verdict.Verdict {
	s := verdict.Side{Rule: why, Reason: why}
	return verdict.Verdict{Egress: s, Ingress: s, Reason: why}
}

// ruleOf is the rule of a side, or why there is none.
func ruleOf(s verdict.Side) string { return cmp.Or(s.Rule, s.Reason) }
