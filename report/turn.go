package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// turn carries a decision into the report, and says what does not follow: the sum from
// the rows, the decision from the sum, or one decision after another.
func (b *Book) turn(t *evidence.Turn, at time.Time) error {
	var wrong []error
	if t.At != b.State {
		wrong = append(wrong, fmt.Errorf("a decision is made in %s, and the one before led to %s", told(t.At), told(b.State)))
	}
	judged := b.sum(t, &wrong)
	wrong = append(wrong, b.approvals(t))
	steps := b.steps
	if t.Blind {
		steps = nil
	}
	if next := rollout.Step(steps, t.Limits, t.At, t.Evidence, t.Intent); next != t.Next {
		wrong = append(wrong, fmt.Errorf("from %s the run went to %s, and what it had seen leads to %s", told(t.At), told(t.Next), told(next)))
	}
	if t.Look != nil {
		b.See(t.Look, judged, at)
	}
	if leaves := v1alpha1.PhaseObserve; t.At.Phase == leaves && t.Next.Phase != leaves && t.Next.Phase != v1alpha1.PhasePreflight && t.Look != nil {
		b.qualify(judged)
		b.LossRate = t.LossRate
	}
	wrong = append(wrong, b.cuts(t, judged, at))
	b.State = t.Next
	b.Phase(b.phaseName(t), b.scope(t.Next).String(), leaving(t), at)
	rep := &b.Report
	rep.Message, rep.Cause, rep.Result = t.Message, string(t.Next.Cause), t.Next.Result()
	if t.Next.Phase.Terminal() || t.Next.Phase == v1alpha1.PhaseHeld {
		b.measuredLast(t, judged)
	}
	if t.Next.Phase.Terminal() {
		b.End(at)
	}
	return errors.Join(wrong...)
}

func told(s rollout.State) string {
	return fmt.Sprintf("%s, step %d, cause %q", cmp.Or(s.Phase, v1alpha1.PhasePending), s.Step, s.Cause)
}

// sum judges the rows that a decision rests on, and compares.
func (b *Book) sum(t *evidence.Turn, wrong *[]error) []evidence.Judged {
	if t.Look == nil {
		if !t.Toggles() && !evidence.SameSum(t.Evidence, rollout.Evidence{}) {
			*wrong = append(*wrong, errors.New("a decision speaks of paths that nobody looked at"))
		}
		return nil
	}
	*wrong = append(*wrong, t.Look.Misses(b.rows, b.access), b.lookedFrom(t.At, t.Look))
	judged := b.Judge(t.Look)
	if !evidence.SameSum(t.Evidence, t.Look.Sum(b.rows, judged)) {
		*wrong = append(*wrong, errors.New("the rows that were seen do not add up to what a decision rests on"))
	}
	return judged
}

// qualify notes which rows worked before the change: only those may vote after it.
func (b *Book) qualify(judged []evidence.Judged) {
	b.Qualified = evidence.Qualified{}
	for i, j := range judged {
		row := b.rows[i]
		switch {
		case !row.Allow():
		case j.Works:
			b.Qualified[i] = true
		default:
			b.Report.NotTested = append(b.Report.NotTested, NotTested{What: fmt.Sprintf("path %q by %s", row.Path, row.Via),
				Reason: "it did not work before the change, so nothing can be said of what the change did to it: " + j.Note})
		}
	}
}

// CutRows are the rows that a decision to roll back rests on, and with them those that
// fail for a rule in force but had no time to fail often enough. Those that decide
// come first, and of them attempts by address, which say most.
func CutRows(rows []evidence.Row, judged []evidence.Judged) []int {
	var out []int
	for i, j := range judged {
		if j.Cut != 0 || j.Failing != 0 {
			out = append(out, i)
		}
	}
	rank := func(row int) int { return map[bool]int{false: 1}[judged[row].Cut != 0] }
	slices.SortStableFunc(out, func(x, y int) int {
		return cmp.Or(rank(x)-rank(y), cmp.Compare(rows[x].Via, rows[y].Via), x-y)
	})
	return out
}

// cuts notes the rows that a decision found cut.
func (b *Book) cuts(t *evidence.Turn, judged []evidence.Judged, at time.Time) error {
	var want []int
	if t.Next.Cause == rollout.CauseCut && t.At.Cause != rollout.CauseCut {
		want = CutRows(b.rows, judged)
	}
	if !slices.EqualFunc(t.Cuts, want, func(c evidence.Cut, row int) bool { return c.Row == row }) {
		return fmt.Errorf("a decision names %d cuts, and %d rows were seen to be cut", len(t.Cuts), len(want))
	}
	for _, c := range t.Cuts {
		j, row := judged[c.Row], b.rows[c.Row]
		blame := cmp.Or(t.Look.Checks[cmp.Or(j.Cut, j.Failing)-1].Blame, &evidence.Blame{})
		b.cutAt[c.Row] = len(b.Report.Cuts)
		b.Report.Cuts = append(b.Report.Cuts, Cut{Path: row.Path, Via: string(row.Via), Phase: b.stepName(t.At), Cause: blame.Cause, Rule: blame.Rule,
			Target: blame.Target, Outcome: blame.Outcome, At: at, Latencies: Latencies{Detect: c.Detect, Decide: c.Decide, Broken: c.Broken}})
		p := &b.Report.Paths[c.Row]
		p.Finding, p.Rule, p.Note = CutFinding, blame.Rule, ""
	}
	return nil
}

