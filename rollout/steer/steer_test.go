package steer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
)

func over(t *testing.T, f interceptor.Funcs, objects ...client.Object) *Steerer {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, authenticationv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return &Steerer{fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(f).
		WithStatusSubresource(&v1alpha1.PolicyRollout{}, &v1alpha1.PolicyRolloutRun{}).Build()}
}

// pair is a rollout and the run that it names.
func pair(phase v1alpha1.Phase, intent v1alpha1.Intent) (*v1alpha1.PolicyRollout, *v1alpha1.PolicyRolloutRun) {
	ro := &v1alpha1.PolicyRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "r", UID: "u", Generation: 2}}
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "r-1", UID: "v"}}
	run.Spec = v1alpha1.PolicyRolloutRunSpec{RolloutRef: v1alpha1.RolloutRef{Name: "r", UID: "u"}, Generation: 2, Attempt: 1, Intent: intent}
	run.Status.Phase = phase
	ro.Status = v1alpha1.PolicyRolloutStatus{ObservedGeneration: 2, Phase: phase, CurrentRunRef: &v1alpha1.RunRef{Name: "r-1", UID: "v"}}
	return ro, run
}

func TestFinding(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseCanary, "")
	orphan := run.DeepCopy()
	orphan.Name, orphan.UID, orphan.Spec.RolloutRef = "old-1", "w", v1alpha1.RolloutRef{Name: "old", UID: "x"}
	s := over(t, interceptor.Funcs{}, ro, run, orphan)
	for name, want := range map[string]string{"r": "r/r-1", "r-1": "r/r-1", "old-1": "/old-1"} {
		f, err := s.Find(t.Context(), client.ObjectKey{Namespace: "ai", Name: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := "/" + f.Run.Name
		if f.Rollout != nil {
			got = f.Rollout.Name + got
		}
		if got != want {
			t.Errorf("%s finds %s, want %s", name, got, want)
		}
	}
	if _, err := s.Find(t.Context(), client.ObjectKey{Namespace: "ai", Name: "none"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	ro.Status.CurrentRunRef.UID = "another of that name"
	if f, err := over(t, interceptor.Funcs{}, ro, run).Find(t.Context(), client.ObjectKey{Namespace: "ai", Name: "r"}); err != nil || f.Run != nil {
		t.Errorf("a run that has the name of the rollout's is taken for it: %+v, %v", f.Run, err)
	}
}

func TestIntentsThatAreWithoutEffectAreRefused(t *testing.T) {
	const run, pause, abort = v1alpha1.IntentRun, v1alpha1.IntentPause, v1alpha1.IntentAbort
	for _, tt := range []struct {
		phase     v1alpha1.Phase
		is, wants v1alpha1.Intent
		why       string // empty: it has one
	}{
		{"Canary", run, pause, ""}, {"Canary", "", pause, ""}, {"Canary", pause, run, ""}, {"Canary", run, abort, ""}, {"Canary", pause, abort, ""},
		{"Canary", abort, abort, ""}, {"RollingBack", run, abort, ""}, {"", run, pause, ""},
		{"Canary", run, run, "it is not paused"}, {"Canary", pause, pause, "it is paused already"},
		{"Canary", abort, pause, "cannot be taken back"}, {"Canary", abort, run, "cannot be taken back"},
		{"RollingBack", run, pause, "nothing holds up"}, {"RolledBack", run, abort, "it is over (RolledBack)"}, {"Committed", run, pause, "it is over (Committed)"},
	} {
		ro, r := pair(tt.phase, tt.is)
		s := over(t, interceptor.Funcs{}, ro, r)
		err := s.Intend(t.Context(), r, tt.wants)
		if (err == nil) != (tt.why == "") || err != nil && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.why)) {
			t.Errorf("%s, %q wants %s: %v; want %q", tt.phase, tt.is, tt.wants, err, tt.why)
			continue
		}
		var now v1alpha1.PolicyRolloutRun
		if err := s.c.Get(t.Context(), client.ObjectKeyFromObject(r), &now); err != nil {
			t.Fatal(err)
		}
		want := tt.is
		if tt.why == "" {
			want = tt.wants
		}
		if now.Spec.Intent != want {
			t.Errorf("%s, %q wants %s: the intent is %q", tt.phase, tt.is, tt.wants, now.Spec.Intent)
		}
	}
}

func TestRetriesThatCannotBeAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(f *Found)
		want string
	}{
		{"of a run under way", func(f *Found) { f.Run.Status.Phase = v1alpha1.PhaseCanary }, "goes on (Canary): abort it first"},
		{"of a committed run", func(f *Found) { f.Run.Status.Phase = v1alpha1.PhaseCommitted }, "is committed"},
		{"of none", func(f *Found) { f.Run = nil }, "no run that could be tried again"},
		{"of a rollout that is gone", func(f *Found) { f.Rollout = nil }, "is gone: apply it again"},
		{"of another generation", func(f *Found) { f.Rollout.Generation = 3 }, "tried generation 2, and the rollout has generation 3"},
		{"of one that was tried again", func(f *Found) { f.Rollout.Status.CurrentRunRef.Name = "r-2" }, "was tried again already, by run r-2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ro, run := pair(v1alpha1.PhaseRolledBack, "")
			s := over(t, interceptor.Funcs{}, ro.DeepCopy(), run.DeepCopy())
			f := Found{ro, run}
			tt.edit(&f)
			if _, err := s.Retry(t.Context(), f); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			var now v1alpha1.PolicyRollout
			if err := s.c.Get(t.Context(), client.ObjectKeyFromObject(ro), &now); err != nil && f.Rollout != nil || len(now.Annotations) > 0 {
				t.Errorf("it was asked for: %v, %v", now.Annotations, err)
			}
		})
	}
}

