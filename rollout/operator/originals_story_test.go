package operator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// newChange is a namespace with policies that somebody wrote by hand, and a rollout
// that changes one of them, removes another, and adds one.
func newChange(t *testing.T) (*story, *v1alpha1.PolicyRollout) {
	t.Helper()
	s := newStory(t)
	return s, s.change()
}

// change puts those policies into the story's namespace.
func (s *story) change() *v1alpha1.PolicyRollout {
	s.t.Helper()
	server := map[string]string{"app": "server"}
	broad := s.policy("server-ingress", server, networkingv1.PolicyTypeIngress, "client", 8080).Spec
	broad.Ingress = append(broad.Ingress, s.policy("", server, networkingv1.PolicyTypeIngress, "other", 8080).Spec.Ingress...)
	s.byHand("server-ingress", broad)
	legacy := s.policy("", map[string]string{"app": "client"}, networkingv1.PolicyTypeEgress, "server", 8080).Spec
	legacy.Egress = append(legacy.Egress, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}}}})
	s.byHand("legacy", legacy)
	s.byHand("stays", s.policy("", map[string]string{"app": "other"}, networkingv1.PolicyTypeIngress, "client", 9090).Spec)
	ro := s.rollout(s.good())
	ro.Spec.Policies.Remove = []v1alpha1.PolicyRef{{Namespace: s.ns, Name: "legacy"}}
	return ro
}

// byHand makes a policy as people do, with labels and annotations of theirs.
func (s *story) byHand(name string, spec networkingv1.NetworkPolicySpec) {
	s.t.Helper()
	np := &networkingv1.NetworkPolicy{ObjectMeta: s.meta(name), Spec: spec}
	np.Labels, np.Annotations = map[string]string{"team": "ai"}, map[string]string{"note": "written by hand"}
	if err := s.c.client.Create(s.ctx, np, client.FieldOwner("kubectl-create")); err != nil {
		s.t.Fatal(err)
	}
}

// wantAsBefore wants the policies of the namespace to be those that were there, down
// to labels, annotations and the owners of their fields.
func (s *story) wantAsBefore() {
	s.t.Helper()
	now := map[string]networkingv1.NetworkPolicy{}
	for _, np := range s.policies() {
		now[keyOfPolicy(&np)] = np
	}
	for _, was := range s.baseline {
		is, ok := now[keyOfPolicy(&was)]
		if !ok {
			s.t.Errorf("policy %s is gone", keyOfPolicy(&was))
			continue
		}
		if is.UID != was.UID || plan.SumOf(is.Spec) != plan.SumOf(was.Spec) || !maps.Equal(is.Labels, was.Labels) || !maps.Equal(is.Annotations, was.Annotations) {
			s.t.Errorf("policy %s is %+v, was %+v", keyOfPolicy(&was), is, was)
		}
		if a, b := owners(&is), owners(&was); a != b {
			s.t.Errorf("the fields of policy %s are of %s, were of %s", keyOfPolicy(&was), a, b)
		}
		delete(now, keyOfPolicy(&was))
	}
	for name := range now {
		s.t.Errorf("policy %s is left", name)
	}
}

func owners(np *networkingv1.NetworkPolicy) string {
	var all []string
	for _, f := range np.ManagedFields {
		all = append(all, fmt.Sprintf("%s %s", f.Manager, f.FieldsV1.GetRawString()))
	}
	return strings.Join(all, "; ")
}

func TestPoliciesThatAreThereAreChangedAndRemoved(t *testing.T) {
	t.Run("by an administrator", func(t *testing.T) {
		t.Parallel()
		s, ro := newChange(t)
		s.wantChanged(ro)
	})
	t.Run("by a tenant", func(t *testing.T) {
		t.Parallel()
		s := aTenant(t, 36)
		ro := s.change()
		ro.Spec.ServiceAccountName = deploy.TenantAccount
		pin(ro, s.suite())
		s.wantChanged(ro)
	})
}

