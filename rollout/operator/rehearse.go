package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/planner"
)

// rehearser has the API server check what a run would write, and stores nothing.
type rehearser interface {
	Rehearse(context.Context, client.Object) error
	RehearseUpdate(context.Context, client.Object) error
	May(context.Context, authorizationv1.ResourceAttributes) (bool, error)
}

// rehearsing is how what the account of a plan writes is rehearsed.
func (r *RunReconciler) rehearsing(p *Plan) (rehearser, error) {
	if r.unsent != nil {
		return r.unsent, nil
	}
	return r.forward(p)
}

// rehearsingBack is how what the controller itself writes is rehearsed.
func (r *RunReconciler) rehearsingBack() rehearser {
	if r.unsent != nil {
		return r.unsent
	}
	return r.Write
}

// rehearse has the API server default and check every write of the rollout without
// storing it. In between the plan is settled: by the same code as in tightrope plan.
func (r *RunReconciler) rehearse(ctx context.Context, p *Plan, candidates []*networkingv1.NetworkPolicy, spec *v1alpha1.PolicyRolloutSpec, w *world, no *refusal) error {
	write, err := r.rehearsing(p)
	if err != nil {
		return err
	}
	defaulted, err := p.rehearseCandidates(ctx, write, candidates, no)
	if err != nil {
		return err
	}
	change := planner.Change{Candidates: defaulted, Remove: spec.Policies.Remove, Policies: w.policies}
	planner.Settle(&p.Plan, change)
	for _, key := range change.Unmarked() {
		p.Unprobeable = append(p.Unprobeable, report.NotTested{What: "the labels and annotations of policy " + key, Reason: "its spec is in force already, so the rollout does not write it; no traffic depends on the rest: write that with kubectl label or annotate"})
	}
	p.noteRemovals(spec, w)
	for i := range p.Originals {
		if err := r.rehearseOriginal(ctx, p, write, (*Original)(&p.Originals[i]), spec, w, no); err != nil {
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
func (r *RunReconciler) planBridges(ctx context.Context, p *Plan, write rehearser, w *world, no *refusal) error {
	if err := planner.Bridge(&p.Plan, w.policies); err != nil {
		no.add("bridges: %v", err)
	}
	err := rehearseWishes(ctx, write, p.bridgeWishes(rollout.Inert))
	if denied(err) {
		no.add("the API server refuses a bridge, so no rollback could be promised: %v", err)
		return nil
	}
	return err
}

// errInPlace says that a rollout has nothing to do, which is as its author wants it.
var errInPlace = errors.New("every policy of the rollout is in place already")

// rehearseCandidates returns the policies as the API server defaults them, without
// those that it refuses.
func (p *Plan) rehearseCandidates(ctx context.Context, write rehearser, candidates []*networkingv1.NetworkPolicy, no *refusal) ([]plan.Candidate, error) {
	var out []plan.Candidate
	for i, c := range candidates {
		// With the marks that it will have: admission may ask for them.
		np := &networkingv1.NetworkPolicy{ObjectMeta: p.key().Meta(c.Namespace, plan.ObjectName(p.Run, "rehearsal", i), roleCandidate), Spec: *c.Spec.DeepCopy()}
		plan.MarksOf(c).On(np)
		switch err := write.Rehearse(ctx, np); {
		case denied(err):
			no.add("policy %s/%s: the API server refuses it: %v", c.Namespace, c.Name, err)
		case err != nil:
			return nil, fmt.Errorf("rehearse policy %s/%s: %w", c.Namespace, c.Name, err)
		default:
			out = append(out, plan.Candidate{Policy: plan.Policy{Namespace: c.Namespace, Name: c.Name, Spec: np.Spec}, Marks: plan.MarksOf(c)})
		}
	}
	return out, nil
}

// noteRemovals says which policies that are to go are gone already, because the name may
// be a slip, and what the author says of tools that apply those that are changed.
func (p *Plan) noteRemovals(spec *v1alpha1.PolicyRolloutSpec, w *world) {
	for _, ref := range spec.Policies.Remove {
		if w.unmarked(ref.Namespace, ref.Name) == nil {
			p.Unprobeable = append(p.Unprobeable, report.NotTested{What: "the removal of policy " + ref.Key(), Reason: "there is no such policy"})
		}
	}
	for _, o := range p.Originals {
		if reason := spec.Suspended(o.Key()); reason != "" {
			p.Unprobeable = append(p.Unprobeable, report.NotTested{What: "whether what applies policy " + o.Key() + " is suspended", Reason: "the author says so: " + reason})
		}
	}
}

// rehearseOriginal tries that a policy is changed, or goes. The way there is rehearsed as
// the rollout's account, the way back as the controller. Whether it may be deleted is
// asked with the rights of the account: that happens once it selects nothing and the run
// is committed.
func (r *RunReconciler) rehearseOriginal(ctx context.Context, p *Plan, write rehearser, o *Original, spec *v1alpha1.PolicyRolloutSpec, w *world, no *refusal) error {
	key := types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
	have := w.policy(key)
	if why := rollout.WrittenOver(have, spec); why != "" {
		no.add("%s", why)
		return nil
	}
	type try struct {
		write rehearser
		wish  wish
		to    string
	}
	tries := []try{{write, o.wish(rollout.Unenforced, p.key()), "changed"}, {write, o.wish(rollout.Gone, p.key()), "changed"}, {r.rehearsingBack(), o.wish(rollout.Whole, p.key()), "given back"}}
	for _, x := range p.finalWishes(rollout.Live) {
		if x.original != nil && x.original.UID == o.UID && p.Account.Name != "" { // admission lets the controller do so with what it has in hand only
			tries = append(tries, try{write, x, "changed"})
		}
	}
	for _, x := range tries {
		wish := x.wish
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
	return nil
}

// unmarked is the policy of that name, if no run made it; nil: there is none.
func (w *world) unmarked(namespace, name string) *networkingv1.NetworkPolicy {
	np := w.policy(types.NamespacedName{Namespace: namespace, Name: name})
	if np == nil || planner.Marked(np) {
		return nil
	}
	return np
}

// writes are the namespaces that a rollout changes policies in, and whether it takes
// some away there.
type writes map[string]bool

func writesOf(candidates []*networkingv1.NetworkPolicy, remove []v1alpha1.PolicyRef) writes {
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