func TestARetryWaitsForItsRun(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseRolledBack, "")
	s := over(t, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
		if err := c.Patch(ctx, o, p, opts...); err != nil { // and the controller takes it up
			return err
		}
		now := o.(*v1alpha1.PolicyRollout)
		if now.Annotations[v1alpha1.AnnotationRetry] != "r-1" {
			t.Errorf("asked with %v", now.Annotations)
		}
		second := run.DeepCopy()
		second.Name, second.UID, second.ResourceVersion, second.Spec.Attempt = "r-2", "w", "", 2
		now.Status.CurrentRunRef = &v1alpha1.RunRef{Name: "r-2", UID: "w"}
		return errors.Join(c.Create(ctx, second), c.Status().Update(ctx, now))
	}}, ro, run)
	f, err := s.Find(t.Context(), client.ObjectKey{Namespace: "ai", Name: "r"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Retry(t.Context(), f)
	if err != nil || second.Name != "r-2" {
		t.Errorf("%+v, %v; want the second run", second, err)
	}
	told := over(t, interceptor.Funcs{}, func() []client.Object {
		meta.SetStatusCondition(&ro.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionRetryIgnored, Status: metav1.ConditionTrue, Message: "there is nothing to try again"})
		return []client.Object{ro, run}
	}()...)
	if _, err := told.Begun(t.Context(), ro, 1); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "nothing to try again") {
		t.Errorf("a retry that the controller ignores is waited for: %v", err)
	}
}

func TestFollowingEndsWithTheRunOrTheCaller(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseCanary, "")
	s := over(t, interceptor.Funcs{}, ro, run)
	var seen []v1alpha1.Phase
	last, err := s.Follow(t.Context(), run, func(now *v1alpha1.PolicyRolloutRun) bool {
		seen = append(seen, now.Status.Phase)
		next := now.DeepCopy()
		switch now.Status.Phase {
		case v1alpha1.PhaseCanary:
			next.Status.Phase = v1alpha1.PhaseCommitted
		case v1alpha1.PhaseCommitted:
			meta.SetStatusCondition(&next.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue, Reason: "x"})
		}
		if Ended(now) {
			return true
		}
		go func() { _ = s.c.Status().Update(context.Background(), next) }()
		return false
	})
	if err != nil || !Ended(last) || seen[0] != v1alpha1.PhaseCanary || !slices.Contains(seen, v1alpha1.PhaseCommitted) {
		t.Errorf("saw %v, %v", seen, err)
	}
	why := errors.New("Ctrl-C")
	ctx, stop := context.WithCancelCause(t.Context())
	_, err = s.Follow(ctx, run, func(*v1alpha1.PolicyRolloutRun) bool { stop(why); return false })
	if !errors.Is(err, why) {
		t.Errorf("got %v, want the cause", err)
	}
	if err := s.c.Delete(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Follow(t.Context(), run, func(*v1alpha1.PolicyRolloutRun) bool { return false }); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
}

