package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
	"github.com/tightrope-dev/tightrope/verdict"
)

// A policy that is there, and that a rollout changes or removes, is an original: one
// of R in docs/protocol.md. It stays in place as its own bridge. While pods are
// enforced one by one it leaves those alone that are; when all are it selects none;
// the commit gives it the spec of its candidate, or deletes it. Until then a rollback
// needs one write to have it back.

// Original is a policy of R, and what the writes of a run make of it.
type Original plan.Original

// note is what an original carries while a run changes it: enough to have it back
// by hand.
type note struct {
	Run     string                         `json:"run"`
	RunUID  types.UID                      `json:"runUID"`
	Becomes string                         `json:"becomes,omitempty"` // see Original
	Stage   int                            `json:"stage,omitempty"`   // see Original.stage: that the run wrote last
	Spec    networkingv1.NetworkPolicySpec `json:"spec"`              // as it was before the run
	Set     plan.Marks                     `json:"set,omitzero"`      // see plan.Original
	Was     plan.Marks                     `json:"was,omitzero"`
}

// becameCandidate is the stage of an original that its candidate has taken the place of.
const becameCandidate = int(rollout.Gone) + 1

// noteOf reads what a policy carries of a run that changes it; false: nothing, or
// nothing that can be read.
func noteOf(np *networkingv1.NetworkPolicy) (note, bool) {
	var n note
	text, ok := np.Annotations[v1alpha1.AnnotationOriginal]
	if !ok || json.Unmarshal([]byte(text), &n) != nil || n.RunUID == "" {
		return note{}, false
	}
	return n, true
}

// original is what the policy was, by what it carries.
func (n note) original(np *networkingv1.NetworkPolicy) *Original {
	return &Original{Policy: plan.Policy{Namespace: np.Namespace, Name: np.Name, Spec: n.Spec}, UID: np.UID, Becomes: n.Becomes, Set: n.Set, Was: n.Was}
}

// heldBy reports whether the run changes the policy, by what the policy carries.
func (n note) heldBy(run runKey) bool {
	return run.UID != "" && n.RunUID == run.UID && n.Run == run.Name
}

// originalWishes are the originals as a scope wants them. One that somebody deleted,
// or changed to something that the run never makes of it, is not among them: what
// others do to a policy is never written over. Only what the run requires of the pods
// comes off it when the originals are to be whole.
func (p *Plan) originalWishes(w *world, h rollout.Hold) []wish {
	var out []wish
	for i := range p.Originals {
		x := (*Original)(&p.Originals[i]).wish(h, p.key())
		x.have = w.policy(x.key())
		if x, ok := x.upon(x.have); ok {
			out = append(out, x)
		}
	}
	return out
}

// upon is the wish for an original upon what is there of it; false: nothing is wished.
func (x wish) upon(have *networkingv1.NetworkPolicy) (wish, bool) {
	x.have = have
	switch {
	case have == nil || have.UID != x.original.UID:
		return x, false
	case x.hold == rollout.Gone && x.original.became(have):
		return x, false // held in its commit: to let go of it for a second time would look like a rollback
	case x.original.made(have, x.run):
		return x, true
	}
	sel, held := rollout.Unheld(have.Spec.PodSelector, x.run.Name)
	x.spec = *have.Spec.DeepCopy()
	x.spec.PodSelector = sel
	return x, held && x.hold == rollout.Whole
}

func (o *Original) wish(h rollout.Hold, run runKey) wish {
	spec := *o.Spec.DeepCopy()
	spec.PodSelector = rollout.OriginalSelector(o.Spec.PodSelector, h, run.Name)
	return wish{namespace: o.Namespace, name: o.Name, role: roleOriginal, run: run, spec: spec, original: o, hold: h}
}

// made reports whether a policy is the original, and such as the run makes it:
// nobody else has changed what it says.
func (o *Original) made(np *networkingv1.NetworkPolicy, run runKey) bool {
	return o.stage(np, run) >= 0
}

// stage is how far the run has come with the original; negative: what is there is
// not the original, or nothing that the run makes of it.
func (o *Original) stage(np *networkingv1.NetworkPolicy, run runKey) int {
	if o.UID != np.UID {
		return -1
	}
	if o.became(np) {
		return becameCandidate
	}
	return slices.IndexFunc([]rollout.Hold{rollout.Whole, rollout.Unenforced, rollout.Gone}, func(h rollout.Hold) bool {
		return equality.Semantic.DeepEqual(o.wish(h, run).spec, np.Spec)
	})
}

// became reports whether the candidate has taken the place of the original.
func (o *Original) became(np *networkingv1.NetworkPolicy) bool {
	return o.Becomes != "" && plan.SumOf(np.Spec) == o.Becomes
}

// wholeWishes are the originals as they were before the run.
func (p *Plan) wholeWishes(w *world) []wish { return p.originalWishes(w, rollout.Whole) }

// changedWishes are those of them that are not so.
func (p *Plan) changedWishes(w *world) []wish {
	return slices.DeleteFunc(p.wholeWishes(w), func(x wish) bool { return equality.Semantic.DeepEqual(x.have.Spec, x.spec) })
}