// wantChanged plays a rollout that changes policies, and wants it to commit.
func (s *story) wantChanged(ro *v1alpha1.PolicyRollout) {
	t := s.t
	t.Helper()
	h := s.record()
	s.begin(ro)
	st := s.end()
	if st.Phase != v1alpha1.PhaseCommitted {
		t.Fatalf("ended %s: %s", st.Phase, st.Message)
	}
	h.wantThreeStates(s.baseline, after(s.baseline, ro))
	var names []string
	for _, np := range s.policies() {
		names = append(names, np.Name)
		if np.Labels[v1alpha1.LabelOriginal] != "" || np.Annotations[v1alpha1.AnnotationOriginal] != "" {
			t.Errorf("policy %s still carries what the run wrote on it: %v %v", np.Name, np.Labels, np.Annotations)
		}
	}
	if want := []string{"client-egress", "server-ingress", "stays"}; !slices.Equal(names, want) {
		t.Errorf("policies %v, want %v", names, want)
	}
	changed := s.policyNamed("server-ingress")
	for _, was := range s.baseline {
		if was.Name == "server-ingress" && was.UID != changed.UID {
			t.Error("the policy was replaced by another object, not changed")
		}
	}
	if changed.Labels["team"] != "ai" || changed.Annotations["note"] == "" || changed.Annotations[v1alpha1.AnnotationCommittedBy] != s.run() {
		t.Errorf("labels %v, annotations %v", changed.Labels, changed.Annotations)
	}
	if plan.SumOf(changed.Spec) != plan.SumOf(verdict.Defaulted(ro.Spec.Policies.Inline[1].Spec)) {
		t.Errorf("spec %+v", changed.Spec)
	}
	s.wantNothingLeft()
	rep := s.report()
	if rep.Result != "Committed" || len(rep.Cuts) > 0 {
		t.Errorf("the report says %s, cuts %v", rep.Result, rep.Cuts)
	}
	var told []string
	for _, p := range rep.Policies {
		told = append(told, fmt.Sprintf("%s was %v is %v", strings.TrimPrefix(p.Name, s.ns+"/"), p.Before != "", p.SHA256 != ""))
	}
	if want := []string{"client-egress was false is true", "server-ingress was true is true", "legacy was true is false"}; !slices.Equal(told, want) {
		t.Errorf("the report tells %q, want %q", told, want)
	}
}

func TestAChangeIsTakenBackFromEveryStage(t *testing.T) {
	for i, place := range []string{"observe", "shadow", "few", "all"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s, ro := newChange(t)
			if place == "few" { // with the controller's own rights, too
				s = aTenant(t, 36)
				ro = s.change()
				ro.Spec.ServiceAccountName = deploy.TenantAccount
				pin(ro, s.suite())
			}
			ro.Spec.Stages[i].MinDuration = metav1.Duration{Duration: time.Minute}
			h := s.record()
			s.begin(ro)
			s.settled(place)
			s.abort()
			if st := s.end(); st.Phase != v1alpha1.PhaseRolledBack {
				t.Fatalf("ended %s: %s", st.Phase, st.Message)
			}
			s.wantAsBefore()
			s.wantNothingLeft()
			if place != "observe" {
				h.wantThreeStates(s.baseline, after(s.baseline, ro))
			}
		})
	}
}

// settled waits until the originals are what the stage makes of them.
func (s *story) settled(place string) {
	s.t.Helper()
	s.reach(place)
	if place == "observe" {
		return
	}
	await(s, &networkingv1.NetworkPolicyList{}, "the change of server-ingress", func(np *networkingv1.NetworkPolicy) bool {
		return np.Name == "server-ingress" && np.Labels[v1alpha1.LabelOriginal] == s.run() && (place != "all" || inert(np))
	})
}

