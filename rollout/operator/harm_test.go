package operator

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// bereft is a run that was widened after somebody deleted the policy "broad", by
// which alone the client got through to the server before. What is there now lets
// it through: the candidate. said is what the client's probe pod reports.
func bereft(t *testing.T, said *probes.Count) (bench, *session) {
	t.Helper()
	pod := func(name, ip string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": name}}, Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		}}
	}
	lets := func(pods map[string]string, peers ...networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicySpec {
		spec := networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: pods}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}
		if len(peers) > 0 {
			spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers}}
		}
		return spec
	}
	server := map[string]string{"app": "server"}
	fromClient := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "client"}}}
	deny := verdict.Policy{Namespace: "a", Name: "deny", Spec: lets(server)}
	broad := verdict.Policy{Namespace: "a", Name: "broad", Spec: lets(server, fromClient)}
	p := aPlan()
	p.Interval, p.Timeout = time.Second, time.Second
	p.Bridges, p.Baseline = nil, []plan.Policy{plan.Policy(broad), plan.Policy(deny)}
	p.Candidates[0].Spec = lets(server, fromClient)
	p.Identities = []v1alpha1.Identity{{Name: "client", Namespace: "a", Labels: map[string]string{"app": "client"}}}
	to := v1alpha1.ServiceTarget{Namespace: "a", Name: "server", Port: 8080}
	p.Paths = []plan.Path{{WitnessPath: -1, Path: v1alpha1.Path{Name: "client to server", From: "client", Expect: v1alpha1.ExpectAllow,
		Via: []v1alpha1.Via{v1alpha1.ViaPodIP}, To: v1alpha1.Target{Service: to}}}}
	p.Steps = []rollout.StepPlan{{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
	b := newBench(t, pod("client", "10.0.0.1"), pod("server", "10.0.0.2"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "server"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 8080}}}},
		&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "server-x", Labels: map[string]string{discoveryv1.LabelServiceName: "server"}},
			Ports:     []discoveryv1.EndpointPort{{Name: ptr.To(""), Port: ptr.To[int32](8080)}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.2"}, TargetRef: &corev1.ObjectReference{Namespace: "a", Name: "server"}}}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "deny"}, Spec: deny.Spec})
	b.must(b.apply(t.Context(), b.Write, b.look().absent(p.candidateWishes(rollout.Live))))
	s := newSession(t.Context(), func() {})
	s.plan = p
	s.record.begin(p, time.Now())
	if said == nil {
		return b, s
	}
	now, name := time.Now(), types.NamespacedName{Namespace: "a", Name: "client"}
	said.ID, said.Newest = "p0/server", now
	r := route{via: v1alpha1.ViaPodIP, target: client.ObjectKey{Namespace: "a", Name: "server"}, address: "10.0.0.2", port: 8080, protocol: "TCP"}
	spec := agentSpec{name: name, routes: map[string]route{said.ID: r}}
	s.listen(mute{}, []agentSpec{spec})
	t.Cleanup(s.close)
	s.pods.Hear(name, probes.Line{Digest: spec.plan.Digest(), Seq: 1, Boot: "b", From: now, To: now, Counts: []probes.Count{*said}}, now)
	return b, s
}

// A path that the policies of ours alone let through may not be cut because its
// target restarts, or because nobody is heard, while the run weighs to clear.
func TestClearingWaitsForMoreThanAFailure(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name string
		said *probes.Count
		harm bool
	}{
		{"it works", &probes.Count{Last: probes.Reached, Outcomes: map[probes.Outcome]int{probes.Reached: 9}, Streak: 9, Since: now}, true},
		{"its newest attempts failed", &probes.Count{Last: probes.TimedOut, Outcomes: map[probes.Outcome]int{probes.TimedOut: 9}, Streak: 9, Since: now.Add(-2 * time.Second)}, true},
		{"nobody is heard", nil, true},
		{"it does not work, and has not for long", &probes.Count{Last: probes.TimedOut, Outcomes: map[probes.Outcome]int{probes.TimedOut: 9}, Streak: 99, Since: now.Add(-2 * recoverDeadline)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, s := bereft(t, tt.said)
			if harm := s.harmOfClearing(b.look()); (harm != "") != tt.harm {
				t.Errorf("harm of clearing: %q, want some: %v", harm, tt.harm)
			}
			s.acceptCuts = []string{"client to server"}
			if harm := s.harmOfClearing(b.look()); harm != "" {
				t.Errorf("harm of clearing: %q, although somebody accepted the cut", harm)
			}
		})
	}
}

// Somebody isolates the client while everything that let it through before is there:
// not clearing cuts it off, but that policy, whether or not a bridge still opens the
// probe pod. What somebody took away is no less missed for it.
func TestWhatAForeignIsolationDeniesIsNoHarmOfClearing(t *testing.T) {
	reached := func() *probes.Count {
		return &probes.Count{Last: probes.Reached, Outcomes: map[probes.Outcome]int{probes.Reached: 9}, Streak: 9, Since: time.Now()}
	}
	for _, tt := range []struct {
		name string
		said *probes.Count
		back bool // the policy that the path rested on is there
		harm bool
	}{
		{"isolated alone", reached(), true, false},
		{"isolated alone, and nobody is heard", nil, true, false},
		{"isolated, and the policy is gone too", reached(), false, true},
		{"isolated, the policy is gone too, and nobody is heard", nil, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, s := bereft(t, tt.said)
			s.plan.Bridges = []plan.Bridge{{Bridge: rollout.Bridge{Namespace: "a", Direction: networkingv1.PolicyTypeEgress}, Object: theBridge}}
			b.must(b.apply(t.Context(), b.Write, b.look().absent(s.plan.wideWishes(rollout.Bridged))))
			if tt.back {
				b.must(b.api.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "broad"}, Spec: s.plan.Baseline[0].Spec}))
			}
			b.must(b.api.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "isolated"},
				Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "client"}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}))
			if harm := s.harmOfClearing(b.look()); (harm != "") != tt.harm {
				t.Errorf("harm of clearing: %q, want some: %v", harm, tt.harm)
			}
		})
	}
}