// releaseWishes are the originals as they were before the run, without anything of it.
func (p *Plan) releaseWishes(w *world) []wish {
	out := p.wholeWishes(w)
	for i := range out {
		out[i].release = true
	}
	return out
}

// original is the one of that name; nil: the run changes no such policy.
func (p *Plan) original(namespace, name string) *Original {
	i := slices.IndexFunc(p.Originals, func(o plan.Original) bool { return o.Namespace == namespace && o.Name == name })
	if i < 0 {
		return nil
	}
	return (*Original)(&p.Originals[i])
}

// holds reports whether a policy is an original of the plan, and such as the run makes it.
func (p *Plan) holds(np *networkingv1.NetworkPolicy) bool {
	if np == nil {
		return false
	}
	o := p.original(np.Namespace, np.Name)
	return o != nil && o.made(np, p.key())
}

// stillOriginal reports whether a policy is an original that its candidate has not
// taken the place of.
func (p *Plan) stillOriginal(np *networkingv1.NetworkPolicy) bool {
	o := p.original(np.Namespace, np.Name)
	return o != nil && o.UID == np.UID && !o.became(np)
}

// foreign lists the policies of a namespace that no run made, the originals of this
// one as they were before it.
func (p *Plan) foreign(w *world, namespace string) []verdict.Policy {
	out := w.foreign(namespace)
	for i := range out {
		out[i] = p.asWas(w, out[i])
	}
	return out
}

// asWas is a policy as it was before the run, or as somebody has made it since.
func (p *Plan) asWas(w *world, now verdict.Policy) verdict.Policy {
	o := p.original(now.Namespace, now.Name)
	if o == nil {
		return now
	}
	if p.holds(w.policy(types.NamespacedName{Namespace: now.Namespace, Name: now.Name})) {
		return verdict.Policy(o.Policy)
	}
	now.Spec.PodSelector, _ = rollout.Unheld(now.Spec.PodSelector, p.Run)
	return now
}

// noted is a copy of what is there of an original, with what it carries while the
// run changes it, or without.
func (x wish) noted() *networkingv1.NetworkPolicy {
	np := x.have.DeepCopy()
	if x.release {
		delete(np.Labels, v1alpha1.LabelOriginal)
		delete(np.Annotations, v1alpha1.AnnotationOriginal)
		return np
	}
	o := x.original
	n := note{Run: x.run.Name, RunUID: x.run.UID, Becomes: o.Becomes, Spec: o.Spec, Stage: int(x.hold), Set: o.Set, Was: o.Was}
	switch before, held := noteOf(np); {
	case x.role == roleFinal:
		n.Stage = becameCandidate
		o.Set.On(np)
	case o.became(x.have) || held && before.heldBy(x.run) && before.Stage == becameCandidate: // somebody may have taken the note off
		o.Was.Instead(o.Set, np)
	}
	raw, err := json.Marshal(n)
	if err != nil {
		panic(err) // plain data always marshals
	}
	np.Labels = merged(np.Labels, map[string]string{v1alpha1.LabelOriginal: x.run.Name})
	np.Annotations = merged(np.Annotations, map[string]string{v1alpha1.AnnotationOriginal: string(raw)})
	return np
}

// met reports whether what is there is as wished.
func (x wish) met() bool {
	if x.have == nil || !equality.Semantic.DeepEqual(x.have.Spec, x.spec) {
		return false
	}
	if x.original == nil {
		return true
	}
	_, noted := x.have.Annotations[v1alpha1.AnnotationOriginal]
	labelled := x.have.Labels[v1alpha1.LabelOriginal] == x.run.Name
	if x.release {
		return !noted && !labelled
	}
	return noted && labelled
}

// release takes what the run wrote on originals that are whole again off, and gives
// their fields back to who had them: the next apply by their owner would else be a
// conflict with this run. It reports whether it had to write.
func (r *RunReconciler) release(ctx context.Context, s *session, w *world) (bool, error) {
	if len(s.plan.changedWishes(w)) > 0 {
		due := s.mends.due(s.plan.wholeWishes(w), time.Now())
		if err := r.widen(ctx, w, due); err != nil {
			return true, err
		}
		s.mended(due, time.Now())
		return true, nil
	}
	unmet := w.unmet(s.plan.releaseWishes(w))
	return len(unmet) > 0, eachWish("give back", unmet, func(x wish) error {
		np := x.have.DeepCopy()
		if slices.Equal(managers(np.ManagedFields), managers(x.original.Fields)) { // else somebody has come to own something meanwhile
			if err := r.restoring().Write.GiveBack(ctx, np, x.original.Fields); err != nil {
				return err
			}
		}
		x.have = np
		return r.restoring().Write.Update(ctx, x.noted())
	})
}

