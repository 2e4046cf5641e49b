package operator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// cutting is a run in canary with a narrow bridge, and the turn that takes it back.
func cutting(t *testing.T, f interceptor.Funcs) (b bench, run *v1alpha1.PolicyRolloutRun, s *session, back turn) {
	run = aRun(v1alpha1.PhaseCanary, v1alpha1.IntentRun)
	c := fakeAPI(f, run)
	link := writer.New(c, writer.Options{})
	b = bench{&RunReconciler{Reader: c, Write: link, Live: c, Events: events.NewFakeRecorder(9)}, t, c}
	s = newSession(t.Context(), func() {})
	t.Cleanup(s.close)
	s.plan = aPlan()
	s.plan.Steps = []rollout.StepPlan{{Name: "few", Phase: v1alpha1.PhaseCanary, Scope: rollout.Few}}
	b.must(b.apply(t.Context(), b.Write, b.look().absent(append(s.plan.bridgeWishes(rollout.Inert), s.plan.candidateWishes(rollout.Live)...))))
	b.must(c.Get(t.Context(), client.ObjectKeyFromObject(run), run))
	at := rollout.State{Phase: v1alpha1.PhaseCanary}
	return b, run, s, turn{at: at, next: rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseCut}, picture: &picture{plan: s.plan, world: b.look()}}
}

func (b bench) isWide(p *Plan) bool {
	return equality.Semantic.DeepEqual(b.get(theBridge).Spec, p.wideWishes(rollout.Few)[0].spec)
}

// The record of a rollback may take long: the bridges are wide before it is stored, and
// restore writes none of them again.
func TestRestoringWaitsForNoRecord(t *testing.T) {
	widened, writes := make(chan struct{}), 0
	b, run, s, back := cutting(t, interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			select {
			case <-widened:
			case <-time.After(5 * time.Second):
				t.Error("the record of the rollback came first")
			}
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if writes++; writes == 1 {
				defer close(widened)
			}
			return c.Update(ctx, o, opts...)
		},
	})
	sent, acknowledged := reactions(t, "sent"), reactions(t, "acknowledged")
	s.told = time.Now()
	w := b.look()
	if recorded, err := b.turnTo(t.Context(), run, s, w, back); !recorded || err != nil {
		t.Fatal(recorded, err)
	}
	b.must(b.restore(t.Context(), s, w, back.next))
	if !b.isWide(s.plan) || writes != 1 || s.restore != restoreRecover || stateOf(run) != back.next {
		t.Errorf("wide: %v, %d writes, stage %d, recorded %+v", b.isWide(s.plan), writes, s.restore, stateOf(run))
	}
	if sent, acknowledged = reactions(t, "sent")-sent, reactions(t, "acknowledged")-acknowledged; sent != 1 || acknowledged != 1 {
		t.Errorf("the reaction was timed %d times until the write was sent, and %d until it was acknowledged", sent, acknowledged)
	}
}

// What could not be written down is decided, whatever the probes show by then: the
// bridges are wide, so every path works again.
func TestARollbackThatIsNotRecordedIsNotForgotten(t *testing.T) {
	refused := true
	b, run, s, back := cutting(t, interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			if refused {
				return errors.New("the API server is busy")
			}
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	})
	if recorded, err := b.turnTo(t.Context(), run, s, b.look(), back); recorded || err == nil {
		t.Fatal("it was recorded")
	}
	b.must(b.api.Get(t.Context(), client.ObjectKeyFromObject(run), run))
	if !b.isWide(s.plan) || run.Status.Phase != v1alpha1.PhaseCanary {
		t.Fatalf("wide: %v, phase %s", b.isWide(s.plan), run.Status.Phase)
	}
	refused = false
	next, err := b.turn(t.Context(), run, s, b.look(), back.at)
	if b.must(err); next.next != back.next || next.picture != back.picture {
		t.Fatalf("decided %+v, want the rollback that is owed, and what it rests on", next.next)
	}
	if recorded, err := b.turnTo(t.Context(), run, s, b.look(), next); !recorded || err != nil || s.owed != nil {
		t.Errorf("recorded %v, owed %+v: %v", recorded, s.owed, err)
	}
}

