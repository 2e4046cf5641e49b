package scenarios

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// TestStartReturnsTheRunItBegan applies generation 2 of a rollout and lets the
// status say what an operator that lags, or an earlier run, would have left there.
func TestStartReturnsTheRunItBegan(t *testing.T) {
	ours := types.NamespacedName{Namespace: "a", Name: "x-22222222"}
	ref := func(name string) *v1alpha1.RunRef {
		return &v1alpha1.RunRef{Name: name, UID: types.UID("uid of " + name)}
	}
	for _, tt := range []struct {
		name   string
		status v1alpha1.PolicyRolloutStatus
		want   string // part of the error; empty: the run is returned
	}{
		{"the run of the generation that was applied", v1alpha1.PolicyRolloutStatus{ObservedGeneration: 2, CurrentRunRef: ref("x-22222222")}, ""},
		{"a committed run of the generation before", v1alpha1.PolicyRolloutStatus{ObservedGeneration: 1, CurrentRunRef: ref("x-11111111"), Phase: v1alpha1.PhaseCommitted}, "no controller took it up"},
		{"a refusal of the generation before", v1alpha1.PolicyRolloutStatus{ObservedGeneration: 1, Phase: v1alpha1.PhaseRefused}, "no controller took it up"},
		{"a refusal of this generation", v1alpha1.PolicyRolloutStatus{ObservedGeneration: 2, Phase: v1alpha1.PhaseRefused}, "rollout a/x was refused"},
		{"a run that tries another generation", v1alpha1.PolicyRolloutStatus{ObservedGeneration: 2, CurrentRunRef: ref("x-11111111")}, "no controller took it up"},
		{"a run of a deleted rollout of that name", v1alpha1.PolicyRolloutStatus{ObservedGeneration: 2, CurrentRunRef: ref("x-00000000")}, "no controller took it up"},
		{"a run that was replaced", v1alpha1.PolicyRolloutStatus{ObservedGeneration: 2, CurrentRunRef: &v1alpha1.RunRef{Name: "x-22222222", UID: "another"}}, "no controller took it up"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				got, err := start(ctx, clusterWhere(tt.status), &v1alpha1.PolicyRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"}},
					&v1alpha1.ConnectivitySuite{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"}})
				switch {
				case tt.want == "" && (err != nil || got != ours):
					t.Errorf("got %s, %v; want %s", got, err, ours)
				case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
					t.Errorf("got %s, %v; want an error with %q", got, err, tt.want)
				}
			})
		})
	}
}

func TestAnUnchangedRolloutIsNotPassedOffAsANewRun(t *testing.T) {
	status := v1alpha1.PolicyRolloutStatus{ObservedGeneration: 1, Phase: v1alpha1.PhaseCommitted, CurrentRunRef: &v1alpha1.RunRef{Name: "x-11111111", UID: "uid of x-11111111"}}
	ro := rolloutOf(1, status)
	c := fakeCluster(interceptor.Funcs{}, ro)
	_, err := start(t.Context(), c, &v1alpha1.PolicyRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"}},
		&v1alpha1.ConnectivitySuite{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x"}})
	if err == nil || !strings.Contains(err.Error(), "tried already, by run x-11111111, which is in phase Committed") {
		t.Errorf("got %v, want an error that names the run that tried it", err)
	}
}

// clusterWhere has the rollout at generation 1; applying it makes generation 2
// with the given status.
func clusterWhere(status v1alpha1.PolicyRolloutStatus) client.WithWatch {
	run := func(name string, rollout types.UID, generation int64) client.Object {
		return &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, UID: types.UID("uid of " + name)},
			Spec: v1alpha1.PolicyRolloutRunSpec{RolloutRef: v1alpha1.RolloutRef{Name: "x", UID: rollout}, Generation: generation}}
	}
	applied := interceptor.Funcs{Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
		var ro v1alpha1.PolicyRollout
		if err := c.Get(ctx, client.ObjectKey{Namespace: "a", Name: "x"}, &ro); err != nil {
			return err
		}
		ro.Generation, ro.Status = 2, status
		return c.Update(ctx, &ro)
	}}
	return fakeCluster(applied, rolloutOf(1, v1alpha1.PolicyRolloutStatus{}), run("x-11111111", "u", 1), run("x-22222222", "u", 2), run("x-00000000", "gone", 2))
}

func rolloutOf(generation int64, status v1alpha1.PolicyRolloutStatus) *v1alpha1.PolicyRollout {
	return &v1alpha1.PolicyRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x", UID: "u", Generation: generation}, Status: status}
}

func fakeCluster(f interceptor.Funcs, objects ...client.Object) client.WithWatch {
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(f).Build()
}
