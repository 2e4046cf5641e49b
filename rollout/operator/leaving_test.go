package operator

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// mute is a cluster whose probe pods say nothing.
type mute struct{}

func (mute) Follow(context.Context, types.NamespacedName) (io.ReadCloser, error) {
	return nil, errors.New("no log")
}

// runningOver is a reconciler over an API server in memory that has one run, and the
// session of that run.
func runningOver(t *testing.T, f interceptor.Funcs, run *v1alpha1.PolicyRolloutRun) (*RunReconciler, *session) {
	t.Helper()
	c := fakeAPI(f, run, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	if err := c.Status().Update(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	others, _ := fakeKinds(&fakeDiscovery{})
	r := &RunReconciler{Reader: c, Write: writer.New(c, writer.Options{}), Live: c, Logs: mute{}, Events: events.NewFakeRecorder(1000), Others: others,
		base: t.Context(), sessions: map[types.NamespacedName]*session{}}
	s := newSession(t.Context(), func() {})
	t.Cleanup(s.close)
	s.of = client.ObjectKeyFromObject(run)
	s.plan = aPlan()
	s.plan.Interval, s.plan.Timeout, s.plan.Limits = time.Second, time.Second, defaultLimits
	s.record.open(run)
	s.record.begin(s.plan, time.Now())
	r.sessions[client.ObjectKeyFromObject(run)] = s
	return r, s
}

// writtenDown has the API server hold what a session wrote down so far.
func writtenDown(t *testing.T, r *RunReconciler, s *session, run *v1alpha1.PolicyRolloutRun) {
	t.Helper()
	s.record.closeWindow(time.Now())
	f, err := s.record.links.Next(s.planDigest())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.storeChunk(t.Context(), run, f); err != nil {
		t.Fatal(err)
	}
	if run.Status.Evidence == nil {
		run.Status.Evidence = &v1alpha1.Evidence{}
	}
	run.Status.Evidence.Head, run.Status.Evidence.Chunks = f.Head.Digest, int32(f.Head.Chunks)
	if err := r.Write.UpdateStatus(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if err := s.seeEvidence(run); err != nil {
		t.Fatal(err)
	}
}

func aRun(phase v1alpha1.Phase, intent v1alpha1.Intent) *v1alpha1.PolicyRolloutRun {
	return &v1alpha1.PolicyRolloutRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "r-1", UID: "u", Finalizers: []string{finalizer}},
		Spec:       v1alpha1.PolicyRolloutRunSpec{RolloutRef: v1alpha1.RolloutRef{Name: "r", UID: "v"}, Generation: 1, Intent: intent},
		Status:     v1alpha1.PolicyRolloutRunStatus{Phase: phase},
	}
}

// Probe pods may not be created: a quota, PodSecurity or a webhook is in the way.
// Nothing of that keeps a person, a deletion or the deadline from ending the run.
func TestPreflightEndsThoughItsPodsMayNotBe(t *testing.T) {
	forbidden := interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if p, ok := o.(*corev1.Pod); ok {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, p.Name, errors.New("failed quota: must specify limits.cpu"))
		}
		return c.Create(ctx, o, opts...)
	}}
	for _, tt := range []struct {
		name  string
		end   func(*testing.T, *RunReconciler, *session, *v1alpha1.PolicyRolloutRun)
		phase v1alpha1.Phase // empty: the run is gone
	}{
		{"an abort", func(t *testing.T, r *RunReconciler, _ *session, run *v1alpha1.PolicyRolloutRun) {
			run.Spec.Intent = v1alpha1.IntentAbort
			if err := r.Write.Update(t.Context(), run); err != nil {
				t.Fatal(err)
			}
		}, v1alpha1.PhaseRolledBack},
		{"a deletion", func(t *testing.T, r *RunReconciler, _ *session, run *v1alpha1.PolicyRolloutRun) {
			if err := r.Write.Delete(t.Context(), run); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"the deadline", func(_ *testing.T, _ *RunReconciler, s *session, _ *v1alpha1.PolicyRolloutRun) {
			s.soaking = soaking{at: place{kind: preflight}, entered: time.Now().Add(-2 * defaultLimits.Preflight)}
		}, v1alpha1.PhaseInconclusive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := aRun(v1alpha1.PhasePreflight, v1alpha1.IntentRun)
			r, s := runningOver(t, forbidden, run)
			key := client.ObjectKeyFromObject(run)
			if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err == nil || !strings.Contains(err.Error(), "failed quota") {
				t.Fatalf("the first pass returned %v, want what is in the way", err)
			}
			tt.end(t, r, s, run)
			for range 50 {
				_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}) // what it cannot do is tried again
			}
			var now v1alpha1.PolicyRolloutRun
			switch err := r.Get(t.Context(), key, &now); {
			case tt.phase == "" && !apierrors.IsNotFound(err):
				t.Errorf("%v, %s; want the run gone", err, describe(&now))
			case tt.phase != "" && (err != nil || now.Status.Phase != tt.phase):
				t.Errorf("%v, %s; want %s", err, describe(&now), tt.phase)
			case tt.phase == v1alpha1.PhaseInconclusive && !strings.Contains(now.Status.Message, "failed quota: must specify limits.cpu"):
				t.Errorf("message %q does not say what was in the way", now.Status.Message)
			}
		})
	}
}

