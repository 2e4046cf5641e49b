package operator

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// contest is a rollback whose bridge somebody else narrows again and again.
type contest struct {
	*RunReconciler
	t      *testing.T
	s      *session
	run    *v1alpha1.PolicyRolloutRun
	bridge wish
	wrote  atomic.Int32 // how often the bridge was written, by anybody
}

func newContest(t *testing.T) *contest {
	c := &contest{t: t, run: aRun(v1alpha1.PhaseHeld, v1alpha1.IntentRun)}
	c.run.Status.Cause = string(rollout.CauseBaselineChanged) // it stays widened for as long as it takes
	c.RunReconciler, c.s = runningOver(t, interceptor.Funcs{
		Update: func(ctx context.Context, api client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if _, policy := o.(*networkingv1.NetworkPolicy); policy {
				c.wrote.Add(1)
			}
			return api.Update(ctx, o, opts...)
		},
	}, c.run)
	c.s.plan.Steps = []rollout.StepPlan{{Scope: rollout.Everyone}}
	c.s.enter(place{kind: rollback})
	c.s.reach(restoreRecover)
	c.bridge = c.s.plan.wideWishes(rollout.Everyone)[0]
	if err := c.Write.Create(t.Context(), c.bridge.object()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *contest) live() *networkingv1.NetworkPolicy {
	c.t.Helper()
	var np networkingv1.NetworkPolicy
	if err := c.Live.Get(c.t.Context(), c.bridge.key(), &np); err != nil {
		c.t.Fatal(err)
	}
	return &np
}

// narrow is what somebody else does.
func (c *contest) narrow() {
	c.t.Helper()
	np := c.live()
	np.Spec.PodSelector = rollout.MatchNothing()
	if err := c.Live.(client.Client).Update(c.t.Context(), np, client.FieldOwner("argocd-controller")); err != nil {
		c.t.Fatal(err)
	}
	c.wrote.Store(0)
}

// pass makes one pass of the way back, and reports whether it wrote the bridge.
func (c *contest) pass() bool {
	c.t.Helper()
	c.wrote.Store(0)
	w, err := c.look(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.restore(c.t.Context(), c.s, w, stateOf(c.run)); err != nil {
		c.t.Fatal(err)
	}
	return c.wrote.Load() > 0
}

// later makes time pass for what was written.
func (c *contest) later(d time.Duration) {
	for _, m := range c.s.mends {
		m.at = m.at.Add(-d)
	}
}

// Whoever works against a rollback gets the bridge put right at once twice, then ever
// more slowly, and never for the last time.
func TestABridgeThatIsChangedBackIsPutRightEverMoreSlowly(t *testing.T) {
	c := newContest(t)
	var at []int
	for turn := range 4 {
		c.narrow()
		if c.pass() {
			at = append(at, turn)
		}
	}
	if len(at) < 2 || at[0] != 0 || at[1] != 1 {
		t.Errorf("put right in passes %v, want the first two among them", at)
	}
	c.later(time.Hour)
	for range 20 {
		c.narrow()
		if c.later(mendSlowest); !c.pass() {
			t.Fatal("given up, want it put right however often it is changed")
		}
	}
	for range 20 {
		c.narrow()
		if c.pass() { // right after the last write: it would be a race with whoever narrows it
			t.Fatalf("written again within %v", mendSlowest)
		}
	}
	if c.later(mendSlowest); !c.pass() || !c.bridge.as(c.live()) {
		t.Error("not put right in the end")
	}
}

// as reports whether a policy is as wished.
func (x wish) as(np *networkingv1.NetworkPolicy) bool {
	x.have = np
	return x.met()
}

// Condition and event name the field manager, once.
func TestWhoWorksAgainstARollbackIsNamed(t *testing.T) {
	c := newContest(t)
	for range 2 {
		if err := c.showContested(t.Context(), c.run, c.s); err != nil {
			t.Fatal(err)
		}
		if meta.FindStatusCondition(c.run.Status.Conditions, v1alpha1.ConditionContested) != nil {
			t.Fatal("named after a single edit, which may be a mistake")
		}
		c.narrow()
		c.later(mendSlowest)
		c.pass()
	}
	said := c.Events.(*events.FakeRecorder).Events
	for range 2 {
		if err := c.showContested(t.Context(), c.run, c.s); err != nil {
			t.Fatal(err)
		}
	}
	var run v1alpha1.PolicyRolloutRun
	if err := c.Live.Get(t.Context(), c.s.of, &run); err != nil {
		t.Fatal(err)
	}
	want := `policy a/tightrope-r-1-bridge-0, a bridge of this run, was changed by "argocd-controller" again`
	now := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionContested)
	if now == nil || !meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionContested) || !strings.Contains(now.Message, want) {
		t.Errorf("condition %+v, want %q", now, want)
	}
	if n := len(said); n != 1 {
		t.Fatalf("%d events, want one", n)
	}
	if event := <-said; !strings.Contains(event, "Warning Contested") || !strings.Contains(event, want) {
		t.Errorf("event %q", event)
	}
	c.s.fillStatus(c.run, turn{at: stateOf(c.run), next: rollout.State{Phase: v1alpha1.PhaseRollbackFailed, Cause: rollout.CauseCut}}, nil)
	if !strings.Contains(c.run.Status.Message, want) {
		t.Errorf("the run that failed says %q", c.run.Status.Message)
	}
}

// A write that the cache does not show yet was undone by nobody.
func TestAWriteThatIsNotShownYetIsMadeAgainByTimeOnly(t *testing.T) {
	c := newContest(t)
	c.narrow()
	x := c.bridge
	x.have = c.live()
	now := time.Now()
	if c.s.mended([]wish{x}, now); len(c.s.mends.due([]wish{x}, now.Add(slowTick-1))) > 0 {
		t.Error("written again at once upon the same copy of it")
	}
	if due := c.s.mends.due([]wish{x}, now.Add(slowTick)); len(due) != 1 {
		t.Errorf("%d due after %v, want it made again", len(due), slowTick)
	} else if c.s.mended(due, now); c.s.mends.contested() != "" {
		t.Errorf("said %q of a cache that is behind", c.s.mends.contested())
	}
}
