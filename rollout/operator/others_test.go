package operator

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// A path that policies of others alone deny is no cut and does not hold: what they did
// is named. What the candidates deny as well, or alone, stays a cut.
func TestWhatOthersDenyIsNotBlamedOnTheCandidates(t *testing.T) {
	const in, out = networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress
	client, server := types.NamespacedName{Namespace: "a", Name: "client"}, types.NamespacedName{Namespace: "b", Name: "server"}
	allows := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{out}, Egress: []networkingv1.NetworkPolicyEgressRule{{}}}
	nobody := networkingv1.NetworkPolicySpec{PodSelector: rollout.MatchNothing()}
	denies := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{in, out}}
	policy := func(namespace, name string, spec networkingv1.NetworkPolicySpec) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
	}
	for _, tt := range []struct {
		name      string
		candidate networkingv1.NetworkPolicySpec
		planned   []plan.Policy // with which the run was planned
		there     []*networkingv1.NetworkPolicy
		foreign   string // what is said that others did
		cut       bool
	}{
		{name: "the candidate denies it", candidate: denies, cut: true},
		{name: "somebody isolates the source, which the candidate has let go", candidate: nobody, there: []*networkingv1.NetworkPolicy{policy("a", "isolated", denies)},
			foreign: "policy a/isolated appeared while the rollout was under way"},
		{name: "somebody isolates the source, and the candidate denies it too", candidate: denies,
			there: []*networkingv1.NetworkPolicy{policy("a", "isolated", denies)}, cut: true},
		{name: "somebody changes a policy", candidate: nobody, planned: []plan.Policy{{Namespace: "a", Name: "there", Spec: allows}},
			there: []*networkingv1.NetworkPolicy{policy("a", "there", denies)}, foreign: "policy a/there was changed"},
		{name: "somebody deletes the policy that let it through", candidate: nobody,
			planned: []plan.Policy{{Namespace: "a", Name: "deny", Spec: denies}, {Namespace: "a", Name: "broad", Spec: allows}},
			there:   []*networkingv1.NetworkPolicy{policy("a", "deny", denies)}, foreign: "policy a/broad was deleted"},
		{name: "a policy denies it where the run writes nothing", candidate: allows, there: []*networkingv1.NetworkPolicy{policy("b", "isolated", denies)},
			foreign: "a namespace that the rollout does not write to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := aPlan()
			p.Interval, p.Timeout = time.Second, time.Second
			p.Bridges, p.Baseline, p.Candidates[0].Spec = nil, tt.planned, tt.candidate
			p.Identities = []v1alpha1.Identity{{Name: "client", Namespace: "a"}}
			p.Paths = []plan.Path{{WitnessPath: -1, Path: v1alpha1.Path{Name: "p", From: "client", Expect: v1alpha1.ExpectAllow, Via: []v1alpha1.Via{v1alpha1.ViaPodIP},
				To: v1alpha1.Target{Service: v1alpha1.ServiceTarget{Namespace: "b", Name: "server", Port: 8080}}}}}
			b := newBench(t, aReadyPod(client, "10.0.0.1"), aReadyPod(server, "10.0.0.2"),
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "b"}})
			b.must(b.apply(t.Context(), b.Write, b.look().absent(p.candidateWishes(rollout.Live))))
			for _, np := range tt.there {
				b.must(b.api.Create(t.Context(), np))
			}
			s := newSession(t.Context(), func() {})
			defer s.close()
			s.plan = p
			s.record.begin(p, time.Now())
			seen := s.look(b.look(), rollout.Everyone, time.Now())
			seen.settled = true
			seen.see(sight{from: client, route: route{via: v1alpha1.ViaPodIP, target: server, address: "10.0.0.2", port: 8080}})
			seen.fails(99)

			j := seen.judge()[cell{0, v1alpha1.ViaPodIP}]
			if (j.cut != nil) != tt.cut || j.proved || j.holds || tt.foreign != "" && !strings.Contains(j.note, "of others") {
				t.Errorf("cut %v, proved %v, note %q", j.cut != nil, j.proved, j.note)
			}
			for _, last := range []probes.Outcome{probes.TimedOut, probes.Reached} { // the newest attempt may be older than the policy
				seen.sights[0].state.Last = last
				seen.judge()
				b := seen.looked(nil, "", "").Checks[0].Blame
				if b == nil {
					b = &evidence.Blame{}
				}
				if !strings.Contains(b.Foreign, tt.foreign) || (b.Foreign == "") != (tt.foreign == "") || tt.foreign != "" && !strings.Contains(b.Rule, "no rule allows") {
					t.Errorf("after %s: %+v, want %q", last, b, tt.foreign)
				}
			}
		})
	}
}

func aReadyPod(name types.NamespacedName, ip string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}, Status: corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}}
}
