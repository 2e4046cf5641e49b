package operator

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// fakeAPI is an API server in memory, for what needs no controllers of a cluster.
func fakeAPI(f interceptor.Funcs, objects ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithScheme(testScheme()).WithObjects(objects...).WithReturnManagedFields().
		WithStatusSubresource(&v1alpha1.PolicyRolloutRun{}, &v1alpha1.PolicyRollout{}).WithInterceptorFuncs(f).Build()
}

func aRollout(name string, uid types.UID) *v1alpha1.PolicyRollout {
	return &v1alpha1.PolicyRollout{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, UID: uid, Generation: 1}}
}

// committedRunOf is a run of the rollout that has ended well.
func committedRunOf(ro *v1alpha1.PolicyRollout, name string) *v1alpha1.PolicyRolloutRun {
	owner := *metav1.NewControllerRef(ro, v1alpha1.GroupVersion.WithKind("PolicyRollout"))
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: ro.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{owner}}}
	run.Spec.RolloutRef, run.Spec.Generation = v1alpha1.RolloutRef{Name: ro.Name, UID: ro.UID}, ro.Generation
	run.Status.Phase, run.Status.Message = v1alpha1.PhaseCommitted, "2 policies are in force"
	return run
}

func TestARolloutTakesOnlyItsOwnRun(t *testing.T) {
	now := aRollout("r", "new")
	name := RunName("r", "new", 1, firstAttempt)
	but := func(edit func(*v1alpha1.PolicyRolloutRun)) *v1alpha1.PolicyRolloutRun {
		run := committedRunOf(now, name)
		edit(run)
		return run
	}
	for _, tt := range []struct {
		title string
		run   *v1alpha1.PolicyRolloutRun
		want  v1alpha1.Phase
	}{
		{"its own run speaks for it", committedRunOf(now, name), v1alpha1.PhaseCommitted},
		{"a run of the rollout that had the name before does not", committedRunOf(aRollout("r", "old"), RunName("r", "old", 1, firstAttempt)), v1alpha1.PhasePending},
		{"nor does one that took its run's name", but(func(run *v1alpha1.PolicyRolloutRun) { run.OwnerReferences[0].UID = "old" }), v1alpha1.PhaseRefused},
		{"nor one that refers to another rollout", but(func(run *v1alpha1.PolicyRolloutRun) { run.Spec.RolloutRef.UID = "old" }), v1alpha1.PhaseRefused},
		{"nor one of another generation", but(func(run *v1alpha1.PolicyRolloutRun) { run.Spec.Generation = 7 }), v1alpha1.PhaseRefused},
	} {
		t.Run(tt.title, func(t *testing.T) {
			c := fakeAPI(interceptor.Funcs{}, now.DeepCopy(), tt.run)
			if err := c.Status().Update(t.Context(), tt.run); err != nil {
				t.Fatal(err)
			}
			st := reconcileRollout(t, c, "r")
			if ready := meta.IsStatusConditionTrue(st.Conditions, "Ready"); st.Phase != tt.want || ready != (tt.want == v1alpha1.PhaseCommitted) {
				t.Errorf("phase %s, ready %v; want %s", st.Phase, ready, tt.want)
			}
			if committed := tt.want == v1alpha1.PhaseCommitted; committed != (st.CommittedRunRef != nil) || committed && st.CommittedRunRef.Name != name {
				t.Errorf("committed run %+v", st.CommittedRunRef)
			}
			if tt.want == v1alpha1.PhasePending && (st.CurrentRunRef == nil || st.CurrentRunRef.Name != name) {
				t.Errorf("current run %+v, want a new one, %s", st.CurrentRunRef, name)
			}
		})
	}
}

func TestARolloutWithALongNameIsRefused(t *testing.T) {
	long := strings.Repeat("x", planner.MaxName+1)
	st := reconcileRollout(t, fakeAPI(interceptor.Funcs{}, aRollout(long, "u")), long)
	stalled := meta.FindStatusCondition(st.Conditions, "Stalled")
	if st.Phase != v1alpha1.PhaseRefused || stalled == nil || !strings.Contains(stalled.Message, "has 41 characters, at most 40") {
		t.Errorf("phase %s, condition %+v; want Refused, with both lengths", st.Phase, stalled)
	}
}

func reconcileRollout(t *testing.T, c client.WithWatch, name string) v1alpha1.PolicyRolloutStatus {
	t.Helper()
	key := types.NamespacedName{Namespace: "a", Name: name}
	r := &RolloutReconciler{Write: writer.New(c, writer.Options{}), Live: c, Events: events.NewFakeRecorder(100)}
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
		t.Fatal(err)
	}
	var now v1alpha1.PolicyRollout
	if err := c.Get(t.Context(), key, &now); err != nil {
		t.Fatal(err)
	}
	return now.Status
}
