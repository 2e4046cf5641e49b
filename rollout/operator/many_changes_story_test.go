package operator

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// newManyChanges is five namespaces with policies that somebody wrote by hand, and a
// rollout that changes ten of them, of which five have the same name, and removes two.
// What each candidate allows is neither more nor less than what was allowed before.
func newManyChanges(t *testing.T) (*story, *v1alpha1.PolicyRollout, *v1alpha1.ConnectivitySuite) {
	t.Helper()
	s := newStory(t)
	ro, suite := s.rollout(nil), s.suite()
	suite.Spec.Identities, suite.Spec.Paths = nil, nil
	for i := range 5 {
		there := s
		if i > 0 {
			s.also = append(s.also, fmt.Sprintf("%s-%d", s.ns, i))
			there = s.in(s.also[i-1])
			there.furnish()
		}
		ro.Spec.Policies.Inline = append(ro.Spec.Policies.Inline, there.tenPoliciesOf(i)...)
		there.twoPaths(i, &suite.Spec)
	}
	s.in(s.also[0]).byHand("legacy", s.policy("", map[string]string{"app": "client"}, networkingv1.PolicyTypeEgress, "other", 9090).Spec)
	s.in(s.also[1]).byHand("stale", s.policy("", map[string]string{"app": "server"}, networkingv1.PolicyTypeIngress, "server", 1).Spec)
	s.in(s.also[2]).byHand("stays", s.policy("", map[string]string{"app": "other"}, networkingv1.PolicyTypeIngress, "client", 9090).Spec)
	ro.Spec.Policies.Remove = []v1alpha1.PolicyRef{{Namespace: s.also[0], Name: "legacy"}, {Namespace: s.also[1], Name: "stale"}}
	return s, ro, suite
}

// tenPoliciesOf makes the two policies of one of five namespaces, and returns what they
// are to become.
func (s *story) tenPoliciesOf(i int) []v1alpha1.CandidatePolicy {
	server, client := map[string]string{"app": "server"}, map[string]string{"app": "client"}
	egress := fmt.Sprint("client-egress-", i)
	wide := s.policy("", server, networkingv1.PolicyTypeIngress, "client", 8080).Spec
	wide.Ingress = append(wide.Ingress, s.policy("", server, networkingv1.PolicyTypeIngress, "other", 8080).Spec.Ingress...)
	s.byHand("server-ingress", wide)
	wide = s.policy("", client, networkingv1.PolicyTypeEgress, "server", 8080).Spec
	wide.Egress = append(wide.Egress, s.policy("", client, networkingv1.PolicyTypeEgress, "other", 8080).Spec.Egress...)
	s.byHand(egress, wide)
	ingress := s.policy("server-ingress", server, networkingv1.PolicyTypeIngress, "client", 8080)
	ingress.Spec.Ingress = append(ingress.Spec.Ingress, s.policy("", server, networkingv1.PolicyTypeIngress, "server", 9090).Spec.Ingress...)
	out := s.policy(egress, client, networkingv1.PolicyTypeEgress, "server", 8080)
	out.Spec.Egress = append(out.Spec.Egress, s.policy("", client, networkingv1.PolicyTypeEgress, "client", 9090).Spec.Egress...)
	return []v1alpha1.CandidatePolicy{ingress, out}
}

// twoPaths adds what must work in one of the namespaces, and what must not once the
// candidates are in force.
func (s *story) twoPaths(i int, suite *v1alpha1.ConnectivitySuiteSpec) {
	for _, path := range s.suite().Spec.Paths {
		path.Name, path.From = fmt.Sprintf("%s %d", path.Name, i), fmt.Sprintf("%s-%d", path.From, i)
		suite.Paths = append(suite.Paths, path)
	}
	for _, id := range s.suite().Spec.Identities {
		id.Name = fmt.Sprintf("%s-%d", id.Name, i)
		suite.Identities = append(suite.Identities, id)
	}
}

func TestTenPoliciesAreChangedAndTwoRemoved(t *testing.T) {
	if os.Getenv("TIGHTROPE_TEST_ALL") == "" {
		t.Skip("TIGHTROPE_TEST_ALL is not set: fewer policies are changed and removed by other stories")
	}
	t.Parallel()
	s, ro, suite := newManyChanges(t)
	s.baseline = s.policies()
	h := s.record()
	s.beginWith(ro, suite)
	st := s.end()
	if st.Phase != v1alpha1.PhaseCommitted {
		t.Fatalf("ended %s: %s", st.Phase, st.Message)
	}
	if n := h.wantThreeStates(s.baseline, after(s.baseline, ro)); n.base == 0 || n.either == 0 || n.candidate == 0 {
		t.Errorf("the run went through %+v; want each of the three states", n)
	}
	s.wantAsRolledOut(ro)
	s.wantNothingLeft()
	rep := s.report()
	changed, removed := 0, 0
	for _, p := range rep.Policies {
		changed += one(p.Before != "" && p.SHA256 != "")
		removed += one(p.Before != "" && p.SHA256 == "")
	}
	if rep.Result != "Committed" || len(rep.Cuts) > 0 || changed != 10 || removed != 2 || len(rep.Policies) != 12 {
		t.Errorf("the report says %s, cuts %v, %d policies changed and %d removed of %d", rep.Result, rep.Cuts, changed, removed, len(rep.Policies))
	}
}

