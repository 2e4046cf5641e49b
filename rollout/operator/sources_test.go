package operator

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// Whoever edits a suite or a ConfigMap changes no generation of the rollout: the run
// says of what it was made.
func TestARunSaysOfWhatItWasMade(t *testing.T) {
	ro := aRollout("r", "u")
	ro.Spec.Suites = []v1alpha1.SuiteRef{{Name: "s"}}
	ro.Spec.Policies = v1alpha1.PolicySource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "p"}}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ro.Namespace, Name: name} }
	suite := &v1alpha1.ConnectivitySuite{ObjectMeta: meta("s"), Spec: v1alpha1.ConnectivitySuiteSpec{Identities: []v1alpha1.Identity{{Name: "a", Namespace: "a"}}}}
	cm := &corev1.ConfigMap{ObjectMeta: meta("p"), Data: map[string]string{"p.yaml": "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: p, namespace: a}\nspec: {podSelector: {}}\n"}}
	ro.Spec.Suites[0].Digest, ro.Spec.Policies.ConfigMapRef.Digest = v1alpha1.SuiteSource(suite).Digest, v1alpha1.ConfigMapSource(cm).Digest
	r, p, no := &RunReconciler{Live: fakeAPI(interceptor.Funcs{}, suite, cm)}, &Plan{}, &refusal{}
	if _, err := r.readSuites(t.Context(), ro, p, no); err != nil {
		t.Fatal(err)
	}
	if _, err := r.readCandidates(t.Context(), ro, p, no); err != nil || len(no.reasons) > 0 {
		t.Fatal(err, no)
	}
	want := []v1alpha1.Source{v1alpha1.SuiteSource(suite), v1alpha1.ConfigMapSource(cm)}
	if !slices.Equal(p.Sources, want) || want[0].Digest == "" || want[1].Digest == "" {
		t.Errorf("sources %+v, want %+v", p.Sources, want)
	}
	s, run := &session{plan: p}, &v1alpha1.PolicyRolloutRun{}
	s.fillStatus(run, turn{next: rollout.State{Phase: v1alpha1.PhaseObserve}}, nil)
	if !slices.Equal(run.Status.Sources, want) {
		t.Errorf("the status says %+v, want %+v", run.Status.Sources, want)
	}
	s.fillStatus(run, turn{next: rollout.State{Phase: v1alpha1.PhasePreflight}}, nil)
	if len(run.Status.Sources) > 0 {
		t.Errorf("a plan is made again, and the status still says %+v", run.Status.Sources)
	}
}
