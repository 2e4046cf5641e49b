package operator

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// Somebody takes the annotation with the run's UID off a live candidate. The
// rollback still takes it away: were it left, the bridges would go and it would not.
// A policy of that name which says that another run made it stays as it is.
func TestARollbackTakesAwayACandidateWithoutItsAnnotation(t *testing.T) {
	for _, tt := range []struct {
		name   string
		role   rollout.Activation
		uid    string
		remain bool
	}{
		{"live", rollout.Live, "", false}, {"inert", rollout.Inert, "", false}, {"another run's", rollout.Live, "someone", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := aPlan()
			b := newBench(t)
			b.must(b.apply(t.Context(), b.Write, b.look().absent(p.candidateWishes(tt.role))))
			np := b.get(theCandidate)
			np.Annotations[v1alpha1.AnnotationRunUID] = tt.uid
			b.must(b.api.Update(t.Context(), np))
			s := newSession(t.Context(), func() {})
			s.plan = p
			s.reach(restoreClear)
			for range 3 {
				b.must(b.clear(t.Context(), s, b.look(), rollout.State{Phase: v1alpha1.PhaseRollingBack}))
			}
			var left networkingv1.NetworkPolicyList
			b.must(b.api.List(t.Context(), &left))
			if remains := len(left.Items) > 0; remains != tt.remain {
				t.Errorf("left: %+v", left.Items)
			}
		})
	}
}
