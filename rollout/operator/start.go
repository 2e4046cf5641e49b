package operator

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// RolloutReconciler starts one run per generation of a PolicyRollout, and another
// when somebody asks to retry; it keeps the rollout's summary and no more runs than
// its history may have. It never writes a rollout's spec.
type RolloutReconciler struct {
	Live   client.Reader // from the API server
	Write  *writer.Writer
	Events events.EventRecorder
}

// SetupWithManager registers the reconciler.
func (r *RolloutReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).For(&v1alpha1.PolicyRollout{}).
		Owns(&v1alpha1.PolicyRolloutRun{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: tellsMore})).
		WithOptions(controller.Options{MaxConcurrentReconciles: rolloutsAtOnce, RateLimiter: retrySoon()}).Complete(r)
}

// rolloutsAtOnce is how many rollouts are looked at side by side. Most of a look is
// waiting for the API server.
const rolloutsAtOnce = 8

// tellsMore reports whether a run says anything new but that more evidence of it is
// stored. That happens for as long as a run lasts, and its rollout says nothing of it.
func tellsMore(e event.UpdateEvent) bool {
	was, ok1 := e.ObjectOld.(*v1alpha1.PolicyRolloutRun)
	now, ok2 := e.ObjectNew.(*v1alpha1.PolicyRolloutRun)
	if !ok1 || !ok2 || was.ResourceVersion == now.ResourceVersion {
		return true // also the event that nothing has happened for long
	}
	told := func(run *v1alpha1.PolicyRolloutRun) *v1alpha1.PolicyRolloutRun {
		run = run.DeepCopy()
		run.ResourceVersion, run.ManagedFields = "", nil
		if e := run.Status.Evidence; e != nil {
			e.Head, e.Chunks = "", 0
		}
		return run
	}
	return !equality.Semantic.DeepEqual(told(was), told(now))
}

// Reconcile makes the run of the current generation be there. A run of an older
// generation that is under way is aborted first: two never share a namespace.
func (r *RolloutReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var ro v1alpha1.PolicyRollout
	if err := r.Live.Get(ctx, req.NamespacedName, &ro); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if ro.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // the runs are ours to collect; each takes its change back first
	}
	if why := planner.LongName(ro.Name); why != "" {
		return ctrl.Result{}, r.summarise(ctx, &ro, refusedRun("%s", why), progress{}, "")
	}
	var runs v1alpha1.PolicyRolloutRunList
	if err := r.Live.List(ctx, &runs, client.InNamespace(ro.Namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("list runs: %w", err)
	}
	attempt, ignored := wantedAttempt(&ro, runs.Items)
	waves := waveRuns(&ro, runs.Items, attempt)
	next := nextWave(waves)
	name := waveRunName(ro.Name, ro.UID, ro.Generation, attempt, next.Wave)
	waiting, err := r.abortOlder(ctx, &ro, runs.Items, name)
	if err != nil || waiting {
		return ctrl.Result{RequeueAfter: tick}, err
	}
	next.RolloutRef, next.Generation, next.Attempt = v1alpha1.RolloutRef{Name: ro.Name, UID: ro.UID}, ro.Generation, attempt
	want := newRun(&ro, name, next)
	if next.Intent == v1alpha1.IntentPause {
		want.Annotations = map[string]string{pauseMark: pauseOf(waves[len(waves)-1])}
	}
	run, err := r.ensureRun(ctx, &ro, want)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("run %s of rollout %s: %w", name, req, err)
	}
	if !tries(run, &ro) {
		run = refusedRun("run %s exists and does not try this rollout: it is of rollout %s (UID %s), generation %d; delete it", name, run.Spec.RolloutRef.Name, run.Spec.RolloutRef.UID, run.Spec.Generation)
	}
	if err := r.carryOver(ctx, waves, run); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.summarise(ctx, &ro, run, progressOf(&ro, runs.Items, run), ignored); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.prune(ctx, &ro, runs.Items, name)
}

// carryOver makes what somebody wanted of the run of an earlier wave, when that was
// committed already, hold for the run that follows. An abort ends it. A pause goes over to
// it: it is taken off the earlier run, so that whoever resumes the rollout does so for good.
// Between these two writes both runs are paused; the mark tells the next pass that the
// second one is left to do, and no more.
func (r *RolloutReconciler) carryOver(ctx context.Context, waves []*v1alpha1.PolicyRolloutRun, run *v1alpha1.PolicyRolloutRun) error {
	for _, before := range waves {
		if waveNumber(before) >= waveNumber(run) || run.Name == "" || run.Status.Phase.Terminal() || run.Spec.Intent == v1alpha1.IntentAbort {
			continue
		}
		switch {
		case before.CalledOff():
			if err := r.Write.Set(ctx, run, map[string]any{"intent": v1alpha1.IntentAbort}); err != nil {
				return fmt.Errorf("abort run %s, whose wave was called off: %w", run.Name, err)
			}
		case before.Spec.Intent == v1alpha1.IntentPause:
			if mark := pauseOf(before); run.Annotations[pauseMark] != mark { // else somebody may have resumed it by now
				if err := r.Write.SetMarked(ctx, run, map[string]string{pauseMark: mark}, map[string]any{"intent": v1alpha1.IntentPause}); err != nil {
					return fmt.Errorf("pause run %s, as somebody wanted of run %s before it: %w", run.Name, before.Name, err)
				}
			}
			before.Spec.Intent = v1alpha1.IntentRun
			if err := r.Write.Update(ctx, before); err != nil { // as read: it may be wanted to abort by now
				return fmt.Errorf("take the pause off run %s, which run %s has now: %w", before.Name, run.Name, err)
			}
		}
	}
	return nil
}

