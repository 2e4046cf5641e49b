package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// Book makes a report from what a run writes down, entry by entry: in the controller
// while the run lasts, and in anybody's hands afterwards. Everything that can be
// decided anew is: which rows are proved, cut or leak, which may vote, what they add
// up to, where the run goes from there, and how it ends. The zero Book is empty.
type Book struct {
	Report Report
	// State is where the run is, as far as the entries tell.
	State rollout.State
	// Qualified are the rows that worked before the change; nil: not known.
	Qualified evidence.Qualified
	// LossRate of attempts that should succeed, measured before the change.
	LossRate float64
	// Through are policies of others that a leak went through.
	Through []string
	// Memory is the newest that the run wrote down for a restarted controller.
	Memory json.RawMessage
	// Lost lines, in all.
	Lost uint64
	// Gaps are when decisions were made that nothing but the run's status tells of.
	Gaps []time.Time
	// unproved is when such a decision took the run forward: a commit that follows rests on
	// what nobody wrote down. Zero: none did.
	unproved time.Time

	rows   []evidence.Row
	access []evidence.Access
	steps  []rollout.StepPlan
	cells  map[string]Coverage // by place
	cutAt  map[int]int         // index in Report.Cuts by row
}

// Begun reports whether the run wrote down what it is about.
func (b *Book) Begun() bool { return b.rows != nil }

// Rows of the run.
func (b *Book) Rows() []evidence.Row { return b.rows }

// CutAt is the place in Report.Cuts of a row that was cut.
func (b *Book) CutAt(row int) (int, bool) {
	i, ok := b.cutAt[row]
	return i, ok
}

// errBook says that entries cannot be of one run.
var errBook = errors.New("the evidence contradicts itself")

