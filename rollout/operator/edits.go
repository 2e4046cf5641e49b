package operator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// edited says what somebody else did to the run's own policies, or next to them
// under a run's label; empty: nothing. Such a change is never written over: it
// ends the run, and the rollback's bridges alone are put right.
func (s *session) edited(w *world) string {
	if s.forms == nil {
		s.forms, s.own = s.plan.forms(), map[types.NamespacedName]string{}
	}
	namespaces := s.plan.Namespaces()
	there := map[types.NamespacedName]bool{}
	for i := range w.policies {
		np := &w.policies[i]
		key := types.NamespacedName{Namespace: np.Namespace, Name: np.Name}
		known, planned := s.forms[key]
		switch {
		case !slices.Contains(namespaces, np.Namespace):
		case s.plan.original(np.Namespace, np.Name) != nil:
			if s.changedBack(np) {
				return fmt.Sprintf("policy %s, which this run changes, was changed back by %s while the rollout was under way", key, lastWriter(np))
			}
		case s.plan.key().Made(np) && planned:
			there[key] = true
			if by := changedBy(np, known); by != "" {
				return fmt.Sprintf("policy %s, a %s of this run, was changed by %s while the rollout was under way", key, np.Labels[v1alpha1.LabelRole], by)
			}
		case marked(np) && !inert(np):
			return fmt.Sprintf("policy %s, which carries the label of run %s and was not made by this run, appeared while the rollout was under way", key, np.Labels[v1alpha1.LabelRun])
		}
	}
	for key, role := range s.own {
		if !there[key] {
			return fmt.Sprintf("policy %s, a %s of this run, was deleted, or its label was, while the rollout was under way", key, role)
		}
	}
	for key := range there {
		s.own[key] = s.forms[key][0].role
	}
	return ""
}

// changedBack reports whether an original has become what it was earlier in the run,
// which only a rollback does: something applies it again and again, perhaps.
func (s *session) changedBack(np *networkingv1.NetworkPolicy) bool {
	o := s.plan.original(np.Namespace, np.Name)
	at := o.stage(np, s.plan.key())
	if at < 0 {
		return false // baselineChanges tells of it
	}
	if s.stages == nil {
		s.stages = map[types.UID]int{}
	}
	if n, ok := noteOf(np); ok && n.heldBy(s.plan.key()) { // what a process before this one wrote, too
		s.stages[np.UID] = max(n.Stage, s.stages[np.UID])
	}
	back := at < s.stages[np.UID]
	s.stages[np.UID] = max(at, s.stages[np.UID])
	return back
}

// lastWriter names who wrote the spec of a policy last, of all but the run.
func lastWriter(np *networkingv1.NetworkPolicy) string {
	name, newest := "somebody", time.Time{}
	for _, f := range np.ManagedFields {
		if f.Manager != writer.FieldManager && f.FieldsV1 != nil && strings.Contains(f.FieldsV1.GetRawString(), `"f:spec"`) && f.Time != nil && !f.Time.Time.Before(newest) {
			name, newest = strconv.Quote(f.Manager), f.Time.Time
		}
	}
	return name
}

// changedBy names who changed a policy of ours; empty: nobody. Its spec is one of
// the forms that the run gives it, and the run alone owns its fields.
func changedBy(np *networkingv1.NetworkPolicy, forms []wish) string {
	for _, f := range np.ManagedFields {
		if f.Manager != writer.FieldManager && f.FieldsV1 != nil && strings.Contains(f.FieldsV1.GetRawString(), `"f:spec"`) {
			return fmt.Sprintf("%q", f.Manager)
		}
	}
	if slices.ContainsFunc(forms, func(x wish) bool { return equality.Semantic.DeepEqual(x.spec, np.Spec) }) {
		return ""
	}
	return "somebody"
}

// forms are all specs that the run ever gives its policies, by their names.
func (p *Plan) forms() map[types.NamespacedName][]wish {
	out := map[types.NamespacedName][]wish{}
	add := func(wishes []wish) {
		for _, x := range wishes {
			out[x.key()] = append(out[x.key()], x)
		}
	}
	for _, a := range []rollout.Activation{rollout.Inert, rollout.Shadow, rollout.Live} {
		add(p.bridgeWishes(a))
		add(p.candidateWishes(a))
		add(p.finalWishes(a))
	}
	add(p.wideWishes(rollout.ProbePods))
	add(p.wideWishes(rollout.Everyone))
	add(p.markerWishes())
	return out
}
