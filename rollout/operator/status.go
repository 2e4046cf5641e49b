package operator

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

const (
	maxHistory = 64
	maxCuts    = 20
)

// stateOf reads the recorded state of a run.
func stateOf(run *v1alpha1.PolicyRolloutRun) rollout.State {
	return rollout.State{Phase: run.Status.Phase, Step: int(run.Status.Step), Cause: rollout.Cause(run.Status.Cause)}
}

// phaseSince is when the recorded phase or step was entered.
func phaseSince(run *v1alpha1.PolicyRolloutRun) time.Time {
	if n := len(run.Status.History); n > 0 {
		return run.Status.History[n-1].At.Time
	}
	return run.CreationTimestamp.Time
}

// everLive reports whether the run ever changed what a pod may reach.
func everLive(run *v1alpha1.PolicyRolloutRun) bool {
	for _, h := range run.Status.History {
		switch h.Phase {
		case v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseCommitting:
			return true
		}
	}
	return false
}

// turn is a decision and what it rests on.
type turn struct {
	at, next rollout.State
	evidence rollout.Evidence
	cells    map[cell]*judged
	picture  *picture // nil before there are agents
}

// advance writes a decision down: what it rests on, then the status, then the
// report, then an event.
func (r *RunReconciler) advance(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, t turn) error {
	if t.at.Phase == v1alpha1.PhaseObserve && t.next.Phase != v1alpha1.PhaseObserve && t.picture != nil {
		s.record.qualify(t.picture)
		if err := s.record.save(ctx, r.Client, run); err != nil {
			return err // nothing may be tightened before it is known what worked
		}
	}
	var cuts []foundCut
	if t.next.Cause == rollout.CauseCut && t.at.Cause != rollout.CauseCut {
		cuts = findCuts(t.picture, t.cells, s.stepName(t.at), s.tightened)
	}
	s.fillStatus(run, t, cuts)
	if err := r.Status().Update(ctx, run); err != nil {
		return fmt.Errorf("record phase %s of run %s: %w", t.next.Phase, run.Name, err)
	}
	now := time.Now()
	if len(cuts) > 0 {
		s.record.cut(cuts, now)
		s.undated = cuts
	}
	s.record.turn(s, t, run.Status.Message, now)
	r.note(run, reasonOf(t.next), "Advance", run.Status.Message)
	countPhase(t.next, s.record.Report.Cuts)
	if t.next.Phase.Terminal() && s.plan != nil {
		return s.record.save(ctx, r.Client, run)
	}
	return nil
}

func (s *session) fillStatus(run *v1alpha1.PolicyRolloutRun, t turn, cuts []foundCut) {
	st := &run.Status
	st.ObservedGeneration = run.Generation
	st.Phase, st.Step, st.Cause = t.next.Phase, int32(t.next.Step), string(t.next.Cause)
	st.Stage, st.Result = s.stepName(t.next), t.next.Result()
	if s.plan != nil {
		st.PlanDigest, st.Report = s.plan.Digest(), reportName(run.Name).Name
	}
	for _, c := range cuts {
		st.CutCount++
		if len(st.Cuts) < maxCuts {
			st.Cuts = append(st.Cuts, v1alpha1.CutStatus{Path: c.entry.Path, Phase: c.entry.Phase, Rule: c.entry.Rule, DecidedAt: metav1.NowMicro()})
		}
	}
	switch t.next.Phase {
	case v1alpha1.PhaseRolledBack: // the reason for the rollback is the last word
	case v1alpha1.PhaseRollbackFailed:
		st.Message = clip(st.Message+"; the rollback could not be verified in time: look at the paths of the suite", 4096)
	default:
		st.Message = clip(s.message(t, st.Cuts), 4096)
	}
	st.History = append(st.History, v1alpha1.PhaseChange{Phase: t.next.Phase, Stage: st.Stage, At: metav1.NowMicro(), Cause: st.Cause})
	if n := len(st.History); n > maxHistory {
		st.History = st.History[n-maxHistory:]
	}
	setConditions(run, t.next)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}

// stepName is what people call the place a state is in.
func (s *session) stepName(at rollout.State) string {
	switch at.Phase {
	case v1alpha1.PhaseObserve, v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseHeld:
		if s.plan != nil && at.Step < len(s.plan.Steps) {
			return s.plan.Steps[at.Step].Name
		}
	case v1alpha1.PhaseCommitting:
		return "commit"
	case v1alpha1.PhaseRollingBack:
		return "rollback"
	case v1alpha1.PhasePreflight:
		return "preflight"
	}
	return ""
}

