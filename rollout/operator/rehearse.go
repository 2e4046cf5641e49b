package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
	"github.com/tightrope-dev/tightrope/verdict"
)

// rehearse has the API server default and check every write of the rollout without
// storing it, sorts its policies into those that are added, changed and removed, and
// plans the bridges.
func (r *RunReconciler) rehearse(ctx context.Context, p *Plan, candidates []v1alpha1.CandidatePolicy, spec *v1alpha1.PolicyRolloutSpec, w *world, no *refusal) error {
	write, err := r.forward(p)
	if err != nil {
		return err
	}
	for _, c := range candidates {
		if err := r.addCandidate(ctx, p, write, c, spec, w, no); err != nil {
			return err
		}
	}
	for _, ref := range spec.Policies.Remove {
		if err := r.addRemoval(ctx, p, write, ref, spec, w, no); err != nil {
			return err
		}
	}
	if len(p.Candidates)+len(p.Originals) == 0 && len(no.reasons) == 0 {
		return errInPlace
	}
	return r.planBridges(ctx, p, write, w, no)
}

// planBridges plans the bridges of what the plan changes, and has the API server check
// them.
func (r *RunReconciler) planBridges(ctx context.Context, p *Plan, write *writer.Writer, w *world, no *refusal) error {
	p.Baseline, p.Bridges = nil, nil
	for _, ns := range p.Namespaces() {
		for _, policy := range w.foreign(ns) {
			p.Baseline = append(p.Baseline, plan.Policy(policy))
		}
	}
	bridges, err := rollout.Bridges(p.baselinePolicies(), p.candidatePolicies())
	if err != nil {
		no.add("bridges: %v", err)
	}
	for i, b := range bridges {
		p.Bridges = append(p.Bridges, plan.Bridge{Bridge: b, Object: plan.ObjectName(p.Run, roleBridge, i)})
	}
	err = rehearseWishes(ctx, write, p.bridgeWishes(rollout.Inert))
	if denied(err) {
		no.add("the API server refuses a bridge, so no rollback could be promised: %v", err)
		return nil
	}
	return err
}

// errInPlace says that a rollout has nothing to do, which is as its author wants it.
var errInPlace = errors.New("every policy of the rollout is in place already")

// addCandidate plans one policy. The one of that name may be there: with the same spec
// it is no work, with another it is changed.
func (r *RunReconciler) addCandidate(ctx context.Context, p *Plan, write *writer.Writer, c v1alpha1.CandidatePolicy, spec *v1alpha1.PolicyRolloutSpec, w *world, no *refusal) error {
	// With the marks that it will have: admission may ask for them.
	defaulted := &networkingv1.NetworkPolicy{ObjectMeta: p.key().Meta(c.Namespace, plan.ObjectName(p.Run, "rehearsal", len(p.Candidates)), roleCandidate), Spec: *c.Spec.DeepCopy()}
	err := write.Rehearse(ctx, defaulted)
	switch {
	case denied(err):
		no.add("policy %s/%s: the API server refuses it: %v", c.Namespace, c.Name, err)
		return nil
	case err != nil:
		return fmt.Errorf("rehearse policy %s/%s: %w", c.Namespace, c.Name, err)
	}
	policy := plan.Policy{Namespace: c.Namespace, Name: c.Name, Spec: defaulted.Spec}
	if have := w.unmarked(c.Namespace, c.Name); have != nil {
		if rollout.SameSpec(have.Spec, policy.Spec) {
			return nil
		}
		if err := r.addOriginal(ctx, p, write, have, plan.SumOf(policy.Spec), spec, no); err != nil {
			return err
		}
	}
	p.Candidates = append(p.Candidates, plan.Candidate{Policy: policy, Object: plan.ObjectName(p.Run, roleCandidate, len(p.Candidates))})
	return nil
}

// addRemoval plans that a policy goes. One that is not there is gone already; the
// report says so, because the name may be a slip. Whether it may go is asked with the
// rights of the account: it is deleted once it selects nothing and the run is committed.
func (r *RunReconciler) addRemoval(ctx context.Context, p *Plan, write *writer.Writer, ref v1alpha1.PolicyRef, spec *v1alpha1.PolicyRolloutSpec, w *world, no *refusal) error {
	have := w.unmarked(ref.Namespace, ref.Name)
	if have == nil {
		p.Unprobeable = append(p.Unprobeable, report.NotTested{What: "the removal of policy " + ref.Key(), Reason: "there is no such policy"})
		return nil
	}
	return r.addOriginal(ctx, p, write, have, "", spec, no)
}

// addOriginal plans that a policy is changed to what has the digest, or goes. The way
// there is rehearsed as the rollout's account, the way back as the controller.
func (r *RunReconciler) addOriginal(ctx context.Context, p *Plan, write *writer.Writer, have *networkingv1.NetworkPolicy, becomes string, spec *v1alpha1.PolicyRolloutSpec, no *refusal) error {
	o := &Original{Policy: plan.Policy(verdict.PolicyOf(have.DeepCopy())), UID: have.UID, Fields: have.DeepCopy().ManagedFields, Becomes: becomes}
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	if why := rollout.WrittenOver(have, spec); why != "" {
		no.add("%s", why)
		return nil
	}
	if reason := spec.Suspended(key.String()); reason != "" {
		p.Unprobeable = append(p.Unprobeable, report.NotTested{What: "whether what applies policy " + key.String() + " is suspended", Reason: "the author says so: " + reason})
	}
	for _, x := range []struct {
		write *writer.Writer
		hold  rollout.Hold
		to    string
	}{{write, rollout.Unenforced, "changed"}, {write, rollout.Gone, "changed"}, {r.Write, rollout.Whole, "given back"}} {
		wish := o.wish(x.hold, p.key())
		wish.have = have
		np := wish.noted()
		np.Spec = wish.spec
		switch err := x.write.RehearseUpdate(ctx, np); {
		case denied(err):
			no.add("policy %s is to be %s, and the API server refuses that: %v", key, x.to, err)
			return nil
		case err != nil:
			return fmt.Errorf("rehearse that policy %s is %s: %w", key, x.to, err)
		}
	}
	p.Originals = append(p.Originals, plan.Original(*o))
	return nil
}

// unmarked is the policy of that name, if no run made it; nil: there is none.
func (w *world) unmarked(namespace, name string) *networkingv1.NetworkPolicy {
	np := w.policy(types.NamespacedName{Namespace: namespace, Name: name})
	if np == nil || marked(np) {
		return nil
	}
	return np
}

// writes are the namespaces that a rollout changes policies in, and whether it takes
// some away there.
type writes map[string]bool

func writesOf(candidates []v1alpha1.CandidatePolicy, remove []v1alpha1.PolicyRef) writes {
	out := writes{}
	for _, c := range candidates {
		out[c.Namespace] = false
	}
	for _, ref := range remove {
		out[ref.Namespace] = true
	}
	return out
}

func (w writes) namespaces() []string { return slices.Clone(sortedKeys(w)) }
