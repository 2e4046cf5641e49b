package operator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// granted is what the approvals of a run come to in the visit of the step that the run
// is in. The zero value grants nothing.
type granted struct {
	rollout.Approvals
	counting []evidence.Approval // sorted by name
	void     []string            // which approvals of this visit do not count and why, in words, sorted
}

// grant weighs the approvals of a namespace for one run and the gates of its step, at a
// time. What is not meant for this run, or was for a stage that it has left, is passed over.
func grant(run *v1alpha1.PolicyRolloutRun, gates []v1alpha1.Gate, all []v1alpha1.RolloutApproval, now time.Time) granted {
	g := granted{}
	for _, a := range all {
		if a.Spec.RunRef.Name != run.Name || forgotten(run, a) {
			continue
		}
		if why := voids(run, gates, a, now); why != "" {
			g.void = append(g.void, fmt.Sprintf("approval %s of %s does not count: %s", a.Name, a.Spec.Approver, why))
			continue
		}
		g.counting = append(g.counting, evidence.Approval{
			Name: a.Name, UID: a.UID, Action: a.Spec.Action, Stage: a.Spec.Stage, Gate: a.Spec.Gate, Approver: a.Spec.Approver,
			At: a.CreationTimestamp.UTC(), Reason: a.Spec.Reason, PlanDigest: a.Spec.PlanDigest,
		})
	}
	slices.SortFunc(g.counting, func(a, b evidence.Approval) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(g.void)
	g.Approvals = evidence.Granted(gates, g.counting)
	return g
}

// forgotten reports whether an approval was for a stage that the run has left, and so is
// nothing that anybody waits for.
func forgotten(run *v1alpha1.PolicyRolloutRun, a v1alpha1.RolloutApproval) bool {
	since := run.Status.StageSince
	return a.Spec.Stage != run.Status.Stage && since != nil && a.CreationTimestamp.Time.Before(since.Time.Truncate(time.Second))
}

// voids says why an approval does not count; empty: it does.
func voids(run *v1alpha1.PolicyRolloutRun, gates []v1alpha1.Gate, a v1alpha1.RolloutApproval, now time.Time) string {
	st, spec := run.Status, a.Spec
	held := st.Phase == v1alpha1.PhaseHeld
	switch {
	case spec.RunRef.UID != run.UID:
		return fmt.Sprintf("it is for another run of that name, with UID %s", spec.RunRef.UID)
	case a.DeletionTimestamp != nil:
		return "it is being deleted"
	case st.PlanDigest == "" || spec.PlanDigest != st.PlanDigest:
		return fmt.Sprintf("it is for plan %s, and the run has plan %s", spec.PlanDigest, st.PlanDigest)
	case spec.Stage != st.Stage:
		return fmt.Sprintf("it is for stage %s, and the run is in %s", spec.Stage, st.Stage)
	case st.StageSince == nil || !sameTime(spec.StageSince.Time, st.StageSince.Time):
		return fmt.Sprintf("it is for another visit of stage %s, and the run is in the one since %s", spec.Stage, stamp(st.StageSince))
	case !now.Before(spec.ExpiresAt.Time):
		return fmt.Sprintf("it expired at %s", spec.ExpiresAt.UTC().Format(time.RFC3339))
	case spec.Action == v1alpha1.ActionProceed && !slices.ContainsFunc(gates, func(g v1alpha1.Gate) bool { return g.Name == spec.Gate }):
		return fmt.Sprintf("stage %s has no gate %s", spec.Stage, spec.Gate)
	case held && spec.Action != v1alpha1.ActionResume:
		return fmt.Sprintf("the run is held, and %s does not let go of it", spec.Action)
	case !held && spec.Action == v1alpha1.ActionResume:
		return "the run is not held"
	}
	return ""
}

// sameTime compares what was written down, which has microseconds.
func sameTime(a, b time.Time) bool {
	return a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond))
}

// waiting says what a run of a rollout (namespace/name) that is proved waits for, and what
// to type; empty: it waits for nobody.
func (g granted) waiting(of string, step rollout.StepPlan) string {
	namespace, name, _ := strings.Cut(of, "/")
	var gates []string
	for _, gate := range step.Shut(g.Approvals) {
		who, so := evidence.Approvers(g.counting, gate.Name), ""
		if len(who) > 0 {
			so = ", so far by " + strings.Join(who, " and ")
		}
		gates = append(gates, fmt.Sprintf("gate %s waits for approval (%d of %d%s): tightrope rollout approve %s -n %s --stage %s --gate %s",
			gate.Name, len(who), gate.Approvers(), so, name, namespace, step.Name, gate.Name))
	}
	if len(gates) == 0 {
		return ""
	}
	return fmt.Sprintf("stage %s is proved; %s%s", step.Name, strings.Join(gates, "; "), g.ignored())
}

// waitsFor says what a step that is proved waits for, of a rollout (namespace/name), and
// what to type. Who has approved so far is in the condition, which follows that.
func waitsFor(of string, step rollout.StepPlan) string {
	namespace, name, _ := strings.Cut(of, "/")
	var gates []string
	for _, gate := range step.Gates {
		gates = append(gates, gate.Name)
	}
	return fmt.Sprintf("stage %s is proved and waits for approval at gate %s: tightrope rollout approve %s -n %s --stage %s",
		step.Name, strings.Join(gates, " and "), name, namespace, step.Name)
}

// ignored lists the approvals that do not count, a few of them.
func (g granted) ignored() string {
	some := g.void[:min(len(g.void), maxNamed)]
	return prefixed("; ", strings.Join(some, "; "))
}
