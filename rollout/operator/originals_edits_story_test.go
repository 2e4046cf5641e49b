package operator

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// whoHolds is a rollout of a change that stays for long in the stage of that number,
// once it has come there.
func whoHolds(t *testing.T, stage int, place string) *story {
	t.Helper()
	s, ro := newChange(t)
	ro.Spec.Stages[stage].MinDuration = metav1.Duration{Duration: time.Minute}
	s.begin(ro)
	s.settled(place)
	return s
}

// The owner of a policy applies what he always applied, while it selects no pod.
func TestApplyingAnOriginalAnewIsNoChange(t *testing.T) {
	t.Parallel()
	s, ro := newChange(t)
	ro.Spec.Stages[3].MinDuration = metav1.Duration{Duration: 3 * time.Second}
	s.begin(ro)
	s.settled("all")
	was := s.baselineOf("server-ingress")
	manifest, err := json.Marshal(networkingv1.NetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: was.Namespace, Name: was.Name, Labels: was.Labels}, Spec: was.Spec})
	s.must(err)
	there := s.policyNamed("server-ingress")
	there.TypeMeta = metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}
	live, err := json.Marshal(there)
	s.must(err)
	schema, err := strategicpatch.NewPatchMetaFromStruct(networkingv1.NetworkPolicy{})
	s.must(err)
	patch, err := strategicpatch.CreateThreeWayMergePatch(manifest, manifest, live, schema, true)
	if err != nil || string(patch) != "{}" {
		t.Errorf("kubectl apply would send %s (%v), want nothing", patch, err)
	}
	if st := s.end(); st.Phase != v1alpha1.PhaseCommitted {
		t.Errorf("ended %s: %s", st.Phase, st.Message)
	}
}

// Somebody changes the rules of a policy, and leaves what the run made of its selector.
func TestAnEditOfTheRulesOfAnOriginalStaysAndOpensNothing(t *testing.T) {
	for i, place := range []string{"few", "all"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := whoHolds(t, i+2, place)
			h := s.record()
			s.edit("server-ingress", func(np *networkingv1.NetworkPolicy) {
				np.Spec.Ingress = append(np.Spec.Ingress, s.policy("", nil, networkingv1.PolicyTypeIngress, "client", 9090).Spec.Ingress...)
			})
			st := s.end()
			if st.Phase != v1alpha1.PhaseRolledBack || st.Cause != "Foreign" || !strings.Contains(st.Message, "/server-ingress was changed") {
				t.Errorf("ended %s (%s): %s", st.Phase, st.Cause, st.Message)
			}
			np := s.policyNamed("server-ingress")
			if len(np.Spec.Ingress) != 3 || plan.SumOf(np.Spec.PodSelector) != plan.SumOf(s.baselineOf("server-ingress").Spec.PodSelector) || np.Labels[v1alpha1.LabelOriginal] != "" {
				t.Errorf("it is %+v, labels %v; want the edit, and nothing of the run", np.Spec, np.Labels)
			}
			for _, m := range h.worlds() {
				for name := range m.labels {
					if strings.HasPrefix(name, s.ns+"/server") && !strings.Contains(h.reaches(m.policies, m.labels, name, networkingv1.PolicyTypeIngress), "D") {
						t.Errorf("pod %s is open to all after %s", name, m.why)
					}
				}
			}
		})
	}
}

