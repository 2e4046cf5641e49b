package operator

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// RolloutReconciler starts one run per generation of a PolicyRollout, and keeps
// the rollout's summary. It never writes a rollout's spec.
type RolloutReconciler struct {
	client.Client
	Live client.Reader
}

// SetupWithManager registers the reconciler.
func (r *RolloutReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).For(&v1alpha1.PolicyRollout{}).Owns(&v1alpha1.PolicyRolloutRun{}).
		WithOptions(controller.Options{RateLimiter: retrySoon()}).Complete(r)
}

// RunName is the name of the run that tries a generation of a rollout.
func RunName(rollout string, generation int64) string {
	return fmt.Sprintf("%s-%d", rollout, generation)
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
	name := RunName(ro.Name, ro.Generation)
	if len(name) > maxRunName {
		return ctrl.Result{}, r.summarise(ctx, &ro, "", v1alpha1.PhaseRefused, fmt.Sprintf("the name is too long: run %q has %d characters, at most %d fit in a label", name, len(name), maxRunName))
	}
	waiting, err := r.abortOlder(ctx, &ro, name)
	if err != nil || waiting {
		return ctrl.Result{RequeueAfter: tick}, err
	}
	run := &v1alpha1.PolicyRolloutRun{}
	err = r.Live.Get(ctx, client.ObjectKey{Namespace: ro.Namespace, Name: name}, run)
	if apierrors.IsNotFound(err) {
		run.Namespace, run.Name = ro.Namespace, name
		run.Spec = v1alpha1.PolicyRolloutRunSpec{Rollout: ro.Name, Generation: ro.Generation, Intent: v1alpha1.IntentRun}
		if err := controllerutil.SetControllerReference(&ro, run, r.Scheme()); err != nil {
			return ctrl.Result{}, fmt.Errorf("run %s: %w", name, err)
		}
		err = client.IgnoreAlreadyExists(r.Create(ctx, run, client.FieldOwner(fieldManager)))
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("run %s of rollout %s: %w", name, req, err)
	}
	return ctrl.Result{}, r.summarise(ctx, &ro, name, run.Status.Phase, run.Status.Message)
}

func (r *RolloutReconciler) abortOlder(ctx context.Context, ro *v1alpha1.PolicyRollout, current string) (waiting bool, err error) {
	var runs v1alpha1.PolicyRolloutRunList
	if err := r.Live.List(ctx, &runs, client.InNamespace(ro.Namespace)); err != nil {
		return false, fmt.Errorf("list runs: %w", err)
	}
	for i := range runs.Items {
		old := &runs.Items[i]
		if old.Name == current || !metav1.IsControlledBy(old, ro) || old.Status.Phase.Terminal() {
			continue
		}
		waiting = true
		if old.Spec.Intent != v1alpha1.IntentAbort {
			// A patch: the run's status is written often, and a conflict would only delay this.
			abort := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"intent":"Abort"}}`))
			if err := r.Patch(ctx, old, abort, client.FieldOwner(fieldManager)); err != nil {
				return true, fmt.Errorf("abort run %s: %w", old.Name, err)
			}
		}
	}
	return waiting, nil
}

func (r *RolloutReconciler) summarise(ctx context.Context, ro *v1alpha1.PolicyRollout, run string, phase v1alpha1.Phase, message string) error {
	if phase == "" {
		phase = v1alpha1.PhasePending
	}
	st := &ro.Status
	if st.ObservedGeneration == ro.Generation && st.Run == run && st.Phase == phase {
		return nil
	}
	st.ObservedGeneration, st.Run, st.Phase = ro.Generation, run, phase
	proxy := v1alpha1.PolicyRolloutRun{ObjectMeta: ro.ObjectMeta}
	proxy.Status.Message, proxy.Status.Conditions = message, st.Conditions
	setConditions(&proxy, stateOf(&v1alpha1.PolicyRolloutRun{Status: v1alpha1.PolicyRolloutRunStatus{Phase: phase}}))
	st.Conditions = proxy.Status.Conditions
	if err := r.Status().Update(ctx, ro); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("status of rollout %s: %w", ro.Name, err)
	}
	return nil
}
