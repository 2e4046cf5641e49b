package operator

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
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
		case v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseCommitting, v1alpha1.PhaseHeld: // a run that is not live is never held
			return true
		}
	}
	return false
}

// turn is a decision and what it rests on.
type turn struct {
	at, next rollout.State
	evidence rollout.Evidence
	limits   rollout.Limits
	intent   v1alpha1.Intent
	cells    map[cell]*judged
	picture  *picture // nil before there are agents
	granted  granted
	message  string // as it was written down; empty: it was not
	waits    bool   // a commit that was decided waits for what it rests on
}

// forward reports whether a decision takes a path away, or leads to one that does.
func (t turn) forward() bool {
	return t.next.Cause == "" && t.next.Phase != v1alpha1.PhasePreflight && !t.toggles()
}

// advance writes a decision down, and reports whether it is: the status, then what
// follows from it. What goes forward is part of the evidence first, and waits for that;
// what goes back waits for nothing.
func (r *RunReconciler) advance(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, t turn) (bool, error) {
	first := t.forward() && s.record.Begun() && s.record.keeps() && s.record.spent.Turns()
	if first {
		if stored, err := r.writeDown(run, s, &t); err != nil || !stored {
			return false, err
		}
	}
	cuts := s.cutsOf(t)
	s.fillStatus(run, t, cuts)
	if first {
		head := s.record.links.Flight().Head
		run.Status.Evidence.Head, run.Status.Evidence.Chunks = head.Digest, int32(head.Chunks)
	}
	s.sent = &t
	if err := r.deciding().Write.UpdateStatus(ctx, run); err != nil {
		return false, fmt.Errorf("record phase %s of run %s: %w", t.next.Phase, run.Name, err)
	}
	if first {
		if err := s.seeEvidence(run); err != nil {
			return false, err
		}
	}
	r.recorded(ctx, run, s, t, cuts, first)
	return true, nil
}

// recorded does what follows from a decision once the status has it. One that is part of
// the evidence already is not written down again.
func (r *RunReconciler) recorded(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, t turn, cuts []foundCut, known bool) {
	now := time.Now()
	s.sent, s.undated = nil, cuts
	if !known && s.record.Begun() {
		s.record.log(evidence.Entry{Turn: s.decision(t, run.Status.Message, s.record.cuts(cuts, now))}, now)
		s.record.urgent = s.record.urgent || !t.toggles()
	}
	r.tell(ctx, run, s, t)
	countPhase(t.next, s.record.Report.Cuts)
	if t.next.Phase == v1alpha1.PhasePreflight && t.at.Phase == v1alpha1.PhaseObserve {
		s.planAgain()
	}
}

// catchUp notes a decision that the status has and the evidence has not: one of ours
// whose answer was lost, or one of which nothing else is known.
func (r *RunReconciler) catchUp(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session) {
	if t, at := s.sent, stateOf(run); t != nil && t.next == at {
		s.owed = nil
		r.recorded(ctx, run, s, *t, s.cutsOf(*t), s.record.Book.State == at)
	}
	s.record.catchUp(run)
}

// cutsOf are the cuts that a decision is made for, if it is the first that knows of them.
func (s *session) cutsOf(t turn) []foundCut {
	if t.next.Cause != rollout.CauseCut || t.at.Cause == rollout.CauseCut {
		return nil
	}
	return findCuts(t.picture, t.cells, s.stepName(t.at), s.tightened)
}

// planAgain forgets the plan, because the baseline it was made for has changed
// while nothing was applied. What was learned of the cluster is kept.
func (s *session) planAgain() {
	known := recordState{Settle: s.record.State.Settle, Label: s.record.State.Label}
	s.record.closeWindow(time.Now())
	s.plan, s.waves, s.preflight, s.refused, s.record = nil, nil, rollout.PreflightRunning, nil, record{chain: s.record.chain}
	s.forms, s.own, s.compiled = nil, nil, compiled{}
	s.appeared, s.unshown = "", nil
	s.isolatedAt, s.releasedAt = time.Time{}, time.Time{}
	s.record.State = known
}