// Add takes the next entry. The error says what is wrong with it: that a decision does
// not follow from what it rests on, above all. It is applied all the same, so that one
// reading finds everything.
func (b *Book) Add(e evidence.Entry) error {
	var err error
	switch {
	case e.Begin != nil:
		return b.begin(e.Begin, e.At)
	case !b.Begun() && e.Memory == nil && e.Timings == nil:
		return fmt.Errorf("%w: an entry of %s comes before the run says what it is about", errBook, stamp(e.At))
	case e.Look != nil:
		err = b.look(e.Look, e.At)
	case e.Counts != nil:
		err = b.counts(e.Counts)
	case e.Turn != nil:
		err = b.turn(e.Turn, e.At)
	case e.Gap != nil:
		b.gap(e.Gap, e.At)
	case e.Stamp != nil:
		err = b.stamp(e.Stamp)
	case e.Lost != nil:
		b.Lost += e.Lost.Lines
	case e.Timings != nil:
		b.Report.Timings = *e.Timings
	case e.Memory != nil:
		b.Memory = e.Memory
	}
	if err != nil {
		return fmt.Errorf("%w, at %s: %w", errBook, stamp(e.At), err)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (b *Book) begin(x *evidence.Begin, at time.Time) error {
	if len(x.Rows) > MaxRows {
		return fmt.Errorf("%w: %d rows are more than %d", errBook, len(x.Rows), MaxRows)
	}
	timings, memory := b.Report.Timings, b.Memory
	*b = Book{rows: append([]evidence.Row{}, x.Rows...), access: x.Access, steps: x.Steps, cells: map[string]Coverage{}, cutAt: map[int]int{},
		State: rollout.State{Phase: v1alpha1.PhasePreflight}, Memory: memory}
	rep := &b.Report
	rep.SchemaVersion, rep.Run, rep.Rollout, rep.Started, rep.Timings = SchemaVersion, x.Run, x.Rollout, at, timings
	if x.Wave != nil {
		rep.Wave = (*Wave)(x.Wave)
	}
	for _, p := range x.Policies {
		rep.Policies = append(rep.Policies, Policy(p))
	}
	for _, p := range x.Predicted {
		rep.Predicted = append(rep.Predicted, Prediction(p))
	}
	for _, e := range x.Exposures {
		rep.Exposures = append(rep.Exposures, Exposure(e))
	}
	for _, n := range x.NotTested {
		rep.NotTested = append(rep.NotTested, NotTested(n))
	}
	for _, a := range x.Access {
		rep.TemporaryAccess = append(rep.TemporaryAccess, Access{Identity: a.Identity, Namespace: a.Namespace, Pods: a.Pods, From: at})
	}
	for _, r := range x.Rows {
		rep.Paths = append(rep.Paths, Path{Name: r.Path, From: Workload{r.Namespace, r.From}, To: Service{r.ToNS, r.To},
			Port: r.Port, Protocol: r.Protocol, Via: string(r.Via), Expect: string(r.Expect), Finding: Inconclusive})
	}
	b.Phase(b.stepName(b.State), rollout.Nobody.String(), "", at)
	return nil
}

// counts adds a window up.
func (b *Book) counts(x *evidence.Counts) error {
	for _, c := range x.Rows {
		if c.Row < 0 || c.Row >= len(b.rows) || c.Attempts < 0 || c.Failures < 0 {
			return fmt.Errorf("a window counts row %d, and there are %d", c.Row, len(b.rows))
		}
		b.Count(c)
	}
	return nil
}

// Count adds one count up.
func (b *Book) Count(c evidence.Count) {
	p := &b.Report.Paths[c.Row]
	p.Attempts += c.Attempts
	p.Failures += c.Failures
	if p.FirstSeen.IsZero() {
		p.FirstSeen = c.First
	}
	if c.Last.After(p.LastSeen) {
		p.LastSeen = c.Last
	}
}

// Judge judges a look.
func (b *Book) Judge(l *evidence.Look) []evidence.Judged { return l.Judge(b.rows, b.Qualified) }

// News are the rows whose finding a look changes.
func (b *Book) News(l *evidence.Look, judged []evidence.Judged) map[int]bool {
	news := map[int]bool{}
	for i := range judged {
		if b.proves(l, judged[i], i) || b.finds(judged[i], i) {
			news[i] = true
		}
	}
	return news
}

// proves reports whether a look makes a row hold that did not.
func (b *Book) proves(l *evidence.Look, j evidence.Judged, row int) bool {
	p := &b.Report.Paths[row]
	if !j.Holds || !l.Settled || !l.Scope.Live() || p.Finding == CutFinding || p.Finding == Holds {
		return false
	}
	_, leaked := b.leaked(row)
	return !l.Unseen || !leaked // where nobody repairs anything a leak stays the finding
}

// finds reports whether a look finds a leak in a row.
func (b *Book) finds(j evidence.Judged, row int) bool {
	return j.Leak != 0 && b.Report.Paths[row].Finding != Leak
}

// leaked is the newest leak of a row.
func (b *Book) leaked(row int) (Cut, bool) {
	for i := len(b.Report.Leaks) - 1; i >= 0; i-- {
		if l := b.Report.Leaks[i]; l.Path == b.rows[row].Path && l.Via == string(b.rows[row].Via) {
			return l, true
		}
	}
	return Cut{}, false
}

// look carries what a look says into the report, and says whether it can be of where the
// run is.
func (b *Book) look(l *evidence.Look, at time.Time) error {
	b.See(l, b.Judge(l), at)
	return b.lookedFrom(b.State, l)
}

// lookedFrom says whether a look is one that a run takes in a state: how much must be
// proved depends on the scope, and on whether anybody saw the paths work before.
func (b *Book) lookedFrom(at rollout.State, l *evidence.Look) error {
	switch scope := b.scope(at); {
	case l.Unseen:
		return errors.New("a look says that nobody saw the paths work before, and a run sees that")
	case l.Scope != scope:
		return fmt.Errorf("a look judges scope %s, and in %s the run's is %s", l.Scope, told(at), scope)
	}
	return nil
}

// See is look for one that is judged already.
func (b *Book) See(l *evidence.Look, judged []evidence.Judged, at time.Time) {
	for i := range judged {
		row, j := &b.Report.Paths[i], judged[i]
		if j.Note != "" {
			row.Note = j.Note
		}
		if b.proves(l, j, i) {
			row.Finding, row.Rule, row.Note = Holds, "", ""
			if leak, ok := b.leaked(i); ok { // one that was repaired stays in the report, and the row names it
				row.Note = fmt.Sprintf("it leaked in %s, and was proved after that", leak.Phase)
			}
		}
		if b.finds(j, i) {
			b.leak(l, j, i, at)
		}
	}
	if l.Whole && l.Scope.Live() && l.Place != "" {
		b.cover(l, judged)
	}
}

func (b *Book) leak(l *evidence.Look, j evidence.Judged, row int, at time.Time) {
	blame := cmp.Or(l.Checks[j.Leak-1].Blame, &evidence.Blame{})
	b.Report.Leaks = append(b.Report.Leaks, Cut{Path: b.rows[row].Path, Via: string(b.rows[row].Via), Phase: l.Name,
		Cause: "Leak", Rule: blame.Leak, Target: blame.Target, Outcome: blame.Outcome, At: at})
	for _, p := range blame.Through {
		if !slices.Contains(b.Through, p) {
			b.Through = append(b.Through, p)
		}
	}
	p := &b.Report.Paths[row]
	p.Finding, p.Rule, p.Note = Leak, blame.Leak, ""
}

// cover notes how many cells of a place have proof; its last word counts.
func (b *Book) cover(l *evidence.Look, judged []evidence.Judged) {
	sum := l.Sum(b.rows, judged)
	b.cells[l.Place] = Coverage{Required: sum.Required, Proved: sum.Proved}
	b.Report.Coverage = Coverage{}
	for _, c := range b.cells {
		b.Report.Coverage.Required += c.Required
		b.Report.Coverage.Proved += c.Proved
	}
}

// stamp dates what became of cuts.
func (b *Book) stamp(s *evidence.Stamp) error {
	if s.Row >= 0 {
		i, ok := b.cutAt[s.Row]
		if !ok {
			return fmt.Errorf("row %d is dated, and was not cut", s.Row)
		}
		b.date(&b.Report.Cuts[i].Latencies, s)
		return nil
	}
	for i := range b.Report.Cuts {
		b.date(&b.Report.Cuts[i].Latencies, s)
	}
	return nil
}

func (b *Book) date(l *Latencies, s *evidence.Stamp) {
	l.Detect, l.Restore, l.Recover = cmp.Or(s.Detect, l.Detect), cmp.Or(s.Restore, l.Restore), cmp.Or(s.Recover, l.Recover)
	l.Broken = cmp.Or(s.Broken, l.Broken)
}

// gap carries a decision into the report that nothing is known of.
func (b *Book) gap(g *evidence.Gap, at time.Time) {
	t := &evidence.Turn{At: b.State, Next: g.Next}
	if !t.Toggles() { // a pause rests on nothing that could be seen
		b.Gaps = append(b.Gaps, at)
	}
	if g.Next.Cause != rollout.CauseInPlace && b.along(g.Next) > b.along(b.State) {
		b.unproved = at
	}
	b.State = g.Next
	b.Phase(b.phaseName(t), b.scope(t.Next).String(), leaving(t), at)
	b.Report.Message, b.Report.Cause, b.Report.Result = g.Message, string(g.Next.Cause), g.Next.Result()
	switch {
	case g.Next.Phase == v1alpha1.PhaseRolledBack, g.Next.Phase == v1alpha1.PhaseRollbackFailed, g.Next.Cause == rollout.CauseBaselineChanged:
		b.unseenLast("nothing tells whether it was seen to work when the rollback ended")
	}
	if g.Next.Phase.Terminal() {
		b.End(at)
	}
}

// along is how far a state is along the forward road. Where the run goes back, or is over
// without a commit, nothing more is proved, so that is nowhere.
func (b *Book) along(at rollout.State) int {
	switch at.Phase {
	case v1alpha1.PhaseObserve, v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseHeld:
		return 1 + at.Step
	case v1alpha1.PhaseCommitting:
		return 1 + len(b.steps)
	case v1alpha1.PhaseCommitted:
		return 2 + len(b.steps)
	}
	return 0
}

// restsOnNothing says that the run is committed, and that nothing shows what a decision on
// the way there rests on; nil: it is not, or everything does.
func (b *Book) restsOnNothing() error {
	if b.unproved.IsZero() || b.State.Phase != v1alpha1.PhaseCommitted {
		return nil
	}
	return fmt.Errorf("nothing shows what the decision to go forward of %s rests on: the controller was stopped before it had written that down", stamp(b.unproved))
}

// Phase opens a phase of the report and closes the one before.
func (b *Book) Phase(name, scope, outcome string, at time.Time) {
	phases := b.Report.Phases
	if n := len(phases); n > 0 && phases[n-1].To.IsZero() {
		phases[n-1].To, phases[n-1].Outcome = at, outcome
	}
	if name != "" {
		phases = append(phases, Phase{Name: name, From: at, Outcome: "Running", Scope: scope})
	}
	b.Report.Phases = phases
}
