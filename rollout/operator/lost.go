package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// passWithoutPlan is one turn of the loop for an armed run whose snapshot is
// lost. Nothing can be proved without the plan, so the run is rolled back, by
// what its policies say of themselves.
func (r *RunReconciler) passWithoutPlan(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world) (ctrl.Result, error) {
	at := stateOf(run)
	e := rollout.Evidence{Restoring: since(s.tried, time.Now()), Foreign: s.lost.Error()}
	var undoing error
	if at.Phase == v1alpha1.PhaseRollingBack {
		e.Restored, undoing = r.undo(ctx, keyOf(run), s, w)
		undoing = errors.Join(undoing, r.showContested(ctx, run, s))
	}
	if at.Cause == rollout.CauseBaselineChanged && intent(run) != v1alpha1.IntentAbort {
		e.Unclearable = s.lost.Error() // it is widened, and nobody knows any more which paths clearing would cut
	}
	next := rollout.Step(nil, defaultLimits, at, e, intent(run))
	if next == at {
		return ctrl.Result{RequeueAfter: tick}, undoing
	}
	if next.Phase.Terminal() {
		if !strings.Contains(run.Status.Message, errPlanLost.Error()) {
			run.Status.Message += fmt.Sprintf("; %v", s.lost)
		}
		run.Status.Message = clip(fmt.Sprintf("%s; the rollback went by the policies that were there: %s; no probe looked at the paths since", run.Status.Message, s.undone), 4096)
	}
	if _, err := r.advance(ctx, run, s, turn{at: at, next: next, evidence: e, limits: defaultLimits, intent: intent(run)}); err != nil {
		return ctrl.Result{RequeueAfter: tick}, err
	}
	return ctrl.Result{RequeueAfter: tick}, nil
}

// undo takes back what is in force of a run without plan, and reports whether it
// is done. Between its acts it waits as long as any write may take to act
// anywhere, because it has no markers to look at.
func (r *RunReconciler) undo(ctx context.Context, run runKey, s *session, w *world) (bool, error) {
	s.enter(place{kind: rollback})
	if s.tried.IsZero() {
		s.tried = time.Now()
	}
	switch s.restore {
	case restoreWiden:
		wishes := widenWithoutPlan(run, w.policies)
		bridges := slices.DeleteFunc(slices.Clone(wishes), func(x wish) bool { return x.role != roleBridge })
		originals := heldWishes(run, w.policies)
		bare := slices.DeleteFunc(slices.Clone(wishes), func(x wish) bool {
			return x.role == roleBridge || slices.ContainsFunc(originals, func(o wish) bool {
				return o.namespace == x.namespace && sharesDirection(o.spec.PolicyTypes, x.spec.PolicyTypes) // these are its bridge, and take effect first
			})
		})
		if err := r.widenSparing(ctx, run, w, bridges, originals); err != nil {
			return false, err
		}
		if err := r.apply(ctx, r.restoring().Write, bare); err != nil {
			return false, err
		}
		live := len(neutral(run, w.policies, roleCandidate, roleFinal))
		s.undone = fmt.Sprintf("%d bridges were widened, %d policies were taken away, %d of them without a bridge to cover it", len(bridges), live, len(bare))
		if len(originals) > 0 {
			s.undone += fmt.Sprintf(", %d policies that were there before were given back", len(originals))
		}
		s.reach(restoreRecover)
		if len(wishes)+len(originals)+live == 0 {
			s.reach(restoreVerify) // nothing was in force
		}
	case restoreRecover:
		if time.Since(s.restoreAt) < s.recoverWithin() {
			return false, nil
		}
		if unmet := w.unmet(neutral(run, w.policies, roleCandidate, roleFinal)); len(unmet) > 0 {
			return false, r.neutralise(ctx, s, unmet)
		}
		s.reach(restoreClear)
	case restoreClear:
		if time.Since(s.restoreAt) < s.recoverWithin() {
			return false, nil
		}
		if unmet := w.unmet(neutral(run, w.policies, roleBridge)); len(unmet) > 0 {
			return false, r.neutralise(ctx, s, unmet)
		}
		s.reach(restoreVerify)
	case restoreVerify:
		inForce, err := r.anythingInForce(ctx, run)
		if err != nil || inForce {
			return false, err
		}
		s.reach(restoreDone)
	}
	return s.restore == restoreDone, nil
}

// widenSparing widens the bridges and leaves alone, with all that is in force, the
// pods that somebody isolated while the run was under way: those of any policy
// that shares pods with a bridge, because no policy of the baseline does.
func (r *RunReconciler) widenSparing(ctx context.Context, run runKey, w *world, bridges, originals []wish) error {
	var strangers []verdict.Policy
	for _, x := range bridges {
		b := rollout.Bridge{Selector: *x.selector}
		for _, p := range w.foreign(x.namespace) {
			held := slices.ContainsFunc(originals, func(o wish) bool { return o.original.Key() == p.Key() })
			if !held && sharesDirection(x.spec.PolicyTypes, p.Spec.PolicyTypes) && b.Meets(p.Spec.PodSelector) &&
				!slices.ContainsFunc(strangers, func(q verdict.Policy) bool { return q.Key() == p.Key() }) {
				strangers = append(strangers, p)
			}
		}
	}
	acting := neutral(run, w.policies, roleCandidate, roleFinal)
	for i := range acting {
		acting[i].spec = acting[i].have.Spec
	}
	return r.spare(ctx, run.Name, w, acting, append(sparing(bridges, strangers, run.Name), originals...), strangers)
}

