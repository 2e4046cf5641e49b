package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// Somebody may isolate a pod while a run is under way: a compromised one, say. A
// bridge would open it again, and so would a candidate. Such a pod is to be at
// what was there before and that policy, so everything of the run leaves it alone,
// at once and as long as anything of the run is there (docs/protocol.md §3).

// strangers are the policies of others that select pods the plan knew nothing of:
// new ones, those that select or isolate otherwise than when it was made, and those of
// other kinds that a bridge would open.
func (s *session) strangers(w *world) []verdict.Policy {
	var out []verdict.Policy
	for _, c := range s.baselineChanges(w) {
		if c.now != nil && (c.was == nil || plan.SumOf(c.was.Spec.PodSelector) != plan.SumOf(c.now.Spec.PodSelector) ||
			!slices.Equal(c.was.Spec.PolicyTypes, c.now.Spec.PolicyTypes)) {
			out = append(out, *c.now)
		}
	}
	out = append(out, s.plan.isolatedByOthers(w)...)
	for _, p := range s.unshown { // the cache need not show them yet
		if !slices.ContainsFunc(out, func(q verdict.Policy) bool { return q.Key() == p.Key() }) {
			out = append(out, p.Policy)
		}
	}
	return out
}

// sparing makes the wishes leave the pods of the strangers alone.
func sparing(wishes []wish, strangers []verdict.Policy, run string) []wish {
	out := slices.Clone(wishes)
	for i := range out {
		out[i].spec = *out[i].spec.DeepCopy()
		for _, p := range strangers {
			if p.Namespace == out[i].namespace && sharesDirection(out[i].spec.PolicyTypes, p.Spec.PolicyTypes) {
				out[i].spec.PodSelector = except(out[i].spec.PodSelector, p.Spec.PodSelector, run)
			}
		}
	}
	return out
}

func sharesDirection(a, b []networkingv1.PolicyType) bool {
	return slices.ContainsFunc(a, func(t networkingv1.PolicyType) bool { return slices.Contains(b, t) })
}

// opposite is the requirement that a pod meets if and only if it does not meet
// one with that operator and the same values.
var opposite = map[metav1.LabelSelectorOperator]metav1.LabelSelectorOperator{
	metav1.LabelSelectorOpIn: metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpNotIn: metav1.LabelSelectorOpIn,
	metav1.LabelSelectorOpExists: metav1.LabelSelectorOpDoesNotExist, metav1.LabelSelectorOpDoesNotExist: metav1.LabelSelectorOpExists,
}

// except narrows a selector by what another one selects. The opposite of a single
// requirement is one too; the opposite of several is a choice, which a selector
// cannot say, so their pods are marked with a label of ours.
func except(own, other metav1.LabelSelector, run string) metav1.LabelSelector {
	own = *own.DeepCopy()
	spared := metav1.LabelSelectorRequirement{Key: v1alpha1.LabelSpared, Operator: metav1.LabelSelectorOpNotIn, Values: []string{run}}
	switch all := requirements(other); len(all) {
	case 0:
		return rollout.MatchNothing()
	case 1:
		spared = *all[0].DeepCopy()
		spared.Operator = opposite[spared.Operator]
	}
	if !slices.ContainsFunc(own.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return equality.Semantic.DeepEqual(r, spared) }) {
		own.MatchExpressions = append(own.MatchExpressions, spared)
	}
	return own
}

func requirements(s metav1.LabelSelector) []metav1.LabelSelectorRequirement {
	out := slices.Clone(s.MatchExpressions)
	for _, key := range sortedKeys(s.MatchLabels) {
		out = append(out, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{s.MatchLabels[key]}})
	}
	return out
}

// spare takes the run's policies off the pods that strangers isolate: first the
// label, where one is needed, then bridges and candidates together. What hinders
// one of these stops the bridges only where they would open such a pod.
func (r *RunReconciler) spare(ctx context.Context, run string, w *world, acting, bridges []wish, strangers []verdict.Policy) error {
	unmarked := r.markSpared(ctx, w, run, strangers)
	if unmarked != nil {
		bridges = slices.DeleteFunc(slices.Clone(bridges), func(x wish) bool {
			return x.original == nil && slices.ContainsFunc(strangers, func(p verdict.Policy) bool {
				return p.Namespace == x.namespace && len(requirements(p.Spec.PodSelector)) > 1
			})
		})
	}
	var unspared error
	if len(strangers) > 0 {
		acting = slices.DeleteFunc(sparing(acting, strangers, run), func(x wish) bool { return plan.SumOf(x.spec) == plan.SumOf(x.have.Spec) })
		unspared = r.apply(ctx, r.restoring().Write, acting)
	}
	return errors.Join(unmarked, unspared, r.widen(ctx, w, bridges))
}

// acting are the policies of the run that select pods now, as they stand.
func (s *session) acting(w *world) []wish {
	var out []wish
	for _, x := range w.exists(append(s.plan.candidateWishes(rollout.Live), s.plan.finalWishes(rollout.Live)...)) {
		if !inert(x.have) && x.original == nil { // an original is given back whole
			x.spec = *x.have.Spec.DeepCopy()
			out = append(out, x)
		}
	}
	return out
}

// markSpared labels the pods of strangers whose selector no single requirement negates.
func (r *RunReconciler) markSpared(ctx context.Context, w *world, run string, strangers []verdict.Policy) error {
	spared := map[types.NamespacedName]bool{}
	for key, pod := range w.pods {
		spared[key] = slices.ContainsFunc(strangers, func(p verdict.Policy) bool {
			return p.Namespace == pod.Namespace && len(requirements(p.Spec.PodSelector)) > 1 && selects(&p.Spec.PodSelector, pod.Labels)
		})
	}
	if _, err := labelPods(ctx, r.restoring().Write, w, v1alpha1.LabelSpared, run, spared); err != nil {
		return fmt.Errorf("spare pods that somebody isolated: %w", err)
	}
	return nil
}
