package operator

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// Time that a person held the run for is neither proof nor a lack of it.
func TestAPauseStopsTheClocks(t *testing.T) {
	at := rollout.State{Phase: v1alpha1.PhaseCanary, Step: 1}
	gate := rollout.Gate{Soak: time.Minute, MinCoveragePercent: 100}
	proof := rollout.Evidence{Settled: true, Required: 4, Proved: 4}
	short := rollout.Evidence{Settled: true, Required: 4, Proved: 3}
	s := &session{plan: &Plan{}, pods: pods.NewSet(t.Context(), func() {})}
	now := time.Now()
	var held, unproved time.Duration
	pass := func(passes int, paused bool, e rollout.Evidence) {
		for range passes {
			now = now.Add(tick)
			s.hold(paused, now)
			s.inStep(at, now)
			held, unproved = s.soak(gate, e, time.Time{}, now)
		}
	}
	within := func(what string, got, want time.Duration) {
		t.Helper()
		if got < want-2*tick || got > want+2*tick {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	pass(200, false, proof)
	within("held before", held, 10*time.Second)
	pass(20_000, true, proof)
	within("held during a pause", held, 10*time.Second)
	pass(100, false, short)
	within("unproved", unproved, 5*time.Second)
	pass(20_000, true, short)
	within("unproved during a pause", unproved, 5*time.Second)
	within("in the step", s.inStep(at, now), 15*time.Second)
	pass(20, false, short)
	within("unproved after it", unproved, 6*time.Second)
	pass(20, false, proof)
	within("held after it", held, 11*time.Second)

	s = &session{plan: &Plan{}, pods: pods.NewSet(t.Context(), func() {})} // resumed before anything was proved: samples of the pause prove nothing of the time after
	s.settledAt = now
	pass(200, true, proof)
	pass(1, false, proof)
	within("held at once", held, 0)
}

// The agents' silence counts only as far as the run was not paused.
func TestAPauseExcusesTheAgents(t *testing.T) {
	s := newSession(t.Context(), func() {})
	defer s.close()
	now := time.Now()
	for i := range 60 { // a minute, a second each: ten of it before the pause, ten after
		now = now.Add(time.Second)
		s.hold(i >= 10 && i < 50, now)
	}
	if got := s.pods.Excused(); got < 39*time.Second || got > 41*time.Second {
		t.Errorf("excused %v, want about 40s", got)
	}
	if e, _, _ := s.gather(&world{}, rollout.State{Phase: v1alpha1.PhasePreflight}); e.Silence != 0 || e.Paused != 0 {
		t.Errorf("without a plan: %+v", e)
	}
}

// Each step that writes to policies or labels stops, wherever it is.
func TestAPausedRunTightensNothing(t *testing.T) {
	for _, tt := range []struct {
		phase v1alpha1.Phase
		scope rollout.Scope
	}{{v1alpha1.PhaseCanary, rollout.ProbePods}, {v1alpha1.PhaseCanary, rollout.Bridged}, {v1alpha1.PhaseCanary, rollout.Few}, {v1alpha1.PhaseEnforce, rollout.Everyone}, {v1alpha1.PhaseCommitting, rollout.Everyone}} {
		t.Run(string(tt.phase)+" "+tt.scope.String(), func(t *testing.T) {
			var mu sync.Mutex // policies are written side by side
			var wrote []string
			count := func(o client.Object) {
				mu.Lock()
				defer mu.Unlock()
				if _, ok := o.(*networkingv1.NetworkPolicy); ok {
					wrote = append(wrote, o.GetName())
				}
			}
			f := interceptor.Funcs{
				Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					count(o)
					return c.Create(ctx, o, opts...)
				},
				Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
					count(o)
					return c.Update(ctx, o, opts...)
				},
			}
			run := aRun(tt.phase, v1alpha1.IntentPause)
			r, s := runningOver(t, f, run)
			s.plan.Steps = []rollout.StepPlan{{Name: "here", Phase: tt.phase, Scope: tt.scope}}
			key := client.ObjectKeyFromObject(run)
			pass := func() v1alpha1.PolicyRolloutRunStatus {
				_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}) // what it cannot do is tried again
				if s.listing != nil {
					<-s.listing.done
				}
				if err := r.Get(t.Context(), key, run); err != nil {
					t.Fatal(err)
				}
				return run.Status
			}
			st := pass()
			for range 3 {
				st = pass()
			}
			if len(wrote) > 0 {
				t.Errorf("wrote %v", wrote)
			}
			if st.Phase != tt.phase || st.Cause != "Paused" || !meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionPaused) || !strings.Contains(st.Message, "paused in") {
				t.Errorf("%s, conditions %+v", describe(run), st.Conditions)
			}
			run.Spec.Intent = v1alpha1.IntentRun
			if err := r.Write.Update(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			st = pass()
			if st.Phase != tt.phase || st.Cause != "" || meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionPaused) {
				t.Errorf("resumed: %s, conditions %+v", describe(run), st.Conditions)
			}
			for range 3 {
				pass()
			}
			if len(wrote) == 0 {
				t.Error("a run that goes on wrote nothing, so this test proves nothing")
			}
		})
	}
}

