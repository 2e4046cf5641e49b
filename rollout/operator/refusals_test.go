package operator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// TestPreflightRefusesInOneSentence plays the good rollout with one mistake each.
func TestPreflightRefusesInOneSentence(t *testing.T) {
	wantRefused(t, []refusalCase{
		{"a suite that is not there", func(_ *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.Suites[0].Name = "nope"
		}, "suite NS/nope does not exist: create it in the rollout's namespace"},
		{"an unknown identity", func(_ *story, _ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) {
			suite.Spec.Paths[0].From = "stranger"
		}, `path "client to server" is from identity "stranger", which no suite declares`},
		{"an identity in no namespace", func(_ *story, _ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) {
			suite.Spec.Identities[0].Namespace = "nowhere"
		}, `identity "client" lives in namespace "nowhere", which does not exist`},
		{"a Service that is not there", func(_ *story, _ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) {
			suite.Spec.Paths[0].To.Service.Name = "nope"
		}, `path "client to server" leads to Service NS/nope, which does not exist`},
		{"the container's port", func(_ *story, _ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) {
			suite.Spec.Paths[0].To.Service.Port = 8080
		}, "leads to port 8080/TCP of Service NS/server, which has no such port (name the Service's port, not the container's)"},
		{"a Service without pods", func(s *story, _ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) {
			s.create(&corev1.Service{ObjectMeta: s.meta("empty"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
			suite.Spec.Paths[0].To.Service.Name = "empty"
		}, "leads to Service NS/empty, which has no ready pod behind it"},
		{"a protected namespace", func(s *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.ProtectedNamespaces = []string{s.ns}
		}, "policy NS/client-egress is in namespace NS, which is protected"},
		{"a namespace that always is protected", func(_ *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.Policies.Inline[0].Namespace = "kube-system"
		}, "policy kube-system/client-egress is in namespace kube-system, which is protected"},
		{"no stage that enforces", func(_ *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.Stages = ro.Spec.Stages[:3]
		}, "no stage has mode Enforce"},
		{"a policy that the API server refuses", func(_ *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.Policies.Inline[0].Spec.PodSelector.MatchLabels["app"] = "no label value"
		}, "policy NS/client-egress: the API server refuses it"},
		{"a policy that is there twice", func(_ *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.Policies.Inline = append(ro.Spec.Policies.Inline, ro.Spec.Policies.Inline[0])
		}, "policy NS/client-egress is in the rollout twice"},
		{"a forbidden path without a possible witness", func(_ *story, _ *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite) {
			suite.Spec.Paths = suite.Spec.Paths[1:]
		}, `path "other to server" must not work, and nobody could show that its target is alive`},
		{"a ConfigMap that is not there", func(_ *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.Policies = v1alpha1.PolicySource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "nope"}}
		}, "ConfigMap NS/nope with the policies does not exist"},
		{"a ConfigMap with a misspelt field", func(s *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			s.create(&corev1.ConfigMap{ObjectMeta: s.meta("policies"), Data: map[string]string{"a.yaml": misspelt}})
			ro.Spec.Policies = v1alpha1.PolicySource{ConfigMapRef: &v1alpha1.ConfigMapRef{Name: "policies"}}
		}, `ConfigMap NS/policies, key a.yaml, document 1: not a NetworkPolicy: error unmarshaling JSON: while decoding JSON: json: unknown field "podSelektor"`},
		{"a budget that is no number", func(_ *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.Analysis.FalseRollbackBudget = "often"
		}, `analysis.falseRollbackBudget is "often"`},
	})
}

// What is wrong with a change of policies that are there.
func TestPreflightRefusesChangesThatWouldNotHold(t *testing.T) {
	wantRefused(t, []refusalCase{
		{"an existing policy that a tool applies", func(s *story, _ *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			old := s.policy("client-egress", map[string]string{"app": "client"}, networkingv1.PolicyTypeEgress, "server", 1)
			np := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("client-egress"), Spec: old.Spec}
			np.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "ai:networking.k8s.io/NetworkPolicy:NS/client-egress"}
			s.create(np)
		}, "policy NS/client-egress is there and would be changed, and Argo CD (annotation argocd.argoproj.io/tracking-id) applies it"},
		{"pods that would not be isolated any more", func(s *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			old := s.policy("other-egress", map[string]string{"app": "other"}, networkingv1.PolicyTypeEgress, "server", 8080)
			s.create(&networkingv1.NetworkPolicy{ObjectMeta: s.meta("other-egress"), Spec: old.Spec})
			ro.Spec.Policies.Remove = []v1alpha1.PolicyRef{{Namespace: s.ns, Name: "other-egress"}}
		}, "policy NS/other-egress goes, and pods with labels {app=other} would not be isolated for egress any more"},
		{"a policy that is to come and to go", func(s *story, ro *v1alpha1.PolicyRollout, _ *v1alpha1.ConnectivitySuite) {
			ro.Spec.Policies.Remove = []v1alpha1.PolicyRef{{Namespace: s.ns, Name: "client-egress"}}
		}, "policy NS/client-egress is in spec.policies.remove, and in the rollout a second time"},
	})
}

