package operator

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/planner"
)

// Of as many paths as a suite may have, from so many identities to so many Services.
const (
	manySources  = 8
	manyServices = 16
)

// manyPaths is a suite of n paths with names of 120 characters, and the Services that
// they lead to. One path in sixteen must not work.
func (s *story) manyPaths(n int) *v1alpha1.ConnectivitySuite {
	s.t.Helper()
	for i := range manyServices {
		name := fmt.Sprintf("to%d", i)
		pod := s.pod(fmt.Sprintf("%s-%d", name, i), map[string]string{"app": name, "tier": "server"})
		s.create(&corev1.Service{ObjectMeta: s.meta(name), Spec: corev1.ServiceSpec{
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}}})
		slice := &discoveryv1.EndpointSlice{ObjectMeta: s.meta(name + "-x"), AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{pod.Status.PodIP}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: s.ns, Name: pod.Name}}},
			Ports:     []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}}}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
		s.create(slice)
	}
	suite := &v1alpha1.ConnectivitySuite{ObjectMeta: s.meta(s.ns)}
	for i := range manySources {
		suite.Spec.Identities = append(suite.Spec.Identities, v1alpha1.Identity{Name: fmt.Sprintf("from%d", i), Namespace: s.ns, Labels: map[string]string{"app": "client"}})
	}
	suite.Spec.Identities = append(suite.Spec.Identities, v1alpha1.Identity{Name: "other", Namespace: s.ns, Labels: map[string]string{"app": "other"}})
	for i := range n {
		path := v1alpha1.Path{Name: fmt.Sprintf("path %d →", i), From: fmt.Sprintf("from%d", i%manySources), Expect: v1alpha1.ExpectAllow,
			To: v1alpha1.Target{Service: v1alpha1.ServiceTarget{Namespace: s.ns, Name: fmt.Sprintf("to%d", i/manySources%manyServices), Port: 80}}}
		if i%16 == 0 {
			path.From, path.Expect = "other", v1alpha1.ExpectDeny
		}
		suite.Spec.Paths = append(suite.Spec.Paths, path)
	}
	longest(suite)
	return suite
}

// throughManyPaths rolls policies out that keep those paths.
func (s *story) throughManyPaths() *v1alpha1.PolicyRollout {
	ro := s.rollout([]v1alpha1.CandidatePolicy{s.policy("many", map[string]string{"tier": "server"}, networkingv1.PolicyTypeIngress, "client", 8080)})
	ro.Spec.Analysis.Interval = metav1.Duration{Duration: time.Second}
	ro.Spec.InconclusiveDeadline = metav1.Duration{Duration: 2 * time.Minute}
	return ro
}

// A rollout may have as many paths as a suite: each is proved in every stage, and the
// evidence and the report of all of them are stored, and verified.
func TestARolloutOfAsManyPathsAsASuiteHas(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	n, ro := 64, s.throughManyPaths()
	if os.Getenv("TIGHTROPE_TEST_ALL") != "" {
		n = planner.MaxPaths
		ro.Spec.Analysis.Interval = metav1.Duration{Duration: 2 * time.Second} // more often is refused: each attempt by name is a question to the name servers
	}
	suite := s.manyPaths(n)
	s.beginWith(ro, suite)
	rep := s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	held := map[string]bool{}
	for _, p := range rep.Paths {
		if held[p.Name] = true; p.Finding != "Holds" || len([]rune(p.Name)) != 120 {
			t.Errorf("%s by %s: %s (%s)", p.Name, p.Via, p.Finding, p.Note)
		}
	}
	if len(held) != n {
		t.Errorf("the report tells of %d paths, want %d", len(held), n)
	}
}

// More than that are refused by their number, before anything is done.
func TestMorePathsThanThatAreRefused(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	suite := s.manyPaths(planner.MaxPaths)
	more := s.suite()
	more.Name, more.Spec.Identities, more.Spec.Paths = "more", more.Spec.Identities[:1], more.Spec.Paths[:1]
	s.create(more)
	ro := s.throughManyPaths()
	ro.Spec.Suites = append(ro.Spec.Suites, v1alpha1.SuiteRef{Name: "more"})
	s.beginWith(ro, suite)
	st := s.end()
	if st.Phase != v1alpha1.PhaseRefused || !strings.Contains(st.Message, "the suites have 2049 paths, and a rollout tests at most 2048") {
		t.Errorf("ended %s: %s", st.Phase, st.Message)
	}
	suite = suite.DeepCopy()
	suite.ObjectMeta = s.meta("larger")
	suite.Spec.Paths = append(suite.Spec.Paths, more.Spec.Paths...)
	if err := s.c.client.Create(s.ctx, suite); err == nil || !strings.Contains(err.Error(), "spec.paths: Too many: 2049: must have at most 2048 items") {
		t.Errorf("a suite of 2,049 paths: %v", err)
	}
	suite.Spec.Paths = suite.Spec.Paths[:1]
	suite.Spec.Paths[0].Name += "→"
	if err := s.c.client.Create(s.ctx, suite); err == nil || !strings.Contains(err.Error(), "spec.paths[0].name: Too long: may not be more than 120") {
		t.Errorf("a name of 121 characters: %v", err)
	}
}
