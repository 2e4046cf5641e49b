package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes/enforcing"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// slowProfile is of a cluster on which policies take seconds and labels most of a minute.
func slowProfile() v1alpha1.EnforcementProfileStatus {
	s := v1alpha1.EnforcementProfileStatus{MeasuredAt: metav1.NewTime(time.Now().Add(-3 * time.Hour))}
	s.Settle.P99.Duration = 6 * time.Second
	for form, slowest := range map[enforcing.Form]time.Duration{enforcing.Select: 7 * time.Second, enforcing.Label: 40 * time.Second, enforcing.Unlabel: 22 * time.Second} {
		s.Writes = append(s.Writes, v1alpha1.WriteProfile{Form: string(form), Acts: v1alpha1.Yes, Slowest: metav1.Duration{Duration: slowest}})
	}
	return s
}

// A profile that is there, can be read and is of this cluster is gone by. Any other
// changes nothing, and the report says why.
func TestOnlyAProfileOfThisClusterIsGoneBy(t *testing.T) {
	slow := timings{Policy: 7 * time.Second, Label: 40 * time.Second}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "x", errors.New("you may not"))
	get := func(err error) interceptor.Funcs {
		return interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, profile := o.(*v1alpha1.EnforcementProfile); profile {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		}}
	}
	for _, tt := range []struct {
		name string
		edit func(*v1alpha1.EnforcementProfile)
		f    interceptor.Funcs
		want timings
		says string
		void string
	}{
		{"it is current", nil, interceptor.Funcs{}, slow, "of the EnforcementProfile, measured 3h0m0s ago (policies act within 7s, labels within 40s)", ""},
		{"there is none", nil, get(apierrors.NewNotFound(schema.GroupResource{}, "cluster")), timings{}, "has no EnforcementProfile; tightrope doctor --save makes one", ""},
		{"the kind is not known", nil, get(&meta.NoKindMatchError{}), timings{}, "has no EnforcementProfile", ""},
		{"it may not be read", nil, get(forbidden), timings{}, "cannot be read: the controller may not read all of it", ""},
		{"the nodes may not be read", nil, interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return forbidden
		}},
			timings{}, "it is not known whether the EnforcementProfile is still of this cluster: the controller may not read all of it", ""},
		{"the nodes are others", func(p *v1alpha1.EnforcementProfile) { p.Status.Identity.Nodes = "sha256:0" }, interceptor.Funcs{},
			timings{}, "measured 3h0m0s ago, is void: a node has come, gone or changed since", v1alpha1.ReasonNodesChanged},
		{"the plugin is another", func(p *v1alpha1.EnforcementProfile) { p.Status.Identity.Plugin = "sha256:0" }, interceptor.Funcs{}, timings{}, "another image", v1alpha1.ReasonPluginChanged},
		{"somebody made it", func(p *v1alpha1.EnforcementProfile) { p.Status = v1alpha1.EnforcementProfileStatus{} }, interceptor.Funcs{}, timings{}, "is void", v1alpha1.ReasonNodesChanged},
		{"it has no times", func(p *v1alpha1.EnforcementProfile) { p.Status.Settle = v1alpha1.SettleTimes{} }, interceptor.Funcs{}, timings{}, "says nothing that can be used: it has no settle times", ""},
		{"it would hold a run for ever", func(p *v1alpha1.EnforcementProfile) { p.Status.Settle.P99.Duration = 1000 * time.Hour }, interceptor.Funcs{}, timings{}, "which is more than 5m0s", ""},
		{"labels were seen not to act", func(p *v1alpha1.EnforcementProfile) {
			p.Status.Writes = []v1alpha1.WriteProfile{{Form: "Label", Acts: v1alpha1.No, Slowest: metav1.Duration{Duration: time.Hour}}}
		}, interceptor.Funcs{}, timings{Policy: 6 * time.Second, NoLabels: true}, "labels do not", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u"}}
			id, err := enforcing.Identify(t.Context(), fake.NewClientBuilder().WithScheme(testScheme()).WithObjects(node).Build(), nil)
			if err != nil {
				t.Fatal(err)
			}
			p := &v1alpha1.EnforcementProfile{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ProfileName}, Status: slowProfile()}
			p.Status.Identity = id
			if tt.edit != nil {
				tt.edit(p)
			}
			c := fake.NewClientBuilder().WithScheme(testScheme()).WithObjects(node, p).WithStatusSubresource(p).WithInterceptorFuncs(tt.f).Build()
			r := &RunReconciler{Live: c, Write: writer.New(c, writer.Options{})}
			got, says := r.readProfile(t.Context())
			if got != tt.want || !strings.Contains(says, tt.says) {
				t.Errorf("%+v, %q; want %+v, %q", got, says, tt.want, tt.says)
			}
			if tt.void == "" {
				return
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
				t.Fatal(err)
			}
			if now := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionCurrent); now == nil || now.Status != metav1.ConditionFalse || now.Reason != tt.void {
				t.Errorf("the profile says of itself %+v, want that it is void for %s", now, tt.void)
			}
		})
	}
}