// anythingInForce asks the API server itself whether a policy of the run selects
// any pod.
func (r *RunReconciler) anythingInForce(ctx context.Context, run runKey) (bool, error) {
	var all networkingv1.NetworkPolicyList
	if err := r.Live.List(ctx, &all, client.MatchingLabels{v1alpha1.LabelRun: run.Name}); err != nil {
		return false, fmt.Errorf("list the policies of run %s: %w", run.Name, err)
	}
	if len(neutral(run, all.Items, roleBridge, roleCandidate, roleFinal)) > 0 {
		return true, nil
	}
	if err := r.Live.List(ctx, &all, client.MatchingLabels{v1alpha1.LabelOriginal: run.Name}); err != nil {
		return false, fmt.Errorf("list the policies that run %s changes: %w", run.Name, err)
	}
	return slices.ContainsFunc(heldWishes(run, all.Items), func(x wish) bool { return !equality.Semantic.DeepEqual(x.spec, x.have.Spec) }), nil
}

// neutral wishes the run's policies of the given roles to select no pod; those
// that do so already are left out.
func neutral(run runKey, policies []networkingv1.NetworkPolicy, roles ...string) []wish {
	var out []wish
	for i := range policies {
		if np := &policies[i]; run.Made(np) && slices.Contains(roles, np.Labels[v1alpha1.LabelRole]) && !inert(np) {
			spec := *np.Spec.DeepCopy()
			spec.PodSelector = rollout.MatchNothing()
			out = append(out, wishFor(run, np, spec))
		}
	}
	return out
}

func wishFor(run runKey, np *networkingv1.NetworkPolicy, spec networkingv1.NetworkPolicySpec) wish {
	return wish{namespace: np.Namespace, name: np.Name, role: np.Labels[v1alpha1.LabelRole], run: run, spec: spec, have: np}
}

// widenWithoutPlan says, from the policies of a run alone, how every path that
// worked works again: each bridge selects everyone it is for, as far as the
// candidates of its namespace reach; and a candidate that no usable bridge of its
// namespace and direction covers selects nothing. That is the baseline too: there
// the baseline isolates every pod, so the candidate only allowed more, or the
// bridge is gone and nothing else gives the paths back.
func widenWithoutPlan(run runKey, policies []networkingv1.NetworkPolicy) []wish {
	type where struct {
		namespace string
		direction networkingv1.PolicyType
	}
	reach := reaches(run, policies)
	var out []wish
	usable, broken := map[where]bool{}, map[where]bool{}
	for i := range policies {
		np := &policies[i]
		if !run.Made(np) || np.Labels[v1alpha1.LabelRole] != roleBridge || len(np.Spec.PolicyTypes) != 1 || reach[np.Namespace] == rollout.Inert {
			continue
		}
		at := where{np.Namespace, np.Spec.PolicyTypes[0]}
		full, ok := fullSelector(np)
		if !ok {
			broken[at] = true
			continue
		}
		usable[at] = true
		b := rollout.Bridge{Namespace: at.namespace, Direction: at.direction, Selector: full}
		x := wishFor(run, np, rollout.BridgeSpec(b, rollout.CandidateSelector(full, reach[np.Namespace], run.Name)))
		x.selector = &full
		out = append(out, x)
	}
	for _, x := range neutral(run, policies, roleCandidate, roleFinal) {
		if slices.ContainsFunc(x.spec.PolicyTypes, func(d networkingv1.PolicyType) bool {
			at := where{x.namespace, d}
			return !usable[at] || broken[at]
		}) {
			out = append(out, x)
		}
	}
	return out
}

// reaches says how far the run's candidates reach, by namespace.
func reaches(run runKey, policies []networkingv1.NetworkPolicy) map[string]rollout.Activation {
	out := map[string]rollout.Activation{}
	for _, x := range neutral(run, policies, roleCandidate, roleFinal) {
		reach := rollout.Live
		if slices.ContainsFunc(x.have.Spec.PodSelector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
			return r.Key == v1alpha1.LabelProbe && r.Operator == metav1.LabelSelectorOpIn && slices.Equal(r.Values, []string{run.Name})
		}) {
			reach = rollout.Shadow
		}
		out[x.namespace] = max(out[x.namespace], reach)
	}
	return out
}

// fullSelector is that of the pods a bridge is for: as it was written down when
// the bridge was made, or else what the bridge selects now without the run's own
// requirements, unless that is nothing.
func fullSelector(np *networkingv1.NetworkPolicy) (metav1.LabelSelector, bool) {
	var full metav1.LabelSelector
	text := np.Annotations[v1alpha1.AnnotationSelector]
	if err := json.Unmarshal([]byte(text), &full); err == nil {
		if _, err := metav1.LabelSelectorAsSelector(&full); err == nil {
			return full, true
		}
	}
	full = *np.Spec.PodSelector.DeepCopy()
	full.MatchExpressions = slices.DeleteFunc(full.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
		return r.Key == v1alpha1.LabelEnforced || r.Key == v1alpha1.LabelProbe
	})
	return full, !inert(np)
}

// selectorText is a selector as a bridge carries it.
func selectorText(s *metav1.LabelSelector) string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data always marshals
	}
	return string(raw)
}
