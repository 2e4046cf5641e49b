package operator

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// News comes from other goroutines while a pass writes to the run that it read, so they
// share nothing.
func TestNewsSharesNothingWithAPass(t *testing.T) {
	r := &RunReconciler{Live: fakeAPI(interceptor.Funcs{}), base: t.Context(),
		wake: make(chan event.GenericEvent, 1), sessions: map[types.NamespacedName]*session{}}
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "x-1", ResourceVersion: "1"}}
	s, err := r.session(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	defer r.drop(types.NamespacedName{Namespace: "a", Name: "x-1"})
	run.Name = "changed by a pass"
	s.wake()
	if o := (<-r.wake).Object; o.GetNamespace() != "a" || o.GetName() != "x-1" {
		t.Errorf("the news is of %s/%s", o.GetNamespace(), o.GetName())
	}
}