func TestAListGoesOnAsItChanges(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseCanary, "")
	ro.ResourceVersion = ""
	s := over(t, interceptor.Funcs{}, run)
	list, err := s.List(t.Context(), "ai")
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("Ctrl-C")
	ctx, stop := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { _ = s.c.Create(context.Background(), ro) })
	seen := ""
	if err := s.WatchList(ctx, list, "ai", func(ro *v1alpha1.PolicyRollout) { seen = ro.Name; stop(why) }); !errors.Is(err, why) || seen != "r" {
		t.Errorf("saw %q, %v", seen, err)
	}
}

// Who may get a run and not watch it follows it all the same.
func TestFollowingWithoutTheRightToWatch(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseCanary, "")
	s := over(t, interceptor.Funcs{Watch: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
		return nil, forbidden("policyrolloutruns")
	}}, ro, run)
	n := 0
	if _, err := s.Follow(t.Context(), run, func(*v1alpha1.PolicyRolloutRun) bool { n++; return n == 2 }); err != nil {
		t.Error(err)
	}
}

func forbidden(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Group: "tightrope.dev", Resource: resource}, "r", fmt.Errorf("User \"u\" cannot patch resource %q in API group \"tightrope.dev\"", resource))
}

func TestAMissingRightIsNamed(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseCanary, "")
	s := over(t, interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
		return forbidden("policyrolloutruns")
	}, List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return forbidden("policyrollouts")
	}}, ro, run)
	err := s.Intend(t.Context(), run, v1alpha1.IntentPause)
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), `the verb patch on policyrolloutruns.tightrope.dev in namespace "ai"`) {
		t.Errorf("got %v", err)
	}
	if _, err := s.List(t.Context(), ""); !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "on policyrollouts.tightrope.dev") {
		t.Errorf("got %v", err)
	}
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "policyrollouts"}, "r", errors.New("ValidatingAdmissionPolicy 'x' denied request: name an account"))
	if err := explain("patch", "PolicyRollout", client.ObjectKeyFromObject(ro), denied); errors.Is(err, ErrForbidden) || !errors.Is(err, ErrRefused) {
		t.Errorf("what an admission policy denies is told as a missing right: %v", err)
	}
}

// Before the first write, everything is accepted.
func TestNothingIsAppliedThatTheServerWouldRefuse(t *testing.T) {
	in, err := input(t, "ai", false, aRollout, aSuite, aMap)
	if err != nil {
		t.Fatal(err)
	}
	var wrote []string
	refuse := ""
	s := over(t, interceptor.Funcs{Apply: func(_ context.Context, _ client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
		options := new(client.ApplyOptions)
		options.ApplyOptions(opts)
		u := o.(interface{ GetKind() string })
		if options.Force != nil && *options.Force || options.FieldManager != FieldManager {
			t.Errorf("applied with %+v", options)
		}
		switch {
		case u.GetKind() == refuse:
			return apierrors.NewConflict(schema.GroupResource{Resource: "x"}, "r", errors.New(`conflict with "kubectl": .spec.stages`))
		case len(options.DryRun) == 0:
			wrote = append(wrote, u.GetKind())
		}
		return nil
	}}, &v1alpha1.PolicyRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "r", UID: "u"}})
	refuse = "PolicyRollout"
	if _, err := s.Apply(t.Context(), in, Applying{}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "somebody else owns these fields") || len(wrote) > 0 {
		t.Errorf("%v; wrote %v", err, wrote)
	}
	refuse = ""
	if _, err := s.Apply(t.Context(), in, Applying{DryRun: true}); err != nil || len(wrote) > 0 {
		t.Errorf("a dry run: %v; wrote %v", err, wrote)
	}
	applied, err := s.Apply(t.Context(), in, Applying{})
	if err != nil || !slices.Equal(wrote, []string{"ConfigMap", "ConnectivitySuite", "PolicyRollout"}) || len(applied) != 1 || !applied[0].Changed {
		t.Errorf("%v; wrote %v; applied %+v", err, wrote, applied)
	}
}