// A controller is started anew in the middle of a live step and may not make probe
// pods any more. It sees nothing, and a change that nobody sees is taken back.
func TestALiveStepEndsThoughItsPodsMayNotBe(t *testing.T) {
	forbidden := interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if p, ok := o.(*corev1.Pod); ok {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, p.Name, errors.New("failed quota: must specify limits.cpu"))
		}
		return c.Create(ctx, o, opts...)
	}}
	run := aRun(v1alpha1.PhaseEnforce, v1alpha1.IntentRun)
	r, s := runningOver(t, forbidden, run)
	s.plan.Steps = []rollout.StepPlan{{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
	key := client.ObjectKeyFromObject(run)
	_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}) // what it cannot do is tried again
	s.soaking.entered = time.Now().Add(-2 * defaultLimits.Inconclusive)
	_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
	var now v1alpha1.PolicyRolloutRun
	if err := r.Get(t.Context(), key, &now); err != nil || now.Status.Phase != v1alpha1.PhaseRollingBack || now.Status.Cause != string(rollout.CauseSilent) {
		t.Errorf("%v, %s; want it rolled back", err, describe(&now))
	}
	if !strings.Contains(now.Status.Message, "failed quota: must specify limits.cpu") {
		t.Errorf("message %q does not say what was in the way", now.Status.Message)
	}
	s.hindrance = "a webhook says no"
	s.fillStatus(&now, turn{next: rollout.State{Phase: v1alpha1.PhaseRollbackFailed}}, nil)
	if !strings.Contains(now.Status.Message, "a webhook says no") {
		t.Errorf("message %q does not say why the rollback failed", now.Status.Message)
	}
}

// Nothing that a person asks for depends on saving a report.
func TestAnAbortIsRecordedThoughTheReportCannotBe(t *testing.T) {
	tooLarge := func(o client.Object) error {
		if cm, ok := o.(*corev1.ConfigMap); ok && cm.Labels[v1alpha1.LabelRole] == roleEvidence {
			return apierrors.NewRequestEntityTooLargeError("ConfigMap: must have at most 1048576 bytes")
		}
		return nil
	}
	f := interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		return errors.Join(tooLarge(o), func() error {
			if tooLarge(o) != nil {
				return nil
			}
			return c.Create(ctx, o, opts...)
		}())
	}}
	run := aRun(v1alpha1.PhaseObserve, v1alpha1.IntentRun)
	r, s := runningOver(t, f, run)
	w := &world{}
	p := &picture{plan: s.plan, world: w, now: time.Now()}
	_, err := r.advance(t.Context(), run, s, turn{at: stateOf(run), next: rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseAborted}, picture: p, cells: p.judge()})
	if err != nil || run.Status.Phase != v1alpha1.PhaseRollingBack {
		t.Errorf("an abort: %v, phase %s; want it recorded", err, run.Status.Phase)
	}
	run.Status.Phase = v1alpha1.PhaseObserve
	for range 3 {
		recorded, err := r.advance(t.Context(), run, s, turn{at: stateOf(run), next: rollout.State{Phase: v1alpha1.PhaseCanary, Step: 1}, picture: p, cells: p.judge()})
		if err != nil || recorded || run.Status.Phase != v1alpha1.PhaseObserve {
			t.Errorf("going forward: %v, phase %s; nothing may be tightened before it is known what worked", err, run.Status.Phase)
		}
		s.record.wait()
		if err := s.seeEvidence(run); err != nil {
			t.Fatal(err)
		}
	}
}

// An operator was stopped between the last status and the last report.
func TestAReportIsFinishedByTheNextOperator(t *testing.T) {
	run := aRun(v1alpha1.PhaseCommitted, v1alpha1.IntentRun)
	r, s := runningOver(t, interceptor.Funcs{}, run)
	writtenDown(t, r, s, run)
	run.Status.History = []v1alpha1.PhaseChange{{Phase: v1alpha1.PhaseCommitted, At: metav1.NowMicro()}}
	run.Status.Evidence.Report = run.Name
	run.Status.Result, run.Status.Message = "Committed", "2 policies are in force"
	r.drop(client.ObjectKeyFromObject(run))
	head, _, err := r.lastEvidence(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	var cm corev1.ConfigMap
	if err := r.Get(t.Context(), publishedName(run), &cm); err != nil {
		t.Fatal(err)
	}
	run.Status.Evidence.ReportDigest = head
	rep, err := report.OfRun(run, &cm)
	if err != nil || rep.Result != "Committed" || rep.Message != run.Status.Message || rep.Ended.IsZero() {
		t.Errorf("%+v, %v; want the run's end", rep, err)
	}
	for _, phase := range rep.Phases {
		if phase.Outcome == "Running" || phase.To.IsZero() {
			t.Errorf("phase %+v is still under way", phase)
		}
	}
}