func (s *session) fillStatus(run *v1alpha1.PolicyRolloutRun, t turn, cuts []foundCut) {
	st := &run.Status
	st.ObservedGeneration = run.Generation
	if st.Phase != t.next.Phase || st.Step != int32(t.next.Step) || st.StageSince == nil { // a pause, and waiting, are the same visit
		st.StageSince = ptr.To(metav1.NewMicroTime(time.Now().Truncate(time.Microsecond)))
	}
	st.Phase, st.Step, st.Cause = t.next.Phase, int32(t.next.Step), string(t.next.Cause)
	st.Stage, st.Result = s.stepName(t.next), t.next.Result()
	if t.next.Phase == v1alpha1.PhasePreflight {
		st.PlanDigest, st.SnapshotDigest, st.Sources = "", "", nil // nothing is armed: the plan is made, or made again
	} else if s.plan != nil {
		st.PlanDigest, st.SnapshotDigest, st.Sources = s.plan.Digest(), s.plan.stored, s.plan.Sources
		st.Evidence = cmp.Or(st.Evidence, &v1alpha1.Evidence{})
		st.Evidence.Report = publishedName(run).Name
	}
	st.Waves = s.waveStatus(run)
	for _, c := range cuts {
		st.CutCount++
		if len(st.Cuts) < maxCuts {
			st.Cuts = append(st.Cuts, v1alpha1.CutStatus{Path: c.entry.Path, Phase: c.entry.Phase, Rule: c.entry.Rule, DecidedAt: metav1.NowMicro()})
		}
	}
	switch t.next.Phase {
	case v1alpha1.PhaseRolledBack: // the reason for the rollback is the last word
		st.Message = clip(st.Message+s.healing(t.next)+prefixed("; ", s.mends.contested()), 4096)
	case v1alpha1.PhaseRollbackFailed:
		st.Message = clip(st.Message+"; the rollback could not be verified in time: look at the paths of the suite"+prefixed("; the last write of it was refused: ", s.hindrance)+prefixed("; ", s.mends.contested()), 4096)
	default:
		st.Message = clip(cmp.Or(t.message, s.sayWaves(run)+s.message(t, st.Cuts)), 4096)
	}
	st.History = append(st.History, v1alpha1.PhaseChange{Phase: t.next.Phase, Stage: st.Stage, At: metav1.NowMicro(), Cause: st.Cause})
	if n := len(st.History); n > maxHistory {
		st.History = st.History[n-maxHistory:]
	}
	setConditions(run, t.next)
	s.setWaiting(run, t.next, t.granted)
}

// clip bounds a text to n bytes, and cuts no character in two: names of paths have
// arrows in them.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
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
	setPaused(run, at, false)
	set("Ready", at.Phase == v1alpha1.PhaseCommitted)
	set("Reconciling", !at.Phase.Terminal() && at.Phase != v1alpha1.PhaseHeld)
	set("Stalled", at.Phase == v1alpha1.PhaseHeld || at.Phase.Terminal() && at.Phase != v1alpha1.PhaseCommitted)
}

// setTidied marks a finished run as complete, with the digest of its report (empty: it
// has none, or none that could be written) and the head of its evidence.
func (r *RunReconciler) setTidied(ctx context.Context, run *v1alpha1.PolicyRolloutRun, digest string, head evidence.Head) error {
	now := report.HeadOf(run)
	known := run.Status.Evidence == nil || run.Status.Evidence.ReportDigest == digest && now == head
	if known && meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionTidied) {
		return nil
	}
	if e := run.Status.Evidence; e != nil {
		e.ReportDigest, e.Head, e.Chunks = digest, head.Digest, int32(head.Chunks)
	}
	meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue, Reason: "NothingLeft",
		Message: "temporary objects, labels and probe pods are gone; the report is complete", ObservedGeneration: run.Generation,
	})
	if err := r.Write.UpdateStatus(ctx, run); err != nil {
		return fmt.Errorf("record that run %s is tidied: %w", run.Name, err)
	}
	return nil
}
