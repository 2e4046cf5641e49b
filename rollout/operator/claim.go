package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// claim refuses a run that would share a namespace with another one under way.
// It is asked before the plan is made and again before anything is changed, when
// the plans of both are stored; of two that are not armed the older one goes on.
// Who is in the way is told by the cache, and the API server is asked of none but him:
// were all of them read for each run, their number would count twice.
func (r *RunReconciler) claim(ctx context.Context, ours []string, run *v1alpha1.PolicyRolloutRun, no *refusal) error {
	runs, err := otherRuns(ctx, r.Reader, run)
	if err != nil {
		return err
	}
	for i := range runs {
		other := &runs[i]
		if !r.underWay(other, run) {
			continue
		}
		theirs, err := r.namespacesOf(ctx, other)
		if armedWith(other) == "" && errors.Is(err, errNoPlan) {
			continue // it will ask again before it changes anything
		} else if errors.Is(err, errUnseen) {
			no.unseen = append(no.unseen, fmt.Sprintf("whether run %s/%s, which is under way, has a namespace of this rollout: %v", other.Namespace, other.Name, err))
			continue
		} else if err != nil {
			return err
		}
		both := slices.DeleteFunc(theirs, func(ns string) bool { return !slices.Contains(ours, ns) })
		if len(both) == 0 {
			continue
		}
		var now v1alpha1.PolicyRolloutRun
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(other), &now); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("run %s/%s, which has a namespace of this one: %w", other.Namespace, other.Name, err)
		} else if err != nil || now.UID != other.UID || !r.underWay(&now, run) {
			continue // it has ended
		}
		for _, ns := range both {
			no.add("namespace %s is claimed by %s", ns, r.claimant(&now, run))
		}
	}
	return nil
}

// underWay reports whether another run comes before this one where both write.
func (r *RunReconciler) underWay(other, run *v1alpha1.PolicyRolloutRun) bool {
	return !other.Status.Phase.Terminal() && (armedWith(other) != "" || older(other, run)) && (r.unsent == nil || !sameRollout(other, run))
}

// errNoPlan says that a run has not planned yet.
var errNoPlan = errors.New("it has no plan")

// namespacesOf lists the namespaces that another run writes to, as its session has them
// or as they are stored.
func (r *RunReconciler) namespacesOf(ctx context.Context, other *v1alpha1.PolicyRolloutRun) ([]string, error) {
	armed := armedWith(other)
	if s := r.known(client.ObjectKeyFromObject(other)); s != nil {
		if p := s.writesBy.Load(); p != nil && p.RunUID == other.UID && (armed == "" || armed == p.stored) {
			return p.Namespaces(), nil
		}
	}
	p, err := loadPlan(ctx, r.Live, other.Name, armed)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("run %s/%s: %w: %w", other.Namespace, other.Name, errNoPlan, err)
	} else if err != nil {
		return nil, err
	}
	return p.Namespaces(), nil
}

// sameRollout reports whether two runs are of one rollout: the older one is aborted before
// the other begins.
func sameRollout(a, b *v1alpha1.PolicyRolloutRun) bool {
	return a.Namespace == b.Namespace && a.Spec.RolloutRef.Name == b.Spec.RolloutRef.Name
}

// claimant names a run that is in the way. Where there are tenants it says no more of one in
// another namespace.
func (r *RunReconciler) claimant(other, run *v1alpha1.PolicyRolloutRun) string {
	if other.Namespace != run.Namespace && !r.SingleTenant {
		return "a run of another namespace that is under way: wait for it"
	}
	return fmt.Sprintf("run %s/%s, which is in phase %s: wait for it or abort it", other.Namespace, other.Name, other.Status.Phase)
}

// otherRuns are all runs but this one.
func otherRuns(ctx context.Context, from client.Reader, run *v1alpha1.PolicyRolloutRun) ([]v1alpha1.PolicyRolloutRun, error) {
	var runs v1alpha1.PolicyRolloutRunList
	if err := from.List(ctx, &runs, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(runs.Items), func(other v1alpha1.PolicyRolloutRun) bool {
		return other.Name == run.Name && other.Namespace == run.Namespace
	}), nil
}

