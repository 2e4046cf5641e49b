package steer

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
)

// Intend says what a person wants of a run. It is refused where that can have no
// effect: the run is over, goes back, or is as wanted already.
func (s *Steerer) Intend(ctx context.Context, run *v1alpha1.PolicyRolloutRun, intent v1alpha1.Intent) error {
	key := client.ObjectKeyFromObject(run)
	if why := without(run, intent); why != "" {
		return fmt.Errorf("run %s: %w: %s", key, ErrRefused, why)
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": run.UID}, "spec": map[string]any{"intent": intent},
	})
	if err != nil {
		return err
	}
	err = s.c.Patch(ctx, run.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager))
	return explain("patch", "PolicyRolloutRun", key, err)
}

// without says why an intent would be without effect; empty: it would not.
func without(run *v1alpha1.PolicyRolloutRun, intent v1alpha1.Intent) string {
	phase, back := run.Status.Phase, run.Status.Phase == v1alpha1.PhaseRollingBack || run.Status.Cause == "BaselineChanged"
	switch {
	case phase.Terminal() && !run.GoesOn(): // else it is wanted of the wave that follows
		return fmt.Sprintf("it is over (%s)", phase)
	case intent == v1alpha1.IntentAbort: // asked for twice is waited for twice
		return ""
	case run.Spec.Intent == v1alpha1.IntentAbort || run.DeletionTimestamp != nil:
		return "it is being aborted, which cannot be taken back"
	case back:
		return "it is being rolled back, which nothing holds up"
	case intent == v1alpha1.IntentRun && run.Spec.Intent != v1alpha1.IntentPause:
		return "it is not paused"
	case intent == v1alpha1.IntentPause && run.Spec.Intent == v1alpha1.IntentPause:
		return "it is paused already"
	}
	return ""
}

// Paused reports whether the controller has taken up a pause.
func Paused(run *v1alpha1.PolicyRolloutRun) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionPaused)
}

// Retry asks for another attempt at the rollout that a run tried, and waits for its run.
func (s *Steerer) Retry(ctx context.Context, f Found) (*v1alpha1.PolicyRolloutRun, error) {
	switch run := f.Run; {
	case run == nil:
		return nil, fmt.Errorf("%w: the rollout has no run that could be tried again", ErrRefused)
	case f.Rollout == nil:
		return nil, fmt.Errorf("%w: the rollout of run %s is gone: apply it again", ErrRefused, run.Name)
	case !run.Status.Phase.Terminal():
		return nil, fmt.Errorf("%w: run %s goes on (%s): abort it first", ErrRefused, run.Name, run.Status.Phase)
	case run.GoesOn():
		return nil, fmt.Errorf("%w: run %s is committed, and its next wave follows", ErrRefused, run.Name)
	case run.Status.Phase == v1alpha1.PhaseCommitted && !run.CalledOff():
		return nil, fmt.Errorf("%w: run %s is committed: there is nothing to try again", ErrRefused, run.Name)
	case run.Spec.Generation != f.Rollout.Generation:
		return nil, fmt.Errorf("%w: run %s tried generation %d, and the rollout has generation %d by now: its own run is %s", ErrRefused, run.Name, run.Spec.Generation, f.Rollout.Generation, currentName(f.Rollout))
	case f.Rollout.Status.CurrentRunRef != nil && f.Rollout.Status.CurrentRunRef.Name != run.Name:
		return nil, fmt.Errorf("%w: run %s was tried again already, by run %s", ErrRefused, run.Name, currentName(f.Rollout))
	}
	ro, key := f.Rollout, client.ObjectKeyFromObject(f.Rollout)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": ro.UID, "annotations": map[string]string{v1alpha1.AnnotationRetry: f.Run.Name},
	}})
	if err != nil {
		return nil, err
	}
	if err := s.c.Patch(ctx, ro.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager)); err != nil {
		return nil, explain("patch", "PolicyRollout", key, err)
	}
	return s.Begun(ctx, ro, max(f.Run.Spec.Attempt, 1))
}

func currentName(ro *v1alpha1.PolicyRollout) string {
	if ro.Status.CurrentRunRef == nil {
		return "not there yet"
	}
	return ro.Status.CurrentRunRef.Name
}

// Report is what a run has proved so far. A run that was refused before there was a
// plan has none; then it is what its status says.
func (s *Steerer) Report(ctx context.Context, run *v1alpha1.PolicyRolloutRun) (*report.Report, error) {
	e := run.Status.Evidence
	if e == nil || e.Report == "" {
		return report.OfStatus(run), nil
	}
	key := client.ObjectKey{Namespace: run.Namespace, Name: e.Report}
	var cm corev1.ConfigMap
	switch err := s.get(ctx, "ConfigMap", key, &cm); {
	case apierrors.IsNotFound(err) && !run.Status.Phase.Terminal():
		return report.OfStatus(run), nil // it is not published yet
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("the report of run %s is gone: somebody deleted ConfigMap %s", run.Name, key)
	case err != nil:
		return nil, err
	}
	r, err := report.OfRun(run, &cm)
	if err != nil {
		return nil, err
	}
	r.Result, r.Cause = report.Result(run), run.Status.Cause // the status is the last word
	return r, nil
}

// Evidence is a run with the chunks that its status leads to.
func (s *Steerer) Evidence(ctx context.Context, run *v1alpha1.PolicyRolloutRun) (*report.Bundle, error) {
	return report.Gather(run, func(name string) ([]byte, error) {
		var cm corev1.ConfigMap
		err := s.get(ctx, "ConfigMap", client.ObjectKey{Namespace: run.Namespace, Name: name}, &cm)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return report.Packed(&cm), err
	})
}