// wantAsRolledOut wants the policies to be the candidates, those that stay, and no other.
// One that was changed is the same object, with the labels and annotations it had.
func (s *story) wantAsRolledOut(ro *v1alpha1.PolicyRollout) {
	s.t.Helper()
	want := map[string]networkingv1.NetworkPolicySpec{}
	for _, p := range after(s.baseline, ro) {
		want[p.Key()] = p.Spec
	}
	before := map[string]networkingv1.NetworkPolicy{}
	for _, np := range s.baseline {
		before[keyOfPolicy(&np)] = np
	}
	for _, np := range s.policies() {
		key := keyOfPolicy(&np)
		was, known := before[key]
		if spec, ok := want[key]; !ok || plan.SumOf(np.Spec) != plan.SumOf(spec) {
			s.t.Errorf("policy %s is %+v, want %+v (%v)", key, np.Spec, spec, ok)
		}
		notes := maps.Clone(np.Annotations)
		delete(notes, v1alpha1.AnnotationCommittedBy)
		if known && (np.UID != was.UID || !maps.Equal(np.Labels, was.Labels) || !maps.Equal(notes, was.Annotations)) {
			s.t.Errorf("policy %s was %+v, is %+v", key, was.ObjectMeta, np.ObjectMeta)
		}
		delete(want, key)
	}
	for key := range want {
		s.t.Errorf("policy %s is missing", key)
	}
}

func TestTenChangesAreTakenBackFromEveryStep(t *testing.T) {
	for _, tt := range []struct {
		place  string
		broken bool // a path breaks there; else somebody aborts
	}{
		{"few", false}, {"observe", false}, {"shadow", false}, {"expand", false}, {"all", false}, {"commit", false},
		{"shadow", true}, {"few", true}, {"all", true},
	} {
		t.Run(fmt.Sprintf("%s, broken %v", tt.place, tt.broken), func(t *testing.T) {
			if os.Getenv("TIGHTROPE_TEST_ALL") == "" {
				t.Skip("TIGHTROPE_TEST_ALL is not set: fewer changes are taken back from every stage by other stories")
			}
			t.Parallel()
			s, ro, suite := newManyChanges(t)
			ctx, stop := context.WithTimeout(context.Background(), 2*patience) // nine of them run side by side, of fifty pods each
			t.Cleanup(stop)
			s.ctx = ctx
			for i := range ro.Spec.Stages {
				if ro.Spec.Stages[i].Name == tt.place {
					ro.Spec.Stages[i].MinDuration = metav1.Duration{Duration: time.Minute}
				}
			}
			s.baseline = s.policies()
			h := s.record()
			s.beginWith(ro, suite)
			s.settledAll(tt.place)
			cause := "Aborted"
			if tt.broken {
				cause = "Cut"
				s.breakPath()
			} else {
				s.abort()
			}
			st := s.end()
			if tt.place == "commit" && st.Phase == v1alpha1.PhaseCommitted { // the abort came after the commit point
				h.wantThreeStates(s.baseline, after(s.baseline, ro))
				s.wantAsRolledOut(ro)
				return
			}
			if st.Phase != v1alpha1.PhaseRolledBack || st.Cause != cause {
				t.Fatalf("ended %s, cause %s: %s", st.Phase, st.Cause, st.Message)
			}
			s.wantAsBefore()
			s.wantNothingLeft()
			// Before few, nothing of the run acts on a production pod: the policies that are there are the bridges.
			acts := !slices.Contains([]string{"observe", "shadow", "expand"}, tt.place)
			if n := h.wantThreeStates(s.baseline, after(s.baseline, ro)); (n.either+n.candidate > 0) != acts {
				t.Errorf("the run went through %+v", n)
			}
			s.report()
		})
	}
}

// breakPath makes what must work in one namespace fail for as long as a policy of the
// run selects its client.
func (s *story) breakPath() {
	s.c.plane.bend(s.run(), bend{force: func(from, _ *corev1.Pod, got probes.Outcome) probes.Outcome {
		if from.Labels["app"] == "client" && from.Namespace == s.ns && s.c.plane.isolated(from) {
			return probes.TimedOut
		}
		return got
	}})
}

// settledAll waits until every original is what a step makes of it.
func (s *story) settledAll(place string) {
	s.t.Helper()
	s.reach(place)
	if place == "observe" || place == "commit" {
		return
	}
	for _, was := range s.baseline {
		if was.Name == "stays" {
			continue
		}
		await(s.in(was.Namespace), &networkingv1.NetworkPolicyList{}, "the change of "+keyOfPolicy(&was), func(np *networkingv1.NetworkPolicy) bool {
			return np.Name == was.Name && np.Labels[v1alpha1.LabelOriginal] == s.run() && (place != "all" || inert(np))
		})
	}
}