// measuredLast makes the rows say what was seen last. A path that must work and
// fails when the run ends, or is held, does not hold, whatever was proved before;
// nor does one that the last step left without proof. What others alone deny, or what
// fails for a reason that no policy has to do with, is no cut, and does not hold either.
func (b *Book) measuredLast(t *evidence.Turn, judged []evidence.Judged) {
	restored := t.At.Phase == v1alpha1.PhaseRollingBack
	switch {
	case t.Look == nil && restored:
		b.unseenLast("nobody looked at it when the rollback ended")
		return
	case t.Look == nil:
		return
	}
	b.UnprovedLast(t.Look, judged)
	for i := range t.Look.Checks {
		if c := &t.Look.Checks[i]; c.Row >= 0 && c.Row < len(b.rows) {
			b.lastOf(t.Look, c, restored)
		}
	}
}

// unseenLast is measuredLast of a rollback of whose end nothing is known, and why.
func (b *Book) unseenLast(why string) {
	for i := range b.rows {
		b.lastOf(&evidence.Look{}, &evidence.Check{Row: i, Gone: why}, true)
	}
}

// lastOf is measuredLast of one check. At the end of a rollback a path holds only if it
// is seen to work there.
func (b *Book) lastOf(l *evidence.Look, c *evidence.Check, restored bool) {
	row, p := b.rows[c.Row], &b.Report.Paths[c.Row]
	if p.Finding == CutFinding || !row.Allow() || row.Advisory {
		return
	}
	blame := cmp.Or(c.Blame, &evidence.Blame{})
	failed := c.Last.Blocked() && c.Streak >= evidence.Needed(l.Confirm, row.Via)
	excuse := c.Excuse()
	if c.Is(evidence.Shared) {
		excuse = cmp.Or(excuse, evidence.SharedNote)
	}
	switch {
	case blame.Foreign != "":
		p.Finding, p.Rule, p.Note = Inconclusive, blame.Rule, "denied by others, which says nothing about the candidates: "+blame.Foreign
	case b.Qualified != nil && !b.Qualified[c.Row]: // it did not work before the change
	case failed && excuse != "":
		p.Finding, p.Rule, p.Note = Inconclusive, "", excuse
	case failed:
		p.Finding, p.Rule = CutFinding, blame.Rule
		p.Note = fmt.Sprintf("it failed when last tried: the newest %d attempts ended %s", c.Streak, c.Last)
	case restored && p.Finding == Holds && !(c.Last.Connected() && c.Is(evidence.Fresh)):
		p.Finding, p.Note = Inconclusive, cmp.Or(c.Gone, "it held in an earlier step, and was not seen to work when the rollback ended")
	}
}

// UnprovedLast makes the rows without proof at the end say so.
func (b *Book) UnprovedLast(l *evidence.Look, judged []evidence.Judged) {
	for i, j := range judged {
		if p := &b.Report.Paths[i]; l.Scope.Live() && j.Due && !j.Holds && p.Finding == Holds {
			p.Finding, p.Note = Inconclusive, cmp.Or(j.Note, "it held in an earlier step and was not proved in the last one")
		}
	}
}

// stepName of a state, for people.
func (b *Book) stepName(at rollout.State) string { return rollout.StepName(b.steps, at) }

// scope of a state.
func (b *Book) scope(at rollout.State) rollout.Scope {
	switch {
	case at.Phase.Staged():
		if at.Step >= 0 && at.Step < len(b.steps) {
			return b.steps[at.Step].Scope
		}
	case at.Phase == v1alpha1.PhaseCommitting, at.Phase == v1alpha1.PhaseCommitted:
		return rollout.Everyone
	}
	return rollout.Nobody
}

// phaseName of the phase that a decision begins; empty: it begins none.
func (b *Book) phaseName(t *evidence.Turn) string {
	switch t.Next.Cause {
	case rollout.CausePaused:
		return rollout.PlaceName("pause", b.steps)
	case rollout.CauseWaiting:
		return rollout.PlaceName("approval", b.steps)
	}
	return b.stepName(t.Next)
}

// leaving is how the phase ends that a decision leaves.
func leaving(t *evidence.Turn) string {
	switch {
	case t.At.Phase == v1alpha1.PhaseRollingBack && t.Next.Phase == v1alpha1.PhaseRolledBack:
		return "Passed"
	case t.At.Phase == v1alpha1.PhaseRollingBack && t.Next.Phase == v1alpha1.PhaseHeld:
		return "BaselineChanged"
	case t.At.Phase == v1alpha1.PhaseRollingBack:
		return "Failed"
	case t.Toggles() && t.Next.Cause != rollout.CausePaused:
		return "Resumed"
	case t.Next.Cause == "", t.Next.Cause == rollout.CauseWaiting:
		return "Passed"
	}
	return string(t.Next.Cause)
}

// End closes a report: nothing in it is under way any more.
func (b *Book) End(at time.Time) {
	rep := &b.Report
	outcome := "Passed"
	if rep.Result == "RollbackFailed" {
		outcome = "Failed"
	}
	b.Phase("", "", outcome, at)
	rep.Ended = at
	for i := range rep.TemporaryAccess {
		rep.TemporaryAccess[i].To = at
	}
	for i := range rep.Paths {
		if p := &rep.Paths[i]; p.Finding == Inconclusive && p.Note == "" {
			p.Note = "not enough conclusive attempts in a phase that enforced it"
		}
	}
}