// A run reads the DaemonSets that the profile names, for a few seconds, and its report
// names nothing of what could not be read.
func TestAnythingOfOthersCostsOnlyTheDefaults(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(context.Context) error
		says   string
	}{
		"it hangs":     {func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("get %w", ctx.Err()) }, "the API server did not answer within 5s"},
		"it is broken": {func(context.Context) error { return errors.New("of tenant/secret-plan") }, "reading failed, as the controller's log says"},
		"it is busy": {func(context.Context) error { return apierrors.NewTooManyRequests("tenant/secret-plan", 1) },
			"the API server is busy or has failed"},
		"it is not to be read": {func(context.Context) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "daemonsets"}, "secret-plan", nil)
		}, "the controller may not read all of it"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &v1alpha1.EnforcementProfile{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ProfileName}, Status: slowProfile()}
				p.Status.Identity.Plugins = []string{"tenant/secret-plan"}
				c := fake.NewClientBuilder().WithScheme(testScheme()).WithObjects(p).WithStatusSubresource(p).WithInterceptorFuncs(interceptor.Funcs{
					Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
						if _, set := o.(*appsv1.DaemonSet); set {
							return tt.answer(ctx)
						}
						return c.Get(ctx, key, o, options...)
					},
					List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
						if _, sets := list.(*appsv1.DaemonSetList); sets {
							t.Error("a run lists DaemonSets")
						}
						return c.List(ctx, list, options...)
					},
				}).Build()
				r := &RunReconciler{Live: c, Write: writer.New(c, writer.Options{})}
				began := time.Now()
				got, says := r.readProfile(t.Context())
				if got != (timings{}) || !strings.HasSuffix(says, tt.says) || strings.Contains(says, "secret-plan") || time.Since(began) > 5*time.Second {
					t.Errorf("%+v, %q after %v; want the defaults, and %q", got, says, time.Since(began), tt.says)
				}
			})
		})
	}
}

