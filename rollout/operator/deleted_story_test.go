package operator

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// What a run was made of may go while it is under way: its plan has all of it.
func TestSuiteAndPoliciesMayGoInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ro := s.rollout(s.good())
	text := ""
	for _, c := range ro.Spec.Policies.Inline {
		raw, err := yaml.Marshal(c.Manifest())
		s.must(err)
		text += "---\n" + string(raw)
	}
	source := &corev1.ConfigMap{ObjectMeta: s.meta("policies"), Data: map[string]string{"all.yaml": text}}
	s.create(source)
	ro.Spec.Policies = v1alpha1.PolicySource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: source.Name}}
	suite := s.suite()
	s.beginWith(ro, suite)
	s.reach("shadow")
	s.must(s.c.client.Delete(s.ctx, source))
	s.must(s.c.client.Delete(s.ctx, suite))
	s.must(s.c.client.Delete(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: plan.ClaimName}}))
	s.stopOperator() // whoever takes over has the plan alone
	s.operate()
	if st := s.end(); st.Phase != v1alpha1.PhaseCommitted {
		t.Errorf("ended %s: %s", st.Phase, st.Message)
	}
	s.wantNothingLeft()
}

// A namespace that is deleted takes the rollout, its run and its probe pods along.
// Nothing can be created there any more, and no probe is heard again; the run ends all
// the same, and does not keep the namespace.
func TestANamespaceMayGoInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ro := s.rollout(s.good())
	ro.Spec.Stages[3].MinDuration = metav1.Duration{Duration: time.Minute}
	s.begin(ro)
	s.reach("all")
	w, err := s.c.client.Watch(s.ctx, &v1alpha1.PolicyRolloutRunList{}, client.InNamespace(s.ns))
	s.must(err)
	defer w.Stop()
	s.must(s.c.client.Delete(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}))
	for _, kind := range []client.Object{&v1alpha1.PolicyRollout{}, &v1alpha1.PolicyRolloutRun{}, &v1alpha1.ConnectivitySuite{},
		&networkingv1.NetworkPolicy{}, &corev1.ConfigMap{}, &corev1.Pod{}} { // as the namespace controller does
		s.must(s.c.client.DeleteAllOf(s.ctx, kind, client.InNamespace(s.ns)))
	}
	last := lastBeforeDeletion(w)
	if last == nil || last.Status.Phase != v1alpha1.PhaseRollbackFailed || last.DeletionTimestamp == nil {
		t.Errorf("the run went as %s, want RollbackFailed: nobody could show that it worked", describe(last))
	}
	s.gone(&v1alpha1.PolicyRolloutRun{ObjectMeta: s.meta(s.run())})
	s.wantNothingLeft()
}

// A rollout that asks for what is not served is refused by the API server, with what to do.
func TestTheAPIServerRefusesARollbackOfAllWaves(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ro := s.rollout(s.good())
	ro.Spec.RollbackScope = v1alpha1.RollbackAll
	err := s.c.client.Create(s.ctx, ro, client.DryRunAll)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "All is not served: a rollback restores what the last committed wave has left") {
		t.Errorf("it says %v", err)
	}
	ro.Spec.RollbackScope = v1alpha1.RollbackWave
	if err := s.c.client.Create(s.ctx, ro, client.DryRunAll); err != nil {
		t.Errorf("Wave is refused: %v", err)
	}
}