// refusalCase is what somebody got wrong, and what preflight says of it.
type refusalCase struct {
	name string
	edit func(*story, *v1alpha1.PolicyRollout, *v1alpha1.ConnectivitySuite)
	want string // NS stands for the namespace
}

func wantRefused(t *testing.T, cases []refusalCase) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			ro, suite := s.rollout(s.good()), s.suite()
			tt.edit(s, ro, suite)
			s.beginWith(ro, suite)
			st := s.end()
			if want := strings.ReplaceAll(tt.want, "NS", s.ns); st.Phase != v1alpha1.PhaseRefused || st.Result != "Refused" || !strings.Contains(st.Message, want) {
				t.Errorf("ended %s: %q\nwant Refused: %q", st.Phase, st.Message, want)
			}
			s.wantPolicies(false)
			s.wantNothingLeft()
			s.wantForeseen(ro, suite, strings.ReplaceAll(tt.want, "NS", s.ns))
		})
	}
}

// wantForeseen wants that the same is said, in the same words, of the same cluster before
// anything of the rollout is applied. What the API server refuses is not looked at.
func (s *story) wantForeseen(ro *v1alpha1.PolicyRollout, suite *v1alpha1.ConnectivitySuite, want string) {
	s.t.Helper()
	var (
		namespaces corev1.NamespaceList
		policies   networkingv1.NetworkPolicyList
		pods       corev1.PodList
		services   corev1.ServiceList
		endpoints  discoveryv1.EndpointSliceList
		maps       corev1.ConfigMapList
	)
	if err := s.c.client.List(s.ctx, &namespaces); err != nil {
		s.t.Fatal(err)
	}
	for _, l := range []client.ObjectList{&policies, &pods, &services, &endpoints, &maps} {
		if err := s.c.client.List(s.ctx, l, client.InNamespace(s.ns)); err != nil {
			s.t.Fatal(err)
		}
	}
	got, err := Foresee(s.ctx, s.c.config, Cluster{namespaces.Items, policies.Items, pods.Items, services.Items, endpoints.Items},
		Made{Rollout: ro, Suites: []v1alpha1.ConnectivitySuite{*suite}, ConfigMaps: maps.Items}, true)
	if err != nil {
		s.t.Fatal(err)
	}
	if strings.Contains(want, "the API server refuses") {
		return
	}
	if !slices.ContainsFunc(got.Refused, func(why string) bool { return strings.Contains(why, want) }) {
		s.t.Errorf("foreseen %+v\nwant %q", got, want)
	}
}

// A rollout that is applied again when its policies are in force stays green, and
// does not claim that anything was tested.
func TestARolloutInPlaceIsReady(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	for _, c := range s.good() {
		np := &networkingv1.NetworkPolicy{ObjectMeta: s.meta(c.Name), Spec: c.Spec}
		s.create(np)
		s.baseline = append(s.baseline, *np)
	}
	s.begin(s.rollout(s.good()))
	st := s.end()
	if st.Phase != v1alpha1.PhaseCommitted || st.Cause != "InPlace" || st.Result != "InPlace" || !strings.Contains(st.Message, "nothing was tested") {
		t.Errorf("ended %s, cause %q, result %q: %s", st.Phase, st.Cause, st.Result, st.Message)
	}
	ro := await(s, &v1alpha1.PolicyRolloutList{}, "the rollout's summary", func(ro *v1alpha1.PolicyRollout) bool { return ro.Status.Phase == v1alpha1.PhaseCommitted })
	if !meta.IsStatusConditionTrue(ro.Status.Conditions, "Ready") || meta.IsStatusConditionTrue(ro.Status.Conditions, "Stalled") {
		t.Errorf("conditions %+v, want Ready and not Stalled", ro.Status.Conditions)
	}
	s.wantNothingLeft()
}

const misspelt = `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {namespace: a, name: b}, spec: {podSelektor: {}}}`

func TestANamespaceHasOneRunAtATime(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	dead := runKey{Name: "gone-1", UID: "gone"} // whose controller and run are no more
	s.create(claimOf(dead, s.ns))
	s.begin(s.rollout(s.good()))
	s.reach("shadow")
	var claim corev1.ConfigMap
	s.must(s.c.client.Get(s.ctx, client.ObjectKey{Namespace: s.ns, Name: plan.ClaimName}, &claim))
	if claim.Data["run"] != s.run() {
		t.Errorf("the namespace is claimed by %q, want %s", claim.Data["run"], s.run())
	}
	second := s.rollout(s.good())
	second.ObjectMeta = metav1.ObjectMeta{Namespace: s.ns, Name: s.ns + "-second"}
	s.create(second)
	run := await(s, &v1alpha1.PolicyRolloutRunList{}, "the second run's end", func(run *v1alpha1.PolicyRolloutRun) bool {
		return run.Name == RunName(second.Name, second.UID, 1, firstAttempt) && run.Status.Phase.Terminal()
	})
	want := fmt.Sprintf("namespace %s is claimed by run %s/%s", s.ns, s.ns, s.run())
	if run.Status.Phase != v1alpha1.PhaseRefused || !strings.Contains(run.Status.Message, want) {
		t.Errorf("the second run ended %s; want Refused: %s", describe(run), want)
	}
	s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	s.wantNothingLeft()
}
