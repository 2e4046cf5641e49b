package operator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// Of two runs that claim at once, both must agree who goes on.
func TestOfTwoRunsExactlyOneIsOlder(t *testing.T) {
	run := func(ns, name string, at time.Time) *v1alpha1.PolicyRolloutRun {
		return &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, CreationTimestamp: metav1.NewTime(at)}}
	}
	now := time.Now()
	for _, tt := range []struct {
		name string
		a, b *v1alpha1.PolicyRolloutRun
	}{
		{"by creation", run("b", "x", now.Add(-time.Second)), run("a", "x", now)},
		{"by namespace when created together", run("a", "x", now), run("b", "x", now)},
		{"by name in one namespace", run("a", "x", now), run("a", "y", now)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !older(tt.a, tt.b) || older(tt.b, tt.a) {
				t.Errorf("older(a,b)=%v older(b,a)=%v, want true and false", older(tt.a, tt.b), older(tt.b, tt.a))
			}
		})
	}
}

// claimOf is what a run claims a namespace with.
func claimOf(run runKey, ns string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: run.Meta(ns, plan.ClaimName, roleClaim)}
}

// A run claims all its namespaces or none, in one order, and is told by name who is in
// the way. The claim of a run that is gone goes.
func TestNamespacesAreClaimedAllOrNone(t *testing.T) {
	other := runKey{Name: "x-1", UID: "x"}
	for _, tt := range []struct {
		name  string
		there *corev1.ConfigMap // of namespace b; nil: none
		edit  func(*v1alpha1.PolicyRolloutRun)
		says  string // in the end; empty: all are claimed
		stops bool   // it is a refusal
	}{
		{"nobody has them", nil, nil, "", false},
		{"it has one of them itself", claimOf(runKey{Name: "r-1", UID: "u"}, "b"), nil, "", false},
		{"another run has one", claimOf(other, "b"), func(*v1alpha1.PolicyRolloutRun) {}, "namespace b is claimed by run a/x-1, which is in phase Canary: wait for it or abort it", true},
		{"a run that has ended is being tidied up", claimOf(other, "b"), func(run *v1alpha1.PolicyRolloutRun) { run.Status.Phase = v1alpha1.PhaseRolledBack }, "run x-1 has ended and not yet given up namespace b", false},
		{"a run that is tidied up left one", claimOf(other, "b"), func(run *v1alpha1.PolicyRolloutRun) {
			run.Status.Phase = v1alpha1.PhaseRolledBack
			run.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue}}
		}, "", false},
		{"a run that is gone left one", claimOf(other, "b"), nil, "", false},
		{"a run that had the name before left one", claimOf(runKey{Name: "x-1", UID: "before"}, "b"), func(*v1alpha1.PolicyRolloutRun) {}, "", false},
		{"a ConfigMap of somebody", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: plan.ClaimName}}, nil, "ConfigMap b/tightrope-claim is there, and no run made it", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := aRun(v1alpha1.PhasePreflight, v1alpha1.IntentRun)
			objects := []client.Object{run}
			if tt.there != nil {
				objects = append(objects, tt.there)
			}
			if tt.edit != nil {
				them := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: other.Name, UID: other.UID}}
				them.Status.Phase = v1alpha1.PhaseCanary
				tt.edit(them)
				objects = append(objects, them)
			}
			var order []string
			c := fakeAPI(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				order = append(order, o.GetNamespace())
				return c.Create(ctx, o, opts...)
			}}, objects...)
			r := &RunReconciler{Write: writer.New(c, writer.Options{}), Live: c}
			p := &Plan{Plan: plan.Plan{Run: run.Name, RunUID: run.UID}}
			for _, ns := range []string{"c", "a", "b"} {
				p.Candidates = append(p.Candidates, plan.Candidate{Policy: plan.Policy{Namespace: ns, Name: "p"}})
			}
			err := r.takeClaims(t.Context(), run, p)
			if tt.says == "" && err != nil { // what was in the way is gone by now
				err = r.takeClaims(t.Context(), run, p)
			}
			if tt.says == "" != (err == nil) || err != nil && (!strings.Contains(err.Error(), tt.says) || errors.As(err, new(*refusal)) != tt.stops) {
				t.Errorf("%v, want %q", err, tt.says)
			}
			if !strings.HasPrefix(strings.Join(order, ""), "ab") {
				t.Errorf("claimed in the order %q", order)
			}
			for _, ns := range []string{"a", "b", "c"} {
				var claim corev1.ConfigMap
				get := c.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: plan.ClaimName}, &claim)
				if get != nil && !apierrors.IsNotFound(get) {
					t.Fatal(get)
				}
				if ours := get == nil && p.key().Made(&claim); ours != (tt.says == "") {
					t.Errorf("namespace %s is claimed by the run: %v", ns, ours)
				}
			}
		})
	}
}