// What was measured stands beside what the profile says: the slower counts.
func TestTheSlowerTimeCounts(t *testing.T) {
	s := &session{plan: &Plan{Plan: plan.Plan{Limits: defaultLimits}}}
	s.setPace()
	if s.settleTime != defaultSettle || s.labelTime != defaultSettle || s.limits() != defaultLimits || s.recoverWithin() != recoverDeadline {
		t.Errorf("where nothing is known: %v, %v, %+v", s.settleTime, s.labelTime, s.limits())
	}
	if s.actsWithin(false) != 15*time.Second || s.actsWithin(true) != 90*time.Second {
		t.Errorf("a policy may take %v, and a label %v", s.actsWithin(false), s.actsWithin(true))
	}
	s.noteEffect(false, 10*time.Millisecond)
	s.noteEffect(true, 2*time.Second)
	if s.settleTime != leastSettle || s.labelTime != 2*time.Second {
		t.Errorf("as measured: %v, %v", s.settleTime, s.labelTime)
	}
	s.goBy(timings{Policy: 7 * time.Second, Label: 40 * time.Second}, "so it is")
	if s.settleTime != 7*time.Second || s.labelTime != 40*time.Second || s.record.Report.Timings != "so it is" {
		t.Errorf("as the profile says: %v, %v", s.settleTime, s.labelTime)
	}
	if got := s.limits(); got.Rollback < 2*time.Minute-8*time.Second || got.Preflight < defaultLimits.Preflight+2*time.Minute || got.Inconclusive != defaultLimits.Inconclusive {
		t.Errorf("limits %+v: a rollback waits for policies, and no label", got)
	}
	if s.actsWithin(false) != 21*time.Second || s.actsWithin(true) != 2*time.Minute {
		t.Errorf("a policy may take %v, and a label %v", s.actsWithin(false), s.actsWithin(true))
	}
	s.noteEffect(false, 9*time.Second)
	if s.settleTime != 9*time.Second {
		t.Errorf("measured slower than the profile says: %v", s.settleTime)
	}
	s.goBy(timings{Policy: time.Second, NoLabels: true}, "")
	if s.actsWithin(true) != enforcing.Within {
		t.Errorf("a label that was seen not to act may take %v", s.actsWithin(true))
	}
}

// The time that writes are known to take to act is no time without proof; beyond that
// the deadline runs.
func TestSlowWritesEndNoRun(t *testing.T) {
	for _, tt := range []struct {
		name          string
		unacted, then time.Duration // not settled, and settled without proof
		want          time.Duration
	}{
		{"it has just settled", 90 * time.Second, 0, 0},
		{"proof is missing since", 90 * time.Second, 30 * time.Second, 30 * time.Second},
		{"writes never act", 200 * time.Second, 0, 200*time.Second - (4*7+3*40)*time.Second},
	} {
		s := &session{plan: &Plan{}}
		s.goBy(timings{Policy: 7 * time.Second, Label: 40 * time.Second}, "")
		entered := time.Now()
		s.inStep(rollout.State{Phase: v1alpha1.PhaseEnforce}, entered)
		var unproved time.Duration
		now := entered
		for ; now.Sub(entered) <= tt.unacted; now = now.Add(time.Second) {
			_, unproved = s.soak(rollout.Gate{}, rollout.Evidence{Required: 1}, time.Time{}, now)
		}
		s.settledAt = now
		for over := now.Add(tt.then); now.Before(over); now = now.Add(time.Second) {
			_, unproved = s.soak(rollout.Gate{}, rollout.Evidence{Required: 1, Settled: true}, time.Time{}, now)
		}
		if off := unproved - tt.want; off < -time.Second || off > time.Second {
			t.Errorf("%s: %v without proof, want %v", tt.name, unproved, tt.want)
		}
	}
}

// A label that was just written is waited for by its own time.
func TestLabelsAreWaitedForByTheirOwnTime(t *testing.T) {
	s := newSession(t.Context(), func() {})
	defer s.close()
	s.goBy(timings{Policy: time.Second, Label: 40 * time.Second}, "")
	now := time.Now()
	if !s.labelsActed(now) {
		t.Error("no label was written, and it is waited for")
	}
	s.labelledAt = now.Add(-79 * time.Second)
	if s.labelsActed(now) {
		t.Error("79s after a label that takes 40s")
	}
	if !s.labelsActed(now.Add(2 * time.Second)) {
		t.Error("81s after it")
	}
	s.resumed = true
	s.enter(place{stage, 3})
	if s.labelledAt.IsZero() || s.resumed {
		t.Error("a process that took up a run does not know when labels were written: it waits again")
	}
	s.enter(place{stage, 4})
	if !s.labelledAt.IsZero() {
		t.Error("it waits at every step")
	}
}

func TestTheReportSaysWhereTimingsAreFrom(t *testing.T) {
	var b strings.Builder
	if err := report.WriteText(&b, &report.Report{Timings: "of the EnforcementProfile\x1b[31m"}, false); err != nil || !strings.Contains(b.String(), "Timings: of the EnforcementProfile") || strings.Contains(b.String(), "\x1b") {
		t.Errorf("%v\n%s", err, &b)
	}
}