// What happens to an original while no controller runs is seen by the next one.
func TestAnOriginalThatChangesWhileNobodyLooks(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *story)
		says   string
	}{
		"made again": {func(s *story) {
			s.must(s.c.client.Delete(s.ctx, s.policyNamed("legacy")))
			s.byHand("legacy", s.baselineOf("legacy").Spec)
		}, "/legacy was deleted and made again"},
		"changed back": {func(s *story) {
			s.edit("legacy", func(np *networkingv1.NetworkPolicy) { np.Spec = s.baselineOf("legacy").Spec })
		}, "/legacy, which this run changes, was changed back by"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := whoHolds(t, 3, "all")
			await(s, &networkingv1.NetworkPolicyList{}, "the change of legacy", func(np *networkingv1.NetworkPolicy) bool { return np.Name == "legacy" && inert(np) })
			s.stopOperator()
			tt.change(s)
			s.operate()
			st := s.end()
			if st.Phase != v1alpha1.PhaseRolledBack || st.Cause != "Foreign" || !strings.Contains(st.Message, tt.says) {
				t.Errorf("ended %s (%s): %s", st.Phase, st.Cause, st.Message)
			}
			if np := s.policyNamed("legacy"); plan.SumOf(np.Spec) != plan.SumOf(s.baselineOf("legacy").Spec) {
				t.Errorf("legacy is %+v", np.Spec)
			}
		})
	}
}

// Somebody takes one of the two marks off a policy that is to go. It goes all the same.
func TestAMarkThatIsTakenOffAnOriginalHindersNothing(t *testing.T) {
	for mark, off := range map[string]func(*networkingv1.NetworkPolicy){
		"label":      func(np *networkingv1.NetworkPolicy) { delete(np.Labels, v1alpha1.LabelOriginal) },
		"annotation": func(np *networkingv1.NetworkPolicy) { delete(np.Annotations, v1alpha1.AnnotationOriginal) },
	} {
		t.Run(mark, func(t *testing.T) {
			t.Parallel()
			s := aTenant(t, 36)
			ro := s.change()
			ro.Spec.ServiceAccountName = deploy.TenantAccount
			pin(ro, s.suite())
			s.begin(ro)
			s.reach("Committing")
			s.edit("legacy", off)
			if st := s.end(); st.Phase != v1alpha1.PhaseCommitted {
				t.Errorf("ended %s: %s", st.Phase, st.Message)
			}
			for _, np := range s.policies() {
				if np.Name == "legacy" || np.Labels[v1alpha1.LabelOriginal] != "" || np.Annotations[v1alpha1.AnnotationOriginal] != "" {
					t.Errorf("policy %s is left: %+v", np.Name, np.ObjectMeta)
				}
			}
			s.wantNothingLeft()
		})
	}
}

// A policy of the same rules whose lists are in another order is no change.
func TestAPolicyThatSaysTheSameIsInPlace(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	both := s.good()
	for i := range both {
		both[i].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
		spec := *both[i].Spec.DeepCopy()
		slices.Reverse(spec.PolicyTypes)
		s.byHand(both[i].Name, spec)
	}
	s.begin(s.rollout(both))
	if st := s.end(); st.Cause != "InPlace" {
		t.Errorf("ended %s (%s): %s", st.Phase, st.Cause, st.Message)
	}
}

// An annotation is anybody's to write: one that speaks of another's run, on a policy
// where that run never wrote, is not looked at.
func TestANoteElsewhereIsNotSettled(t *testing.T) {
	p := aPlan()
	forged := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "evil", UID: "e"}}
	x := (&Original{UID: "e"}).wish(0, p.key())
	x.have = forged
	noted := x.noted()
	noted.Finalizers = []string{"evil.example/never"}
	b := newBench(t, noted)
	digest, err := savePlan(t.Context(), b.Write, b.Live, p)
	b.must(err)
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: p.Run, UID: p.RunUID}}
	run.Status.Phase, run.Status.PlanDigest = v1alpha1.PhaseCommitted, digest
	left, err := b.settleOriginals(t.Context(), run, b.look())
	if err != nil || left != 0 {
		t.Errorf("%d are left, %v; want it passed over", left, err)
	}
	var now networkingv1.NetworkPolicy
	b.must(b.Live.Get(t.Context(), types.NamespacedName{Namespace: "elsewhere", Name: "evil"}, &now))
	if now.Annotations[v1alpha1.AnnotationOriginal] == "" {
		t.Error("it was written to")
	}
}