// A leak has its own cause, and the pause shows beside it.
func TestAHeldRunShowsItsPause(t *testing.T) {
	run := aRun(v1alpha1.PhaseHeld, v1alpha1.IntentPause)
	run.Status.Cause = string(rollout.CauseLeak)
	r, s := runningOver(t, interceptor.Funcs{}, run)
	s.plan.Steps = []rollout.StepPlan{{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
	at := stateOf(run)
	told := r.Events.(*events.FakeRecorder).Events
	for _, tt := range []struct {
		intent v1alpha1.Intent
		unseen bool
		want   string // reason of the condition
		event  string
	}{
		{v1alpha1.IntentPause, false, "Intent", "Normal Paused"},
		{v1alpha1.IntentPause, true, "Unseen", "Warning PausedUnseen"},
		{v1alpha1.IntentPause, false, "Intent", "Normal Paused"},
		{v1alpha1.IntentRun, false, "Resumed", "Normal Resumed"},
	} {
		run.Spec.Intent = tt.intent
		if err := r.Write.Update(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.showPause(t.Context(), run, at, tt.unseen); err != nil {
				t.Fatal(err)
			}
		}
		c := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionPaused)
		if c == nil || c.Reason != tt.want || run.Status.Cause != "Leak" {
			t.Fatalf("condition %+v with cause %s; want %s with Leak", c, run.Status.Cause, tt.want)
		}
		if event := <-told; !strings.HasPrefix(event, tt.event) || len(told) > 0 {
			t.Errorf("told %q and %d more, want %s once", event, len(told), tt.event)
		}
	}
}

func TestAPausedRunGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ro := s.rollout(s.good())
	ro.Spec.InconclusiveDeadline.Duration = 10 * time.Second
	s.begin(ro)
	s.reach("shadow")
	s.want("Pause")
	paused := s.until("the pause", func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Cause == "Paused" })
	if !meta.IsStatusConditionTrue(paused.Status.Conditions, v1alpha1.ConditionPaused) {
		t.Errorf("conditions %+v", paused.Status.Conditions)
	}
	before := s.policies()
	s.c.plane.bend(s.run(), bend{silent: true})                       // a node is drained, say, and that takes longer than the deadline
	time.Sleep(ro.Spec.InconclusiveDeadline.Duration + 5*time.Second) // that nothing happens in this time is what the story is about
	s.until("still the pause", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		return st.Cause == "Paused" && st.Stage == paused.Status.Stage && len(st.History) == len(paused.Status.History)
	})
	if now := s.policies(); plan.SumOf(specsOf(now)) != plan.SumOf(specsOf(before)) {
		t.Errorf("policies changed during the pause: %v, now %v", specsOf(before), specsOf(now))
	}
	s.c.plane.bend(s.run(), bend{})
	s.want("Run")
	rep := s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	s.wantPhases(rep, "pause", "commit")
	for _, p := range rep.Phases {
		if p.Name == "pause" && (p.Outcome != "Resumed" || p.To.Sub(p.From) < ro.Spec.InconclusiveDeadline.Duration) {
			t.Errorf("the report has the pause as %+v", p)
		}
	}
}

func TestACutIsTakenBackDuringAPause(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.begin(s.rollout(s.good()))
	s.reach("few")
	s.want("Pause")
	s.until("the pause", func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Cause == "Paused" })
	s.c.plane.bend(s.run(), bend{force: func(from, _ *corev1.Pod, got probes.Outcome) probes.Outcome {
		if from.Labels["app"] == "client" && s.c.plane.isolated(from) {
			return probes.TimedOut
		}
		return got
	}})
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Cut", "RolledBack")
	if n := len(rep.Phases); n < 2 || rep.Phases[n-2].Name != "pause" || rep.Phases[n-2].Outcome != "Cut" {
		t.Errorf("phases %+v, want a pause that a cut ended", rep.Phases)
	}
}

// want sets what a person wants of the run.
func (s *story) want(intent v1alpha1.Intent) {
	s.t.Helper()
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: s.meta(s.run())}
	if err := s.c.client.Patch(s.ctx, run, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"intent":%q}}`, intent))); err != nil {
		s.t.Fatalf("%s: %v", intent, err)
	}
}

func specsOf(policies []networkingv1.NetworkPolicy) map[string]networkingv1.NetworkPolicySpec {
	all := map[string]networkingv1.NetworkPolicySpec{}
	for _, np := range policies {
		all[np.Name] = np.Spec
	}
	return all
}
