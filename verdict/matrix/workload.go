package matrix

import (
	"cmp"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Outcome is what the pods of two workloads come to. The zero Outcome is
// Unknown.
type Outcome uint8

// The outcomes: the three decisions, and Mixed where pods of one workload do not
// agree, for example because only some of them lie in an ipBlock.
const (
	Unknown Outcome = iota
	Allow
	Deny
	Mixed
)

// String names the outcome as JSON does.
func (o Outcome) String() string {
	return [...]string{"Unknown", "Allow", "Deny", "Mixed"}[o]
}

// Workload is the pods of one workload, or one address.
type Workload struct {
	Namespace string // empty: an address outside the cluster
	Kind      string // in lower case; "pod" for one that belongs to nothing, "address" for an address
	Name      string
	pods      []member
}

// String is namespace/name, or the address.
func (w *Workload) String() string {
	if w.Namespace == "" {
		return w.Name
	}
	return w.Namespace + "/" + w.Name
}

// Pods is how many pods it has; 1 for an address.
func (w *Workload) Pods() int { return len(w.pods) }

type member struct {
	End
	id verdict.PodID // below 0: not a pod of the snapshot
}

// Cell is the verdict about one workload, another, and one port.
type Cell struct {
	From, To *Workload
	Port     Port
	Outcome  Outcome
	// Pairs counts pairs of pods by Outcome, Mixed excepted. A pod and itself count
	// only where there is no other pair.
	Pairs [3]int
	// Sample is the pair that speaks for the others: the first that is denied, else
	// the first that is unknown, else the first.
	Sample Row
}

// Workloads groups ends, in order of namespace, name and kind, addresses last.
func (q Query) workloads(ends []End) []*Workload {
	var all []*Workload
	byKey := map[[2]string]*Workload{}
	for _, e := range sorted(ends) {
		key := [2]string{e.Namespace(), e.workload()}
		w := byKey[key]
		if w == nil {
			kind, name, _ := strings.Cut(e.workload(), "/")
			w = &Workload{Namespace: e.Namespace(), Kind: kind, Name: name}
			byKey[key] = w
			all = append(all, w)
		}
		w.pods = append(w.pods, q.member(e))
	}
	slices.SortStableFunc(all, func(a, b *Workload) int {
		return cmp.Or(cmp.Compare(rankOf(a.Namespace == ""), rankOf(b.Namespace == "")),
			strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), strings.Compare(a.Kind, b.Kind))
	})
	return all
}

func rankOf(last bool) int {
	if last {
		return 1
	}
	return 0
}

func (q Query) member(e End) member {
	if e.Pod != nil && q.Snapshot != nil {
		if id, ok := q.Snapshot.Find(e.Pod.Key()); ok {
			return member{e, id}
		}
	}
	return member{e, -1}
}

// Cells judges workloads against workloads, one cell after the other, in the
// order of Workloads, then of ports.
func (q Query) Cells() iter.Seq[Cell] {
	from, to := q.workloads(q.From), q.workloads(q.To)
	ports := make([][]asked, len(to))
	for j, b := range to {
		ports[j] = q.portsOfWorkload(b)
	}
	return func(yield func(Cell) bool) {
		for row := range q.cellsBySource(from, to, ports) {
			for _, c := range row {
				if (c.From.Namespace != "" || c.To.Namespace != "") && !yield(c) {
					return
				}
			}
		}
	}
}

// cellsBySource yields the cells of one source after the other, those of two
// addresses too. As many sources are judged at once as there are processors.
func (q Query) cellsBySource(from, to []*Workload, ports [][]asked) iter.Seq[[]Cell] {
	return func(yield func([]Cell) bool) {
		rows := make([][]Cell, runtime.GOMAXPROCS(0)) // one slot each: no lock, stable order
		for some := range slices.Chunk(from, len(rows)) {
			var all sync.WaitGroup
			for i, a := range some {
				all.Go(func() {
					row := rows[i][:0]
					for j, b := range to {
						for _, p := range ports[j] {
							row = append(row, q.cell(a, b, p))
						}
					}
					rows[i] = row
				})
			}
			all.Wait()
			for i := range some {
				if !yield(rows[i]) {
					return
				}
			}
		}
	}
}

// portsOfWorkload is the union of what its pods are asked for. A port that only
// some of them declare is asked of all, by number.
func (q Query) portsOfWorkload(w *Workload) []asked {
	if len(w.pods) == 1 || len(q.Ports) > 0 {
		return q.portsOf(w.pods[0].End)
	}
	var all []asked
	var none []asked
	for _, m := range w.pods {
		for _, p := range q.portsOf(m.End) {
			switch {
			case p.why != "":
				none = []asked{p}
			case !slices.ContainsFunc(all, func(a asked) bool { return a.shown == p.shown }):
				all = append(all, p)
			}
		}
	}
	if len(all) == 0 {
		return none
	}
	slices.SortFunc(all, func(a, b asked) int {
		return cmp.Or(cmp.Compare(a.shown.Number, b.shown.Number), cmp.Compare(a.shown.Protocol, b.shown.Protocol))
	})
	return all
}

func (q Query) cell(a, b *Workload, p asked) Cell {
	c, from, to := q.tally(a, b, p)
	c.Sample = Row{&a.pods[from].End, &b.pods[to].End, p.shown, q.judge(a.pods[from].End, b.pods[to].End, q.named(p, b.pods[to].End))}
	return c
}

// tally is the cell without its sample, which is the pair of pods from and to:
// who draws needs no reasons, and they take most of the time.
func (q Query) tally(a, b *Workload, p asked) (c Cell, from, to int) {
	c = Cell{From: a, To: b, Port: p.shown}
	worst, alone := -1, len(a.pods)+len(b.pods) <= 2
	for i := range a.pods {
		for j := range b.pods {
			if !alone && a.pods[i].same(b.pods[j]) {
				continue
			}
			d := q.decide(a.pods[i], b.pods[j], q.named(p, b.pods[j].End))
			c.Pairs[d]++
			if s := badness[d]; s > worst {
				worst, from, to = s, i, j
			}
		}
	}
	c.Outcome = outcomeOf(c.Pairs)
	return c, from, to
}

// badness orders decisions: the worst pair speaks for the others.
var badness = [...]int{verdict.Allow: 0, verdict.Unknown: 1, verdict.Deny: 2}

// same reports whether both are one pod.
func (m member) same(other member) bool {
	switch {
	case m.Pod == nil || other.Pod == nil:
		return false
	case m.id >= 0 && other.id >= 0:
		return m.id == other.id
	}
	return m.Pod.Namespace == other.Pod.Namespace && m.Pod.Name == other.Pod.Name
}

// named looks a name up on the pod itself: replicas of one workload may give it
// to different numbers.
func (q Query) named(p asked, to End) asked {
	if p.shown.Name == "" {
		return p
	}
	p.numbers, p.why = numbersOf(to, p.shown), to.String()+" declares no port "+p.shown.String()
	return p
}

func outcomeOf(pairs [3]int) Outcome {
	found, kinds := Unknown, 0
	for o, n := range pairs {
		if n > 0 {
			found, kinds = Outcome(o), kinds+1
		}
	}
	if kinds > 1 {
		return Mixed
	}
	return found
}