// older orders runs by their creation, then by name, so that two always agree.
func older(a, b *v1alpha1.PolicyRolloutRun) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Namespace+"/"+a.Name < b.Namespace+"/"+b.Name
}

// A claim is a ConfigMap of one name in each namespace that a run writes policies to.
// The API server lets one run create it, whatever two controllers believe of each other,
// and shows people whose the namespace is. It is taken before the run is armed, and given
// up once nothing else of the run is left. The resourceVersion of its creation only grows
// from one claim of a namespace to the next.

// takeClaims claims every namespace that the plan writes policies to: all, or none.
// They are claimed in one order, so that of two runs that meet one gets all.
func (r *RunReconciler) takeClaims(ctx context.Context, run *v1alpha1.PolicyRolloutRun, p *Plan) error {
	var took []client.Object
	for _, ns := range p.Namespaces() {
		claim, err := r.takeClaim(ctx, run, p, ns)
		if err != nil {
			for _, mine := range took {
				err = errors.Join(err, r.Write.Delete(ctx, mine))
			}
			return err
		}
		if claim != nil {
			took = append(took, claim)
		}
	}
	return nil
}

// takeClaim claims one namespace; nil: the run has it already. A refusal names who has it.
func (r *RunReconciler) takeClaim(ctx context.Context, run *v1alpha1.PolicyRolloutRun, p *Plan, ns string) (client.Object, error) {
	h, err := r.handsIn(p, ns)
	if err != nil {
		return nil, err
	}
	claim := &corev1.ConfigMap{ObjectMeta: p.key().Meta(ns, plan.ClaimName, roleClaim), Data: map[string]string{"run": run.Name}}
	switch err := h.write.Create(ctx, claim); {
	case err == nil:
		return claim, nil
	case apierrors.IsAlreadyExists(err):
	case denied(err):
		return nil, &refusal{reasons: []string{fmt.Sprintf("the API server refuses the claim of namespace %s, a ConfigMap called %s: %v", ns, plan.ClaimName, err)}}
	default:
		return nil, fmt.Errorf("claim namespace %s: %w", ns, err)
	}
	var theirs corev1.ConfigMap
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(claim), &theirs); err != nil {
		return nil, fmt.Errorf("claim of namespace %s: %w", ns, err) // gone meanwhile: the next pass takes it
	}
	if p.key().Made(&theirs) {
		return nil, nil
	}
	return nil, r.askClaimant(ctx, run, &theirs)
}

// addSquatter refuses a namespace where no run can make its claim, and reports whether
// it is such a one.
func (no *refusal) addSquatter(claim *corev1.ConfigMap) bool {
	if claim.Labels[v1alpha1.LabelRole] == roleClaim {
		return false
	}
	no.add("ConfigMap %s/%s is there, and no run made it: by that name a run claims a namespace, so delete it", claim.Namespace, claim.Name)
	return true
}

// askClaimant refuses a run whose namespace another one has claimed, and says which. It
// takes away what a run left that is gone, and waits for one that is being tidied up.
func (r *RunReconciler) askClaimant(ctx context.Context, run *v1alpha1.PolicyRolloutRun, claim *corev1.ConfigMap) error {
	runs, err := otherRuns(ctx, r.Live, run)
	if err != nil {
		return err
	}
	no := &refusal{}
	at := slices.IndexFunc(runs, func(other v1alpha1.PolicyRolloutRun) bool { return keyOf(&other).Made(claim) })
	switch {
	case no.addSquatter(claim):
	case at < 0, meta.IsStatusConditionTrue(runs[at].Status.Conditions, v1alpha1.ConditionTidied):
		if err := r.Write.DeleteAsRead(ctx, claim); err != nil {
			return fmt.Errorf("claim of namespace %s, by a run that is gone: %w", claim.Namespace, err)
		}
		return fmt.Errorf("namespace %s was claimed by run %s, which is gone: the claim was taken away", claim.Namespace, claim.Labels[v1alpha1.LabelRun])
	case runs[at].Status.Phase.Terminal():
		return fmt.Errorf("run %s has ended and not yet given up namespace %s", runs[at].Name, claim.Namespace)
	default:
		no.add("namespace %s is claimed by %s", claim.Namespace, r.claimant(&runs[at], run))
	}
	return no
}
