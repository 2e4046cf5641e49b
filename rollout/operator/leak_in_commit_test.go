package operator

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// A leak that shows in the commit holds the run in its last step. What the commit has made
// of an original stays: were it taken back, the run would take that for a rollback by
// somebody else, go back itself, and widen the leak.
func TestALeakInACommitTakesNoOriginalBack(t *testing.T) {
	have := &networkingv1.NetworkPolicy{}
	have.Namespace, have.Name, have.UID = "a", "c", "p"
	have.Spec.PodSelector.MatchLabels = map[string]string{"app": "x"}
	p := aPlan()
	p.Bridges = nil
	p.Baseline = []plan.Policy{{Namespace: "a", Name: "c", Spec: have.Spec}}
	p.Originals = []plan.Original{{Policy: p.Baseline[0], UID: have.UID, Becomes: plan.SumOf(p.Candidates[0].Spec)}}
	written := func(x wish) networkingv1.NetworkPolicy {
		np := x.marked()
		np.Spec = x.spec
		return *np
	}
	final := p.finalWishes(rollout.Live)[0]
	final.have = have
	original, candidate := written(final), *p.candidateWishes(rollout.Inert)[0].object()
	s := &session{plan: p}
	for range 2 { // what the commit left; and what the held step makes of it
		w := worldOf(Cluster{Policies: []networkingv1.NetworkPolicy{original, candidate}})
		if what := s.edited(w); what != "" {
			t.Fatalf("a run that only wrote itself says: %s", what)
		}
		for _, x := range w.unmet(p.candidateWishes(rollout.Live)) {
			candidate = written(x)
		}
		for _, x := range w.unmet(p.originalWishes(w, rollout.HoldOf(rollout.Everyone))) {
			original = written(x)
		}
	}
	w := worldOf(Cluster{Policies: []networkingv1.NetworkPolicy{original, candidate}})
	if whole := p.changedWishes(w); len(whole) != 1 || plan.SumOf(whole[0].spec) != plan.SumOf(have.Spec) {
		t.Errorf("a rollback wishes for %+v, want what was there before", whole)
	}
}
