package operator

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// newWaves is a namespace in which one client may not leave at all, and a rollout that
// lets it out and closes the server to it. The server has to be closed first, or the
// client would get through for a while.
func newWaves(t *testing.T) (*story, *v1alpha1.PolicyRollout) {
	t.Helper()
	s := newStory(t)
	other := metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}
	out := []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	s.byHand("other-closed", networkingv1.NetworkPolicySpec{PodSelector: other, PolicyTypes: out})
	open := v1alpha1.CandidatePolicy{Namespace: s.ns, Name: "other-open", Spec: networkingv1.NetworkPolicySpec{
		PodSelector: other, PolicyTypes: out, Egress: []networkingv1.NetworkPolicyEgressRule{{}}}}
	return s, s.rollout(append(s.good(), open))
}

// wave waits until the run of a wave is as wanted.
func (s *story) wave(attempt, wave int64, what string, is func(*v1alpha1.PolicyRolloutRun) bool) *v1alpha1.PolicyRolloutRun {
	s.t.Helper()
	name := waveRunName(s.ns, s.uid, 1, attempt, wave)
	return await(s, &v1alpha1.PolicyRolloutRunList{}, what, func(run *v1alpha1.PolicyRolloutRun) bool { return run.Name == name && is(run) })
}

func tidiedRun(run *v1alpha1.PolicyRolloutRun) bool {
	return meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionTidied)
}

// told waits until the rollout says how it ended.
func (s *story) told(result string) v1alpha1.PolicyRolloutStatus {
	s.t.Helper()
	return await(s, &v1alpha1.PolicyRolloutList{}, "the rollout to end "+result, func(ro *v1alpha1.PolicyRollout) bool { return ro.Status.Result == result }).Status
}

func (s *story) wantNames(names ...string) {
	s.t.Helper()
	var got []string
	for _, np := range s.policies() {
		got = append(got, np.Name)
	}
	if slices.Sort(got); !slices.Equal(got, names) {
		s.t.Errorf("policies %v, want %v", got, names)
	}
}

func TestExposuresMakeWavesThatCommitOneByOne(t *testing.T) {
	t.Parallel()
	s, ro := newWaves(t)
	s.begin(ro)
	first := s.wave(1, 1, "the end of the first wave", tidiedRun)
	if first.Status.Phase != v1alpha1.PhaseCommitted || tell(first.Status.Waves) != "1 Committed, 2" || !strings.Contains(first.Status.Message, "wave 1 of 2") {
		t.Fatalf("the first wave: %s, waves %s", describe(first), tell(first.Status.Waves))
	}
	second := s.wave(1, 2, "the end of the second wave", tidiedRun)
	if second.Status.Phase != v1alpha1.PhaseCommitted || tell(second.Status.Waves) != "1 Committed, 2 Committed" || second.Spec.After.UID != first.UID {
		t.Fatalf("the second wave: %s, waves %s, after %+v", describe(second), tell(second.Status.Waves), second.Spec.After)
	}
	s.wantNames("client-egress", "other-closed", "other-open", "server-ingress")
	for name, by := range map[string]string{"server-ingress": first.Name, "other-open": second.Name} {
		if got := s.policyNamed(name).Annotations[v1alpha1.AnnotationCommittedBy]; got != by {
			t.Errorf("policy %s says that %s committed it, want %s", name, got, by)
		}
	}
	if st := s.told("Committed"); st.Phase != v1alpha1.PhaseCommitted || tell(st.Waves) != "1 Committed, 2 Committed" || st.CommittedRunRef.UID != second.UID {
		t.Errorf("the rollout says %+v", st)
	}
}

// What the second wave has changed is taken back, and the first wave stays as it was
// committed. A retry does what is left.
func TestARollbackOfAWaveLeavesTheEarlierOnesInForce(t *testing.T) {
	t.Parallel()
	s, ro := newWaves(t)
	s.begin(ro)
	s.wave(1, 1, "the end of the first wave", tidiedRun)
	committed := map[string]string{}
	for _, np := range s.policies() {
		committed[np.Name] = np.ResourceVersion
	}
	run := s.wave(1, 2, "a few pods of the second wave", func(run *v1alpha1.PolicyRolloutRun) bool { return run.Status.Stage == "few" })
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"intent":"Abort"}}`))
	s.must(s.c.client.Patch(s.ctx, run, patch))
	run = s.wave(1, 2, "the end of the second wave", tidiedRun)
	if run.Status.Phase != v1alpha1.PhaseRolledBack || run.Status.Cause != "Aborted" {
		t.Fatalf("the second wave: %s", describe(run))
	}
	for _, np := range s.policies() {
		if committed[np.Name] != np.ResourceVersion {
			t.Errorf("policy %s was written to: %+v", np.Name, np.ObjectMeta)
		}
		delete(committed, np.Name)
	}
	if len(committed) > 0 {
		t.Errorf("policies %v are gone", committed)
	}
	st := s.told(v1alpha1.PartlyCommitted)
	if st.Phase != v1alpha1.PhaseRolledBack || tell(st.Waves) != "1 Committed, 2 RolledBack" || !strings.Contains(st.Message, "stay in force: 1") {
		t.Errorf("the rollout says %+v", st)
	}
	patch = client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationRetry+`":"`+run.Name+`"}}}`))
	s.must(s.c.client.Patch(s.ctx, ro, patch))
	again := s.wave(2, 1, "the end of the second attempt", tidiedRun)
	if again.Status.Phase != v1alpha1.PhaseCommitted || len(again.Status.Waves) != 0 {
		t.Errorf("the second attempt: %s, waves %s", describe(again), tell(again.Status.Waves))
	}
	s.wantNames("client-egress", "other-closed", "other-open", "server-ingress")
	s.told("Committed")
}
