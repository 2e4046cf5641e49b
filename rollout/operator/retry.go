package operator

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// defaultHistory is how many runs that are over are kept.
const defaultHistory = 10

// wantedAttempt is the attempt at its generation that a rollout is to have, and in
// words why AnnotationRetry asks for nothing that can be had; empty: it does not. The
// annotation names the run that is to be tried again, so it asks once, however often
// it is read, and never for another generation than its author saw.
func wantedAttempt(ro *v1alpha1.PolicyRollout, runs []v1alpha1.PolicyRolloutRun) (attempt int64, ignored string) {
	attempt = firstAttempt
	var named *v1alpha1.PolicyRolloutRun
	asked := ro.Annotations[v1alpha1.AnnotationRetry]
	for i := range runs {
		run := &runs[i]
		if run.Name == asked {
			named = run
		}
		if isOf(run, ro) {
			attempt = max(attempt, attemptOf(run))
		}
	}
	switch {
	case asked == "":
	case named == nil || !metav1.IsControlledBy(named, ro):
		if !wasAttempt(ro, asked, attempt) {
			return attempt, fmt.Sprintf("annotation %s names run %q, and this rollout has no such run: name the run that is to be tried again", v1alpha1.AnnotationRetry, clip(asked, 100))
		}
	case !tries(named, ro) || attemptOf(named) != attempt: // it was tried again, or the rollout has changed since
	case named.Status.Phase == v1alpha1.PhaseCommitted && !named.CalledOff():
		return attempt, fmt.Sprintf("run %s is committed: there is nothing to try again", named.Name)
	case named.Status.Phase.Terminal() && meta.IsStatusConditionTrue(named.Status.Conditions, v1alpha1.ConditionTidied):
		return attempt + 1, ""
	}
	return attempt, ""
}

// attemptOf a run; the API server fills it in where a release before it did not.
func attemptOf(run *v1alpha1.PolicyRolloutRun) int64 { return max(run.Spec.Attempt, firstAttempt) }

// maxAttempts bounds how far back the names of runs that are gone are known.
const maxAttempts = 1000

// wasAttempt reports whether a name is that of an earlier attempt, whose run is gone.
func wasAttempt(ro *v1alpha1.PolicyRollout, name string, attempt int64) bool {
	waves := int64(max(firstWave, len(ro.Status.Waves)))
	for n := attempt - 1; n >= max(firstAttempt, attempt-maxAttempts); n-- {
		for wave := int64(firstWave); wave <= waves; wave++ {
			if name == waveRunName(ro.Name, ro.UID, ro.Generation, n, wave) {
				return true
			}
		}
	}
	return false
}

// setRetryIgnored says in a condition why nothing is tried again; empty: nobody asked
// in vain.
func setRetryIgnored(ro *v1alpha1.PolicyRollout, why string) {
	if why == "" {
		meta.RemoveStatusCondition(&ro.Status.Conditions, v1alpha1.ConditionRetryIgnored)
		return
	}
	meta.SetStatusCondition(&ro.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionRetryIgnored, Status: metav1.ConditionTrue, Reason: "NothingToRetry", Message: why, ObservedGeneration: ro.Generation,
	})
}

// prune deletes the oldest runs that the history of a rollout has no room for.
func (r *RolloutReconciler) prune(ctx context.Context, ro *v1alpha1.PolicyRollout, runs []v1alpha1.PolicyRolloutRun, current string) error {
	for _, run := range superfluous(ro, runs, current) {
		slog.InfoContext(ctx, "history", "rollout", client.ObjectKeyFromObject(ro), "deletes", run.Name)
		if err := r.Write.Delete(ctx, run); err != nil {
			return fmt.Errorf("delete run %s, which the history of rollout %s has no room for: %w", run.Name, ro.Name, err)
		}
	}
	return nil
}

// superfluous are the runs beyond the history: of those that are over and tidied, all
// but the newest ones, the current one, the committed one, and the committed waves of
// the current generation, which say what is in force.
func superfluous(ro *v1alpha1.PolicyRollout, runs []v1alpha1.PolicyRolloutRun, current string) []*v1alpha1.PolicyRolloutRun {
	limit := defaultHistory
	if ro.Spec.HistoryLimit != nil {
		limit = max(0, int(*ro.Spec.HistoryLimit))
	}
	var over []*v1alpha1.PolicyRolloutRun
	committed := ""
	if ref := ro.Status.CommittedRunRef; ref != nil {
		committed = ref.Name
	}
	for i := range runs {
		run := &runs[i]
		tidied := meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionTidied)
		if metav1.IsControlledBy(run, ro) && run.Status.Phase.Terminal() && tidied && run.DeletionTimestamp == nil && run.Name != current && run.Name != committed && !committedWave(run, ro) {
			over = append(over, run)
		}
	}
	slices.SortFunc(over, func(a, b *v1alpha1.PolicyRolloutRun) int { // newest first
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Spec.Generation, a.Spec.Generation), cmp.Compare(b.Spec.Attempt, a.Spec.Attempt))
	})
	return over[min(limit, len(over)):]
}