// The status could not be written because somebody else has written it, the head of the
// evidence too. What this process knows of the chain is worth nothing then; what it owes
// the paths is.
func TestARollbackThatIsOwedOutlivesAChainOfSomebodyElse(t *testing.T) {
	refused := true
	run := aRun(v1alpha1.PhaseCanary, v1alpha1.IntentRun)
	r, s := runningOver(t, interceptor.Funcs{SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
		if o, ok := o.(*v1alpha1.PolicyRolloutRun); ok && refused && o.Status.Phase == v1alpha1.PhaseRollingBack {
			return errors.New("the API server is busy")
		}
		return c.SubResource(sub).Update(ctx, o, opts...)
	}}, run)
	s.plan.Steps = []rollout.StepPlan{{Name: "few", Phase: v1alpha1.PhaseCanary, Scope: rollout.Few}}
	w, err := r.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back := turn{at: stateOf(run), next: rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseCut}, picture: s.look(w, rollout.Few, time.Now())}
	if recorded, err := r.turnTo(t.Context(), run, s, w, back); recorded || err == nil {
		t.Fatal("it was recorded")
	}
	refused = false
	key := client.ObjectKeyFromObject(run)
	now := &v1alpha1.PolicyRolloutRun{}
	if err := r.Live.Get(t.Context(), key, now); err != nil {
		t.Fatal(err)
	}
	now.Status.Evidence = &v1alpha1.Evidence{Head: "of another controller", Chunks: 3}
	if err := r.Write.UpdateStatus(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second pass reads anew what there is of the chain
		_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
	}
	if err := r.Live.Get(t.Context(), key, now); err != nil {
		t.Fatal(err)
	}
	if stateOf(now) != back.next || now.Status.Evidence.Chunks != 3 || r.known(key) == s {
		t.Errorf("recorded %+v with %d chunks, the same session %v; want the rollback, and what another wrote left alone", stateOf(now), now.Status.Evidence.Chunks, r.known(key) == s)
	}
}

// A controller that does not lead any more may decide on what it knew. Whatever
// has changed since is left alone until the decision is written down, and that is refused to it.
func TestNothingThatChangedIsWrittenBeforeTheRecord(t *testing.T) {
	for name, change := range map[string]func(bench){
		"a bridge that was written since": func(b bench) {
			b.edit(theBridge, func(np *networkingv1.NetworkPolicy) { np.Annotations["by"] = "another" })
		},
		"a bridge that is gone": func(b bench) { b.must(b.api.Delete(b.t.Context(), b.get(theBridge))) },
	} {
		t.Run(name, func(t *testing.T) {
			b, _, s, back := cutting(t, interceptor.Funcs{})
			w := b.look()
			change(b)
			if wide := b.goAhead(t.Context(), s, w, back)(); len(wide) > 0 {
				t.Errorf("widened: %v", wide)
			}
			var np networkingv1.NetworkPolicy
			err := b.api.Get(t.Context(), types.NamespacedName{Namespace: "a", Name: theBridge}, &np)
			if err == nil && equality.Semantic.DeepEqual(np.Spec, s.plan.wideWishes(rollout.Few)[0].spec) {
				t.Error("the bridge is wide")
			}
		})
	}
}

// Somebody isolated a pod: what spares it comes first, and restore knows the order.
func TestNothingGoesAheadOfWhatSparesAPod(t *testing.T) {
	b, _, s, back := cutting(t, interceptor.Funcs{})
	b.must(b.api.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "isolated"},
		Spec: networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}))
	if wide := b.goAhead(t.Context(), s, b.look(), back)(); len(wide) > 0 || b.isWide(s.plan) {
		t.Errorf("widened: %v", wide)
	}
}