// pauseMark on a run says which pause of a run before it has gone over to it: see pauseOf.
const pauseMark = "tightrope.dev/pause-of"

// pauseOf tells the pauses of runs apart: each is an edit of a run's spec.
func pauseOf(run *v1alpha1.PolicyRolloutRun) string {
	return fmt.Sprintf("%s/%d", run.UID, run.Generation)
}

// newRun is a run that was not made yet.
func newRun(ro *v1alpha1.PolicyRollout, name string, spec v1alpha1.PolicyRolloutRunSpec) *v1alpha1.PolicyRolloutRun {
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: ro.Namespace, Name: name}, Spec: spec}
	run.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(ro, v1alpha1.GroupVersion.WithKind("PolicyRollout"))}
	return run
}

// ensureRun returns the run of that name, made for the rollout if there was none.
func (r *RolloutReconciler) ensureRun(ctx context.Context, ro *v1alpha1.PolicyRollout, want *v1alpha1.PolicyRolloutRun) (*v1alpha1.PolicyRolloutRun, error) {
	run := &v1alpha1.PolicyRolloutRun{}
	key := client.ObjectKeyFromObject(want)
	if err := r.Live.Get(ctx, key, run); err == nil || !apierrors.IsNotFound(err) {
		return run, err
	}
	err := r.Write.Create(ctx, want)
	switch {
	case apierrors.IsAlreadyExists(err): // somebody was faster: look whose it is
		return run, r.Live.Get(ctx, key, run)
	case err == nil:
		r.Events.Eventf(ro, want, corev1.EventTypeNormal, "Started", "Advance", "run %s tries generation %d, attempt %d, wave %d", want.Name, want.Spec.Generation, want.Spec.Attempt, want.Spec.Wave)
	}
	return want, err
}

// tries reports whether the run tries this generation of this very rollout. The
// name alone would hand the verdict of a deleted rollout on to its successor.
func tries(run *v1alpha1.PolicyRolloutRun, ro *v1alpha1.PolicyRollout) bool {
	return metav1.IsControlledBy(run, ro) && run.Spec.RolloutRef.UID == ro.UID && run.Spec.Generation == ro.Generation
}

// refusedRun stands for the run that a rollout cannot have, and says why.
func refusedRun(format string, args ...any) *v1alpha1.PolicyRolloutRun {
	run := &v1alpha1.PolicyRolloutRun{}
	run.Status.Phase, run.Status.Message = v1alpha1.PhaseRefused, fmt.Sprintf(format, args...)
	return run
}

func (r *RolloutReconciler) abortOlder(ctx context.Context, ro *v1alpha1.PolicyRollout, runs []v1alpha1.PolicyRolloutRun, current string) (waiting bool, err error) {
	for i := range runs {
		old := &runs[i]
		if old.Name == current || !metav1.IsControlledBy(old, ro) || old.Status.Phase.Terminal() {
			continue
		}
		waiting = true
		if old.Spec.Intent != v1alpha1.IntentAbort {
			// By UID alone: the run's status is written often, and a conflict would only delay this.
			if err := r.Write.Set(ctx, old, map[string]any{"intent": v1alpha1.IntentAbort}); err != nil {
				return true, fmt.Errorf("abort run %s: %w", old.Name, err)
			}
		}
	}
	return waiting, nil
}

// summarise copies what the run says into the rollout's status, with what became of
// its waves, and why a retry that was asked for is ignored; empty: none is.
func (r *RolloutReconciler) summarise(ctx context.Context, ro *v1alpha1.PolicyRollout, run *v1alpha1.PolicyRolloutRun, waves progress, ignored string) error {
	phase := cmp.Or(waves.phase, run.Status.Phase, v1alpha1.PhasePending)
	var ref *v1alpha1.RunRef
	if run.Name != "" {
		ref = &v1alpha1.RunRef{Name: run.Name, UID: run.UID}
	}
	st := &ro.Status
	was := st.DeepCopy()
	st.ObservedGeneration, st.CurrentRunRef = ro.Generation, ref
	st.Phase, st.Stage, st.Message = phase, run.Status.Stage, clip(run.Status.Message+waves.note, 4096)
	st.Result, st.Waves = waves.result, waves.all
	if run.Status.Phase == v1alpha1.PhaseCommitted {
		st.CommittedRunRef = ref
	}
	proxy := run.DeepCopy() // of which setConditions makes those of the rollout
	proxy.Generation, proxy.Status.Phase, proxy.Status.Message, proxy.Status.Conditions = ro.Generation, phase, st.Message, st.Conditions
	setConditions(proxy, stateOf(proxy))
	st.Conditions = proxy.Status.Conditions
	setRetryIgnored(ro, ignored)
	if equality.Semantic.DeepEqual(was, st) {
		return nil
	}
	if err := r.Write.UpdateStatus(ctx, ro); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("status of rollout %s: %w", ro.Name, err)
	} else if err == nil && run.UID == "" && phase == v1alpha1.PhaseRefused { // a run that there is speaks for itself
		r.Events.Eventf(ro, nil, corev1.EventTypeWarning, "Refused", "Advance", "%s", clip(run.Status.Message, 1000))
	}
	return nil
}