// A cut by the changed policy gives back the one that was there.
func TestAChangeThatCutsIsTakenBack(t *testing.T) {
	t.Parallel()
	s, ro := newChange(t)
	ro.Spec.Policies.Inline[1] = s.policy("server-ingress", map[string]string{"app": "server"}, networkingv1.PolicyTypeIngress, "clinet", 8080)
	ro.Spec.Exceptions = []v1alpha1.Exception{{Type: v1alpha1.ExceptionPredictedCut, Path: "client to server", Reason: "the data plane is to show it"}}
	s.begin(ro)
	st := s.end()
	rep := s.report()
	if st.Phase != v1alpha1.PhaseRolledBack || st.Cause != "Cut" || len(rep.Cuts) == 0 || rep.Cuts[0].Phase != "few" || !strings.Contains(rep.Cuts[0].Rule, s.ns+"/server-ingress ingress: no rule allows 8080/TCP") {
		t.Errorf("ended %s (%s): %s; cuts %+v", st.Phase, st.Cause, st.Message, rep.Cuts)
	}
	s.wantAsBefore()
}

// What others do to a policy that a run changes is theirs: it ends the run, and stays.
func TestWhatOthersMakeOfAnOriginalStays(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edit  func(s *story)
		says  string
		stays func(np *networkingv1.NetworkPolicy) bool
	}{
		{"changed back", func(s *story) {
			s.edit("server-ingress", func(np *networkingv1.NetworkPolicy) { np.Spec = s.baselineOf("server-ingress").Spec })
		}, `/server-ingress, which this run changes, was changed back by "kubectl-edit"`, nil},
		{"changed to something else", func(s *story) {
			s.edit("server-ingress", func(np *networkingv1.NetworkPolicy) {
				np.Spec = s.baselineOf("server-ingress").Spec
				np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{})
			})
		}, "/server-ingress was changed", func(np *networkingv1.NetworkPolicy) bool { return len(np.Spec.Ingress) == 3 }},
		{"deleted", func(s *story) {
			s.must(s.c.client.Delete(s.ctx, s.policyNamed("server-ingress")))
		}, "/server-ingress was deleted", func(np *networkingv1.NetworkPolicy) bool { return np == nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, ro := newChange(t)
			ro.Spec.Stages[3].MinDuration = metav1.Duration{Duration: time.Minute}
			s.begin(ro)
			s.settled("all")
			st := s.insisting(tt.edit)
			if st.Phase != v1alpha1.PhaseRolledBack || st.Cause != "Foreign" || !strings.Contains(st.Message, tt.says) {
				t.Errorf("ended %s (%s): %s; want %q", st.Phase, st.Cause, st.Message, tt.says)
			}
			if tt.stays == nil {
				for i := range s.baseline { // who changed it has its fields now
					if s.baseline[i].Name == "server-ingress" {
						s.baseline[i].ManagedFields = s.policyNamed("server-ingress").ManagedFields
					}
				}
				s.wantAsBefore()
				return
			}
			var left *networkingv1.NetworkPolicy
			for _, np := range s.policies() {
				switch np.Name {
				case "server-ingress":
					left = &np
				case "legacy":
					if plan.SumOf(np.Spec) != plan.SumOf(s.baselineOf("legacy").Spec) {
						t.Errorf("legacy was not given back: %+v", np.Spec)
					}
				}
			}
			if !tt.stays(left) || left != nil && (left.Labels[v1alpha1.LabelOriginal] != "" || left.Annotations[v1alpha1.AnnotationOriginal] != "") {
				t.Errorf("it is %+v", left)
			}
		})
	}
}

