package operator

import (
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// A program narrows a bridge as often as the rollback widens it. The API server is not
// kept busy by that, the run says who it is, and goes on once it stops.
func TestAProgramThatNarrowsABridgeIsAnsweredEverMoreSlowly(t *testing.T) {
	t.Parallel()
	s, broad := closedServer(t, "client")
	ro := s.rollout(s.good())
	ro.Spec.Stages[3].MinDuration.Duration = time.Minute
	s.begin(ro)
	s.reach("all")
	s.must(s.c.client.Delete(s.ctx, broad))
	s.until("Held", func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Phase == v1alpha1.PhaseHeld })

	const during = 8 * time.Second // at most the first two writes, and those after 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 s
	if n := s.narrowFor(plan.ObjectName(s.run(), roleBridge, 0), during); n < 2 || n > 9 {
		t.Errorf("widened %d times within %v", n, during)
	}
	s.until("who it is", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		c := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionContested)
		return c != nil && strings.Contains(c.Message, `was changed by "argocd-controller" again`)
	})
	s.create(&networkingv1.NetworkPolicy{ObjectMeta: s.meta("broad"), Spec: broad.Spec})
	st := s.end()
	s.wantEnd(st, v1alpha1.PhaseRolledBack, "BaselineChanged", "RolledBack")
	if !strings.Contains(st.Message, "argocd-controller") {
		t.Errorf("message %q does not say who worked against the rollback", st.Message)
	}
}

// narrowFor makes a policy select nothing for some time, each time that it selects
// something, and counts how often that is.
func (s *story) narrowFor(name string, d time.Duration) int {
	s.t.Helper()
	w, err := s.c.client.Watch(s.ctx, &networkingv1.NetworkPolicyList{}, client.InNamespace(s.ns))
	s.must(err)
	defer w.Stop()
	over, n := time.After(d), 0
	for {
		select {
		case e := <-w.ResultChan():
			np, ok := e.Object.(*networkingv1.NetworkPolicy)
			if !ok || e.Type == watch.Deleted || np.Name != name || inert(np) {
				continue
			}
			n++
			np.Spec.PodSelector = rollout.MatchNothing()
			if err := s.c.client.Update(s.ctx, np, client.FieldOwner("argocd-controller")); err != nil {
				s.t.Logf("narrow: %v", err) // the next event has the newer one
			}
		case <-over:
			return n
		case <-s.ctx.Done():
			s.t.Fatal(s.ctx.Err())
		}
	}
}