// Fields of others are taken over only by who asks for that.
func TestForcing(t *testing.T) {
	for _, force := range []bool{false, true} {
		got := new(client.ApplyOptions).ApplyOptions(Applying{Force: force}.options())
		if (got.Force != nil && *got.Force) != force || got.FieldManager != FieldManager {
			t.Errorf("force %v: %+v", force, got)
		}
	}
}

func TestWhatARolloutRefersToIsThere(t *testing.T) {
	in, err := input(t, "ai", false, aRollout)
	if err != nil {
		t.Fatal(err)
	}
	_, err = over(t, interceptor.Funcs{}).Apply(t.Context(), in, Applying{})
	for _, want := range []string{"in.yaml:7: PolicyRollout ai/r: spec.suites[0].name: there is no ConnectivitySuite ai/s", "in.yaml:6: PolicyRollout ai/r: spec.policies.configMapRef.name: there is no ConfigMap ai/policies"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestStatusIsForPeople(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseCanary, v1alpha1.IntentPause)
	ro.CreationTimestamp = metav1.NewTime(time.Now().Add(-3 * time.Minute))
	ro.Status.Message, ro.Status.Stage = "held \x1b[31mup\nby more", "few"
	run.Status.Stage, run.Status.Cause, run.Status.Message = "few", "Paused", "paused in \x1b[2Jfew\n- from:\n  - podSelector: {}"
	run.Status.Cuts, run.Status.CutCount = []v1alpha1.CutStatus{{Path: "a to b", Phase: "few", Rule: "x egress"}}, 3
	meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionPaused, Status: metav1.ConditionTrue, Reason: "Intent"})
	var table, status bytes.Buffer
	if err := errors.Join(WriteTable(&table, []v1alpha1.PolicyRollout{*ro}, Columns{Namespace: true, Wide: true}), WriteStatus(&status, Found{ro, run})); err != nil {
		t.Fatal(err)
	}
	for text, wants := range map[string][]string{
		table.String(): {"NAMESPACE   NAME   PHASE    STAGE   AGE   MESSAGE", "RUN   COMMITTED", "ai          r      Canary   few     3m", "r-1"},
		status.String(): {"generation 2, attempt 1, intent Pause", "Canary, stage few, cause Paused", "Paused:   yes", "a to b in few: x egress", "and 2 more",
			"\n          - from:\n            - podSelector: {}\n"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in:\n%s", want, text)
			}
		}
		if strings.Contains(text, "\x1b") {
			t.Errorf("%q drives the terminal", text)
		}
	}
}

func TestReportsOfRunsWithoutOne(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseRefused, "")
	run.Status.Result, run.Status.Message = "Refused", "path x would be cut"
	rep, err := over(t, interceptor.Funcs{}, ro, run).Report(t.Context(), run)
	if err != nil || rep.Result != "Refused" || rep.Message != run.Status.Message || report.ExitCode(rep) != report.ExitRefused {
		t.Errorf("%+v, %v", rep, err)
	}
	run.Status.Evidence = &v1alpha1.Evidence{Report: "r-1", ReportDigest: "sha256:x"}
	if _, err := over(t, interceptor.Funcs{}, ro, run).Report(t.Context(), run); err == nil || !strings.Contains(err.Error(), "somebody deleted ConfigMap ai/r-1") {
		t.Errorf("got %v", err)
	}
}