// message says in one sentence where the run is and why.
func (s *session) message(t turn, cuts []v1alpha1.CutStatus) string {
	switch t.next.Cause {
	case rollout.CauseRefused, rollout.CauseNotEnforced:
		if s.refused != nil {
			return s.refused.Error()
		}
	case rollout.CauseCut:
		if len(cuts) > 0 {
			return fmt.Sprintf("%s was cut in %s: %s", cuts[0].Path, cuts[0].Phase, cuts[0].Rule)
		}
	case rollout.CauseLeak:
		return fmt.Sprintf("these paths must not work and do: %q; held, because rolling back would open them wider", t.evidence.Leaks)
	case rollout.CauseSilent:
		said := fmt.Sprintf("no proof within the deadline: %d of %d cells proved, longest silence of a probe %v", t.evidence.Proved, t.evidence.Required, t.evidence.Silence.Round(time.Second))
		if s.late != "" {
			said += ", " + s.late
		}
		if s.spoiled != "" {
			said += ", " + s.spoiled
		}
		return said
	case rollout.CauseAborted:
		return "somebody asked to abort"
	case rollout.CauseForeign:
		if t.evidence.Foreign != "" {
			return t.evidence.Foreign + ", so the plan no longer holds"
		}
		return "what the plan rests on was changed by somebody else"
	}
	if t.next.Phase == v1alpha1.PhaseCommitted {
		return fmt.Sprintf("%d policies are in force and every required path was proved", len(s.plan.Candidates))
	}
	return fmt.Sprintf("in %s", s.stepName(t.next))
}

func reasonOf(at rollout.State) string {
	if at.Cause != "" {
		return string(at.Cause)
	}
	return string(at.Phase)
}

// setConditions speaks kstatus: Reconciling while under way, Stalled when a
// person must look, Ready when the candidates are committed.
func setConditions(run *v1alpha1.PolicyRolloutRun, at rollout.State) {
	set := func(kind string, on bool) {
		status := metav1.ConditionFalse
		if on {
			status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reasonOf(at), Message: clip(run.Status.Message, 1024), ObservedGeneration: run.Generation,
		})
	}
	set("Ready", at.Phase == v1alpha1.PhaseCommitted)
	set("Reconciling", !at.Phase.Terminal() && at.Phase != v1alpha1.PhaseHeld)
	set("Stalled", at.Phase == v1alpha1.PhaseHeld || at.Phase.Terminal() && at.Phase != v1alpha1.PhaseCommitted)
}

// setTidied marks a finished run as complete.
func (r *RunReconciler) setTidied(ctx context.Context, run *v1alpha1.PolicyRolloutRun) error {
	if meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionTidied) {
		return nil
	}
	meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue, Reason: "NothingLeft",
		Message: "temporary objects, labels and probe pods are gone; the report is complete", ObservedGeneration: run.Generation,
	})
	if err := r.Status().Update(ctx, run); err != nil {
		return fmt.Errorf("record that run %s is tidied: %w", run.Name, err)
	}
	return nil
}

// turn carries a recorded decision into the report.
func (r *record) turn(s *session, t turn, message string, now time.Time) {
	if s.plan == nil {
		return
	}
	leaving := map[rollout.Cause]string{
		"": "Passed", rollout.CauseCut: "Cut", rollout.CauseLeak: "Leak", rollout.CauseSilent: "Silent",
		rollout.CauseAborted: "Aborted", rollout.CauseForeign: "Foreign",
		rollout.CauseRefused: "Refused", rollout.CauseNotEnforced: "NotEnforced",
	}[t.next.Cause]
	if t.at.Phase == v1alpha1.PhaseRollingBack {
		leaving = map[bool]string{true: "Passed", false: "Failed"}[t.next.Phase == v1alpha1.PhaseRolledBack]
	}
	r.phase(s.stepName(t.next), s.scope(t.next).String(), leaving, now)
	rep := &r.Report
	rep.Message, rep.Cause = message, string(t.next.Cause)
	if result := t.next.Result(); result != "" {
		rep.Result = result
	}
	if !t.next.Phase.Terminal() {
		return
	}
	rep.Ended = now
	for i := range rep.TemporaryAccess {
		rep.TemporaryAccess[i].To = now
	}
	for i := range rep.Paths {
		if p := &rep.Paths[i]; p.Finding == "Inconclusive" && p.Note == "" {
			p.Note = "not enough conclusive attempts in a phase that enforced it"
		}
	}
}
