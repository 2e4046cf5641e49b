package operator

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// TestTidiedIsTidy leaves one object at a time behind a run that was rolled back.
func TestTidiedIsTidy(t *testing.T) {
	key := runKey{Name: "r-1", UID: "u"}
	other := runKey{Name: "r-1", UID: "a run that had the name before"}
	pod := func(m metav1.ObjectMeta) client.Object { return &corev1.Pod{ObjectMeta: m} }
	plan := func(m metav1.ObjectMeta) client.Object { return &corev1.ConfigMap{ObjectMeta: m} }
	policy := func(m metav1.ObjectMeta) client.Object { return &networkingv1.NetworkPolicy{ObjectMeta: m} }
	enforced := metav1.ObjectMeta{Namespace: "victim", Name: "p", Labels: map[string]string{v1alpha1.LabelEnforced: "r-1"}}
	for _, tt := range []struct {
		name  string
		left  client.Object
		stays bool
	}{
		{"a plan whose pod never came to be", plan(key.Meta("victim", "tightrope-r-1-x-front-0", roleProbe)), false},
		{"a probe pod", pod(key.Meta("victim", "tightrope-r-1-x-front-0", roleProbe)), false},
		{"a candidate", policy(key.Meta("victim", "tightrope-r-1-candidate-0", roleCandidate)), false},
		{"a marker's policy", policy(key.Meta("victim", "tightrope-r-1-marker-0", roleMarker)), false},
		{"a policy of the check in our own namespace", policy(key.Meta(v1alpha1.SystemNamespace, "tightrope-r-1-check-deny-0", roleCheck)), false},
		{"the report", plan(key.Meta(v1alpha1.SystemNamespace, "tightrope-r-1-report", roleReport)), true},
		{"a policy with a copied label", policy(other.Meta("victim", "copy", roleCandidate)), true},
		{"a ConfigMap of a run of that name", plan(other.Meta("victim", "old", roleProbe)), true},
		{"the label of a production pod", pod(enforced), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.left)
			run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: key.Name, UID: key.UID}}
			run.Status.Phase = v1alpha1.PhaseRolledBack
			done := false
			for range 5 {
				w := b.look()
				var err error
				if done, err = b.tidy(t.Context(), run, w); err != nil || done {
					b.must(err)
					break
				}
			}
			if !done {
				t.Error("never done")
			}
			err := b.api.Get(t.Context(), client.ObjectKeyFromObject(tt.left), tt.left)
			if there := err == nil; there != tt.stays {
				t.Errorf("there: %v, want %v", there, tt.stays)
			}
			if tt.stays && tt.left.GetLabels()[v1alpha1.LabelEnforced] != "" {
				t.Error("still labelled")
			}
		})
	}
}

// The next wave plans by the cache: one that still shows a committed policy with the
// marks of the run would have it refused, as left by a run that has ended.
func TestARunIsNotTidiedBeforeTheCacheShowsWhatItHandedOver(t *testing.T) {
	key := runKey{Name: "r-1", UID: "u"}
	np := policyOf(key, "final", roleFinal)
	b := newBench(t, &np)
	old := b.look()
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: key.Name, UID: key.UID}}
	run.Status.Phase = v1alpha1.PhaseCommitted
	if done, err := b.tidy(t.Context(), run, old); done || err != nil {
		t.Errorf("done %v, %v, and the cache does not show that the policy is handed over", done, err)
	}
	if done, err := b.tidy(t.Context(), run, b.look()); !done || err != nil {
		t.Errorf("done %v, %v; nothing is left", done, err)
	}
}

func TestAnOldCacheDoesNotHideWhatIsLeft(t *testing.T) {
	key := runKey{Name: "r-1", UID: "u"}
	b := newBench(t)
	old := b.look()
	np := policyOf(key, "late", roleCandidate)
	b.must(b.api.Create(t.Context(), &np))
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: key.Name, UID: key.UID}}
	if done, err := b.tidy(t.Context(), run, old); done || err != nil {
		t.Errorf("done %v, %v, and a candidate of the run is left", done, err)
	}
}

// A run that plans again finds nothing of the plan before: its markers isolate, and
// its probe pods stand for, what the new one may know nothing of.
func TestAPlanBeginsWithNothingOfTheOneBefore(t *testing.T) {
	run := aRun(v1alpha1.PhasePreflight, v1alpha1.IntentRun)
	r, s := runningOver(t, interceptor.Funcs{}, run)
	old := s.plan
	key := old.key()
	for _, o := range []client.Object{old.markerWishes()[0].object(), &corev1.Pod{ObjectMeta: key.Meta("a", "tightrope-r-1-marker-0-x", roleProbe)}} {
		if err := r.Write.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.isolatedAt = time.Now().Add(-time.Hour)
	s.planAgain()
	for range 3 {
		w, err := readWorld(t.Context(), r.Reader)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.advancePreflight(t.Context(), run, s, w) // there is no rollout to plan for
	}
	w, err := readWorld(t.Context(), r.Reader)
	if err != nil || len(w.policies) > 0 || len(w.pods) > 0 {
		t.Errorf("%v; %d policies and %d pods of the plan before are there", err, len(w.policies), len(w.pods))
	}
	if !s.isolatedAt.IsZero() {
		t.Error("the markers of the new plan are late before they are there")
	}
}
