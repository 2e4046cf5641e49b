package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// approversPolicy is the admission policy that holds approver to the name of who creates
// the approval. Without it everybody could approve in anybody's name.
const approversPolicy = "tightrope-approvals"

// approvalsOf weighs what a reader knows of the run's approvals.
func (r *RunReconciler) approvalsOf(ctx context.Context, from client.Reader, run *v1alpha1.PolicyRolloutRun, s *session, at rollout.State) (granted, error) {
	if s.plan == nil || !s.plan.hasStep(at) || at.Phase.Terminal() {
		return granted{}, nil
	}
	var list v1alpha1.RolloutApprovalList
	if err := from.List(ctx, &list, client.InNamespace(run.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return granted{}, fmt.Errorf("approvals of run %s: %w", run.Name, err)
	}
	return grant(run, s.plan.Steps[at.Step].Gates, list.Items, time.Now()), nil
}

// decide is rollout.Step with what people have approved. A decision that rests on
// approvals is made on what the API server holds at that moment: the cache may still show
// one that was taken back. What cannot be read was not approved.
func (r *RunReconciler) decide(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, t *turn) error {
	var steps []rollout.StepPlan
	t.limits, t.intent = defaultLimits, intent(run)
	if s.plan != nil {
		steps, t.limits = s.plan.Steps, s.limits()
	}
	step := func(a rollout.Approvals) rollout.State {
		t.evidence.Approvals = a
		return rollout.Step(steps, t.limits, t.at, t.evidence, t.intent)
	}
	alone := step(rollout.Approvals{})
	cached, err := r.approvalsOf(ctx, r.Reader, run, s, t.at)
	t.granted = cached
	if err == nil && step(cached.Approvals) != alone {
		t.granted, err = r.approvalsOf(ctx, r.Live, run, s, t.at)
		if held := r.approversHeld(ctx); errors.Is(held, errNobodyHeld) {
			t.granted = granted{void: []string{held.Error()}}
		} else if held != nil {
			err = errors.Join(err, held)
		}
	}
	if err != nil {
		t.granted = granted{}
	}
	t.next = step(t.granted.Approvals)
	return err
}

// approversHeld reports whether admission holds approvers to their own names.
func (r *RunReconciler) approversHeld(ctx context.Context) error {
	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: kind})
		err := r.Live.Get(ctx, types.NamespacedName{Name: approversPolicy}, o)
		actions, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "validationActions")
		denies := kind == "ValidatingAdmissionPolicy" || slices.Contains(actions, "Deny")
		switch {
		case apierrors.IsNotFound(err), meta.IsNoMatchError(err), err == nil && !denies:
			return fmt.Errorf("%w: %s %s is not in force: without it everybody could approve in anybody's name; install Tightrope again, on Kubernetes 1.30 or newer", errNobodyHeld, kind, approversPolicy)
		case err != nil:
			return fmt.Errorf("%s %s: %w", kind, approversPolicy, err)
		}
	}
	return nil
}

var errNobodyHeld = errors.New("approvals do not count")

// gatesCanOpen refuses a plan with gates that people open where nobody could say who did.
func (r *RunReconciler) gatesCanOpen(ctx context.Context, steps []rollout.StepPlan, no *refusal) error {
	for _, step := range steps {
		for _, gate := range step.Gates {
			if gate.Approvers() == 0 {
				continue
			}
			err := r.approversHeld(ctx)
			if errors.Is(err, errNobodyHeld) {
				no.add("stage %s has gate %s of type %s: %s", step.Name, gate.Name, gate.Type, err)
				return nil
			}
			return err
		}
	}
	return nil
}

// runOf an approval, to look at it when one comes or goes.
func runOf(_ context.Context, o client.Object) []reconcile.Request {
	a, ok := o.(*v1alpha1.RolloutApproval)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: a.Namespace, Name: a.Spec.RunRef.Name}}}
}

// setWaiting says in a condition whether a run waits for people, and which approvals do
// not count. A run without gates and approvals has no such condition.
func (s *session) setWaiting(run *v1alpha1.PolicyRolloutRun, at rollout.State, g granted) {
	c := metav1.Condition{Type: v1alpha1.ConditionWaitingForApproval, Status: metav1.ConditionFalse, Reason: "NotWaiting",
		Message: clip("no gate of the stage keeps the run from going on"+g.ignored(), 1024), ObservedGeneration: run.Generation}
	if at.Cause == rollout.CauseWaiting {
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, "ApprovalMissing", clip(g.waiting(s.plan.Rollout, s.plan.Steps[at.Step]), 1024)
	} else if len(g.void) == 0 && meta.FindStatusCondition(run.Status.Conditions, c.Type) == nil {
		return
	}
	meta.SetStatusCondition(&run.Status.Conditions, c)
}

// showAside writes down what phase and cause do not show of a run that stays where it is.
func (r *RunReconciler) showAside(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, t turn) error {
	if err := r.showPause(ctx, run, t.at, t.evidence.Silence > t.limits.Inconclusive); err != nil {
		return err
	}
	return r.showWaiting(ctx, run, s, t)
}

// showWaiting writes down what approvals change about a run that stays where it is.
func (r *RunReconciler) showWaiting(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, t turn) error {
	was := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionWaitingForApproval).DeepCopy()
	s.setWaiting(run, t.at, t.granted)
	now := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionWaitingForApproval)
	if now == nil || was != nil && was.Status == now.Status && was.Message == now.Message {
		return nil
	}
	if err := r.Write.UpdateStatus(ctx, run); err != nil {
		return fmt.Errorf("record the approvals of run %s: %w", run.Name, err)
	}
	r.Events.Eventf(run, nil, corev1.EventTypeNormal, "Approvals", "Advance", "%s", clip(now.Message, 1000))
	return nil
}

func stamp(t *metav1.MicroTime) string {
	if t == nil {
		return "an unknown time"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
}