// insisting makes an edit, and makes it again should the run write over it, as it may
// where it had not seen its own write yet: twice at most.
func (s *story) insisting(edit func(s *story)) v1alpha1.PolicyRolloutRunStatus {
	s.t.Helper()
	for range 3 {
		edit(s)
		var run v1alpha1.PolicyRolloutRun
		await(s, &networkingv1.NetworkPolicyList{}, "what the run makes of the edit", func(np *networkingv1.NetworkPolicy) bool {
			s.must(s.c.client.Get(s.ctx, types.NamespacedName{Namespace: s.ns, Name: s.run()}, &run))
			return run.Status.Phase == v1alpha1.PhaseRollingBack || run.Status.Phase.Terminal() || np.Name == "server-ingress" && inert(np)
		})
		if run.Status.Phase == v1alpha1.PhaseRollingBack || run.Status.Phase.Terminal() {
			return s.end()
		}
	}
	s.t.Fatal("the run wrote over the edit again and again")
	return v1alpha1.PolicyRolloutRunStatus{}
}

func (s *story) baselineOf(name string) *networkingv1.NetworkPolicy {
	for i := range s.baseline {
		if s.baseline[i].Name == name {
			return &s.baseline[i]
		}
	}
	s.t.Fatalf("there was no policy %s", name)
	return nil
}

// Without the plan an original is given back by what it carries.
func TestAnOriginalIsGivenBackWithoutThePlan(t *testing.T) {
	for i, place := range []string{"shadow", "few", "all"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s, ro := newChange(t)
			ro.Spec.Stages[i+1].MinDuration = metav1.Duration{Duration: time.Minute}
			s.begin(ro)
			s.settled(place)
			s.stopOperator()
			h := s.record()
			var rev appsv1.ControllerRevision
			s.must(s.c.client.Get(s.ctx, plan.Revision(s.run()), &rev))
			s.must(s.c.client.Delete(s.ctx, &rev))
			s.operate()
			if st := s.end(); st.Phase != v1alpha1.PhaseRolledBack || !strings.Contains(st.Message, "2 policies that were there before were given back") {
				t.Errorf("ended %s: %s", st.Phase, st.Message)
			}
			h.wantThreeStates(s.baseline, after(s.baseline, ro))
			for i := range s.baseline {
				s.baseline[i].ManagedFields = s.policyNamed(s.baseline[i].Name).ManagedFields // who had which is lost with the plan
			}
			s.wantAsBefore()
		})
	}
}

// The second version of a committed rollout changes what the first one committed.
func TestTheSecondVersionOfARolloutChangesTheFirst(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.begin(s.rollout(s.good()))
	if st := s.end(); st.Phase != v1alpha1.PhaseCommitted {
		t.Fatalf("ended %s: %s", st.Phase, st.Message)
	}
	var ro v1alpha1.PolicyRollout
	s.must(s.c.client.Get(s.ctx, types.NamespacedName{Namespace: s.ns, Name: s.ns}, &ro))
	first := RunName(s.ns, s.uid, 1, firstAttempt)
	ro.Spec.Policies.Inline[1].Spec.Ingress[0].Ports = nil
	s.must(s.c.client.Update(s.ctx, &ro))
	second := s.runOf(ro.Generation)
	run := await(s, &v1alpha1.PolicyRolloutRunList{}, "the end of the second version", func(run *v1alpha1.PolicyRolloutRun) bool {
		return run.Name == second && run.Status.Phase.Terminal()
	})
	if run.Status.Phase != v1alpha1.PhaseCommitted {
		t.Fatalf("ended %s: %s", run.Status.Phase, run.Status.Message)
	}
	await(s, &networkingv1.NetworkPolicyList{}, "the second version in force", func(np *networkingv1.NetworkPolicy) bool {
		return np.Name == "server-ingress" && len(np.Spec.Ingress[0].Ports) == 0 && np.Annotations[v1alpha1.AnnotationCommittedBy] == second && np.Labels[v1alpha1.LabelOriginal] == ""
	})
	if by := s.policyNamed("client-egress").Annotations[v1alpha1.AnnotationCommittedBy]; by != first {
		t.Errorf("the policy that did not change says that %s committed it, want %s", by, first)
	}
}