// managers are who owns fields, apart from the run.
func managers(fields []metav1.ManagedFieldsEntry) []string {
	var out []string
	for _, f := range fields {
		if f.Manager != writer.FieldManager {
			out = append(out, fmt.Sprintf("%s %s %s", f.Manager, f.Operation, f.Subresource))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// settleOriginals ends what a run that is over has to do with originals: a committed
// one hands those over that have the spec of their candidate, and deletes those that
// go; any other gives them back, which comes before its candidates go. What somebody
// changed meanwhile stays, without what is ours. Where the plan is lost, it goes by what
// the policies carry; else it looks only where the plan writes, because anybody can write
// the same on a policy of his own. It returns how many were there.
func (r *RunReconciler) settleOriginals(ctx context.Context, run *v1alpha1.PolicyRolloutRun, w *world) (left int, err error) {
	var plan *Plan
	if digest := armedWith(run); digest != "" {
		if plan, err = loadPlan(ctx, r.Live, run.Name, digest); err != nil && !errors.Is(err, errPlanLost) && !apierrors.IsNotFound(err) {
			return 0, err
		}
	}
	var errs []error
	for i := range w.policies {
		np := &w.policies[i]
		n, held := plan.noteOn(np, keyOf(run))
		if !held && np.Labels[v1alpha1.LabelOriginal] != run.Name || np.DeletionTimestamp != nil || plan != nil && !slices.Contains(plan.Namespaces(), np.Namespace) {
			continue
		}
		left++
		if err := r.settleOriginal(ctx, run, np, n); err != nil {
			errs = append(errs, fmt.Errorf("policy %s/%s, which was there before the run: %w", np.Namespace, np.Name, err))
		}
	}
	return left, errors.Join(errs...)
}

// noteOn is what a policy carries of the run, or should: somebody may have taken it off.
func (p *Plan) noteOn(np *networkingv1.NetworkPolicy, run runKey) (note, bool) {
	if n, ok := noteOf(np); ok && n.heldBy(run) {
		return n, true
	}
	if p == nil || np.Labels[v1alpha1.LabelOriginal] != run.Name {
		return note{}, false
	}
	o := p.original(np.Namespace, np.Name)
	if o == nil || o.UID != np.UID {
		return note{}, false
	}
	return note{Run: run.Name, RunUID: run.UID, Becomes: o.Becomes, Spec: o.Spec, Set: o.Set, Was: o.Was}, true
}

// settleOriginal does so for one; the zero note says that only its label is the run's.
func (r *RunReconciler) settleOriginal(ctx context.Context, run *v1alpha1.PolicyRolloutRun, np *networkingv1.NetworkPolicy, n note) error {
	committed, by := run.Status.Phase == v1alpha1.PhaseCommitted, (*string)(nil)
	o := n.original(np)
	switch {
	case !n.heldBy(keyOf(run)):
		return r.Write.Relabel(ctx, np, map[string]*string{v1alpha1.LabelOriginal: nil}, nil)
	case committed && n.Becomes == "" && inert(np) && o.made(np, keyOf(run)):
		return r.Write.DeleteAsRead(ctx, np.DeepCopy())
	case committed && o.became(np):
		by = &run.Name
	default:
		if x, ok := o.wish(rollout.Whole, keyOf(run)).upon(np); ok && !equality.Semantic.DeepEqual(x.spec, np.Spec) {
			whole := x.noted() // the marks go once it is whole
			whole.Spec = x.spec
			return r.restoring().Write.Update(ctx, whole)
		}
	}
	annotations := map[string]*string{v1alpha1.AnnotationOriginal: nil}
	if by != nil {
		annotations[v1alpha1.AnnotationCommittedBy] = by
	}
	return r.Write.Relabel(ctx, np, map[string]*string{v1alpha1.LabelOriginal: nil}, annotations)
}

// heldWishes are the originals that carry what the run wrote on them, as they were
// before it, by what they carry.
func heldWishes(run runKey, policies []networkingv1.NetworkPolicy) []wish {
	var out []wish
	for i := range policies {
		np := &policies[i]
		if n, ok := noteOf(np); ok && n.heldBy(run) {
			if x, ok := n.original(np).wish(rollout.Whole, run).upon(np); ok {
				out = append(out, x)
			}
		}
	}
	return out
}

// heldByOthers refuses, or waits for, originals of another run: a baseline that is not
// what its author wrote is none.
func (no *refusal) heldByOthers(np *networkingv1.NetworkPolicy, n note, others []v1alpha1.PolicyRolloutRun) error {
	at := slices.IndexFunc(others, func(o v1alpha1.PolicyRolloutRun) bool { return n.heldBy(keyOf(&o)) })
	switch {
	case equality.Semantic.DeepEqual(np.Spec, n.Spec):
	case at < 0 || meta.IsStatusConditionTrue(others[at].Status.Conditions, v1alpha1.ConditionTidied):
		no.add("policy %s/%s is not as its author wrote it: run %s, which is gone, has changed it; give it back the spec that its annotation %s has, and take that annotation and the label of the same name off",
			np.Namespace, np.Name, n.Run, v1alpha1.AnnotationOriginal)
	case others[at].Status.Phase.Terminal(): // else claim has refused it
		return fmt.Errorf("run %s has ended and not yet given policy %s/%s back", n.Run, np.Namespace, np.Name)
	}
	return nil
}