// Only what goes back from a live step sends anything ahead.
func TestNothingGoesAheadOfOtherDecisions(t *testing.T) {
	for name, change := range map[string]func(s *session, to *turn){
		"one that goes forward": func(_ *session, to *turn) { to.next = rollout.State{Phase: v1alpha1.PhaseEnforce} },
		"one that holds": func(_ *session, to *turn) {
			to.next = rollout.State{Phase: v1alpha1.PhaseHeld, Cause: rollout.CauseLeak}
		},
		"a step that changed none": func(s *session, _ *turn) { s.plan.Steps[0].Scope = rollout.Nobody },
		"a rollback under way":     func(_ *session, to *turn) { to.at.Phase = v1alpha1.PhaseRollingBack },
	} {
		t.Run(name, func(t *testing.T) {
			b, _, s, to := cutting(t, interceptor.Funcs{})
			change(s, &to)
			if wide := b.goAhead(t.Context(), s, b.look(), to)(); len(wide) > 0 || b.isWide(s.plan) {
				t.Errorf("widened: %v", wide)
			}
		})
	}
}

// A run without news is looked at ever more seldom, and in time for what it waits for by
// time; one that may be cutting a path is looked at as often as ever.
func TestARunWithoutNewsIsLookedAtMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{plan: &Plan{}, settleTime: time.Second, labelTime: time.Second}
		s.plan.Steps = []rollout.StepPlan{{Phase: v1alpha1.PhaseCanary, Scope: rollout.Few}}
		at := rollout.State{Phase: v1alpha1.PhaseCanary}
		s.begin()
		rest := func(after time.Duration, e rollout.Evidence) time.Duration {
			time.Sleep(after)
			return s.pace(at, at, e)
		}
		for _, tt := range []struct{ after, want time.Duration }{{0, tick}, {2 * time.Second, 250 * time.Millisecond}, {time.Minute, slowTick}} {
			if got := rest(tt.after, rollout.Evidence{}); got != tt.want {
				t.Errorf("%v later it rests %v, want %v", tt.after, got, tt.want)
			}
		}
		if got := rest(0, rollout.Evidence{Failing: []string{"a path"}}); got != tick {
			t.Errorf("a path fails, and it rests %v", got)
		}
		s.acked = time.Now()
		if got := rest(1700*time.Millisecond, rollout.Evidence{}); got != 300*time.Millisecond {
			t.Errorf("what was written acts in 300ms, and it rests %v", got)
		}
		s.wake()
		s.begin()
		if got := rest(0, rollout.Evidence{}); got != tick {
			t.Errorf("there was news, and it rests %v", got)
		}
	})
}

// A quiet run stores evidence, and its rollout has nothing to do with that.
func TestStoredEvidenceIsNoNewsOfARollout(t *testing.T) {
	was := aRun(v1alpha1.PhaseObserve, v1alpha1.IntentRun)
	was.ResourceVersion, was.Status.Evidence = "1", &v1alpha1.Evidence{Head: "a", Chunks: 1}
	for name, tt := range map[string]struct {
		change func(*v1alpha1.PolicyRolloutRun)
		want   bool
	}{
		"a chunk":          {func(run *v1alpha1.PolicyRolloutRun) { run.Status.Evidence = &v1alpha1.Evidence{Head: "b", Chunks: 2} }, false},
		"a phase":          {func(run *v1alpha1.PolicyRolloutRun) { run.Status.Phase = v1alpha1.PhaseCanary }, true},
		"the last report":  {func(run *v1alpha1.PolicyRolloutRun) { run.Status.Evidence.ReportDigest = "c" }, true},
		"nothing for long": {func(run *v1alpha1.PolicyRolloutRun) { run.ResourceVersion = "1" }, true},
	} {
		now := was.DeepCopy()
		now.ResourceVersion = "2"
		tt.change(now)
		if got := tellsMore(event.UpdateEvent{ObjectOld: was, ObjectNew: now}); got != tt.want {
			t.Errorf("%s: looked at %v, want %v", name, got, tt.want)
		}
	}
}

// reactions counts what was observed of a series of the reaction.
func reactions(t *testing.T, until string) (n uint64) {
	all := prometheus.NewRegistry()
	all.MustRegister(cutReaction)
	families, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if m.Label[0].GetValue() == until {
				n += m.Histogram.GetSampleCount()
			}
		}
	}
	return n
}