// A quota that is used up is for a person to raise: the run says so at once, and keeps no
// claim.
func TestAClaimThatTheAPIServerRefusesIsARefusal(t *testing.T) {
	run := aRun(v1alpha1.PhasePreflight, v1alpha1.IntentRun)
	c := fakeAPI(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if o.GetNamespace() == "b" {
			return apierrors.NewForbidden(corev1.Resource("configmaps"), o.GetName(), errors.New("exceeded quota: few"))
		}
		return c.Create(ctx, o, opts...)
	}}, run)
	r := &RunReconciler{Write: writer.New(c, writer.Options{}), Live: c}
	p := &Plan{Plan: plan.Plan{Run: run.Name, RunUID: run.UID}}
	for _, ns := range []string{"a", "b"} {
		p.Candidates = append(p.Candidates, plan.Candidate{Policy: plan.Policy{Namespace: ns, Name: "p"}})
	}
	err := r.takeClaims(t.Context(), run, p)
	if !errors.As(err, new(*refusal)) || !strings.Contains(err.Error(), "the claim of namespace b") || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("%v, want a refusal", err)
	}
	var all corev1.ConfigMapList
	if err := c.List(t.Context(), &all); err != nil || len(all.Items) > 0 {
		t.Errorf("%d claims are left, %v", len(all.Items), err)
	}
}

// A claim goes last: when nothing else of the run is left.
func TestAClaimIsGivenUpLast(t *testing.T) {
	run := runKey{Name: "r-1", UID: "u"}
	np := policyOf(run, "bridge", roleBridge)
	c := fakeAPI(interceptor.Funcs{}, claimOf(run, "a"), claimOf(runKey{Name: "r-1", UID: "before"}, "b"), &np)
	r := &RunReconciler{Write: writer.New(c, writer.Options{}), Live: c}
	claims := func() (left int) {
		var all corev1.ConfigMapList
		if err := c.List(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		return len(all.Items)
	}
	if done, err := r.nothingLeft(t.Context(), run); err != nil || done || claims() != 2 {
		t.Errorf("with a policy left: done %v, %v, %d claims", done, err, claims())
	}
	if err := c.Delete(t.Context(), &np); err != nil {
		t.Fatal(err)
	}
	if done, err := r.nothingLeft(t.Context(), run); err != nil || !done || claims() != 1 {
		t.Errorf("with nothing left: done %v, %v, %d claims, want that of the other", done, err, claims())
	}
}

// Who has a namespace is told by the cache and by the sessions, and confirmed by the API
// server: a run that has ended meanwhile, or that is another by now, is not in the way.
func TestWhoIsInTheWayIsAskedOfTheAPIServer(t *testing.T) {
	const armed = "sha256:1"
	for name, tt := range map[string]struct {
		live    func(*v1alpha1.PolicyRolloutRun) // what the cache does not show yet; nil: it is gone
		session func(*Plan)                      // of the other run; nil: there is none, and its plan is stored nowhere
		says    string                           // the refusal; empty: none
		fails   bool
	}{
		"under way":                   {func(*v1alpha1.PolicyRolloutRun) {}, func(*Plan) {}, "namespace b is claimed by run a/x-1, which is in phase Canary", false},
		"ended":                       {func(run *v1alpha1.PolicyRolloutRun) { run.Status.Phase = v1alpha1.PhaseCommitted }, func(*Plan) {}, "", false},
		"gone":                        {nil, func(*Plan) {}, "", false},
		"made again":                  {func(run *v1alpha1.PolicyRolloutRun) { run.UID = "again" }, func(*Plan) {}, "", false},
		"elsewhere":                   {func(*v1alpha1.PolicyRolloutRun) {}, func(p *Plan) { p.Candidates[0].Namespace = "c" }, "", false},
		"without a session":           {func(*v1alpha1.PolicyRolloutRun) {}, nil, "", true},
		"with a session of before":    {func(*v1alpha1.PolicyRolloutRun) {}, func(p *Plan) { p.RunUID = "before" }, "", true},
		"with a plan that is no more": {func(*v1alpha1.PolicyRolloutRun) {}, func(p *Plan) { p.stored = "sha256:0" }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			them := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x-1", UID: "x"}}
			them.Status.Phase, them.Status.SnapshotDigest = v1alpha1.PhaseCanary, armed
			var live []client.Object
			if now := them.DeepCopy(); tt.live != nil {
				tt.live(now)
				live = append(live, now)
			}
			r := &RunReconciler{Reader: fakeAPI(interceptor.Funcs{}, them), Live: fakeAPI(interceptor.Funcs{}, live...), sessions: map[types.NamespacedName]*session{}}
			if tt.session != nil {
				p := &Plan{Plan: plan.Plan{Run: "x-1", RunUID: "x", Candidates: []plan.Candidate{{Policy: plan.Policy{Namespace: "b", Name: "p"}}}}, stored: armed}
				tt.session(p)
				s := &session{}
				s.setPlan(p)
				r.sessions[client.ObjectKeyFromObject(them)] = s
			}
			no := &refusal{}
			err := r.claim(t.Context(), []string{"a", "b"}, aRun(v1alpha1.PhasePreflight, v1alpha1.IntentRun), no)
			if (err != nil) != tt.fails {
				t.Errorf("error %v, want one: %v", err, tt.fails)
			}
			if got := no.Error(); !strings.Contains(got, tt.says) || tt.says == "" && got != "" {
				t.Errorf("refused %q, want %q", got, tt.says)
			}
		})
	}
}
