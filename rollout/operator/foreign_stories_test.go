package operator

import (
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// closedServer is a namespace whose server takes nothing but what broad lets in,
// from the peers given.
func closedServer(t *testing.T, peers ...string) (s *story, broad *networkingv1.NetworkPolicy) {
	t.Helper()
	s = newStory(t)
	server := map[string]string{"app": "server"}
	deny := networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: server}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}
	s.create(&networkingv1.NetworkPolicy{ObjectMeta: s.meta("default-deny"), Spec: deny})
	spec := s.policy("broad", server, networkingv1.PolicyTypeIngress, peers[0], 8080).Spec
	for _, peer := range peers[1:] {
		more := s.policy("broad", server, networkingv1.PolicyTypeIngress, peer, 8080).Spec
		spec.Ingress = append(spec.Ingress, more.Ingress...)
	}
	broad = &networkingv1.NetworkPolicy{ObjectMeta: s.meta("broad"), Spec: spec}
	s.create(broad)
	return s, broad
}

// A forbidden path leaks through a broad policy of somebody else. The run holds
// and names it. Deleting it is the repair: the run goes on and commits.
func TestALeakThroughAForeignPolicyIsRepairedByDeletingIt(t *testing.T) {
	t.Parallel()
	s, broad := closedServer(t, "client", "other")
	s.begin(s.rollout(s.good()))
	held := s.until("Held", func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Phase == v1alpha1.PhaseHeld })
	if m := held.Status.Message; held.Status.Cause != "Leak" || !strings.Contains(m, s.ns+"/broad, which the rollout neither adds nor changes") || strings.Contains(m, "the candidate allows it") {
		t.Errorf("held with %s; want a leak through %s/broad, which is not called the candidate", describe(held), s.ns)
	}
	if err := s.c.client.Delete(s.ctx, broad); err != nil {
		t.Fatal(err)
	}
	for i := range s.baseline {
		if s.baseline[i].Name == "broad" {
			s.baseline = append(s.baseline[:i], s.baseline[i+1:]...)
			break
		}
	}
	rep := s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	for _, path := range rep.Paths {
		if path.Finding != "Holds" {
			t.Errorf("path %q by %s: %s at the end, want Holds", path.Name, path.Via, path.Finding)
		}
	}
	if len(rep.Leaks) == 0 {
		t.Error("the report does not name the leak that was repaired")
	}
}

// Somebody deletes the policy that the paths rested on before the rollout, while
// its candidates are in force. Taking those away would cut the path, so they stay
// until the policy is back, or until somebody accepts the cut.
func TestARollbackThatWouldCutAWorkingPathStaysWidened(t *testing.T) {
	for _, way := range []string{"the policy is put back", "the cut is accepted"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s, broad := closedServer(t, "client")
			ro := s.rollout(s.good())
			ro.Spec.Stages[3].MinDuration = metav1.Duration{Duration: time.Minute}
			s.begin(ro)
			s.reach("all")
			if err := s.c.client.Delete(s.ctx, broad); err != nil {
				t.Fatal(err)
			}
			held := s.until("Held", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
				return st.Phase == v1alpha1.PhaseHeld && strings.Contains(st.Message, "client to server")
			})
			if m := held.Status.Message; held.Status.Cause != "BaselineChanged" || !strings.Contains(m, "policy "+s.ns+"/broad was deleted") || !strings.Contains(m, "name: broad") {
				t.Errorf("held with %s; want what was deleted, with its YAML", describe(held))
			}
			if !s.stillAllowed() {
				t.Error("nothing allows the client to reach the server any more: the rollback cut a path that worked")
			}
			for _, path := range s.report().Paths {
				if path.Name == "client to server" && path.Finding != "Holds" {
					t.Errorf("the report says %s of a path that works", path.Finding)
				}
			}
			if way == "the cut is accepted" {
				patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"intent":"Abort","acceptCuts":["client to server"]}}`))
				if err := s.c.client.Patch(s.ctx, &v1alpha1.PolicyRolloutRun{ObjectMeta: s.meta(s.run())}, patch); err != nil {
					t.Fatal(err)
				}
				s.until("the end", func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Phase == v1alpha1.PhaseRolledBack })
				return
			}
			back := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("broad"), Spec: broad.Spec}
			s.create(back)
			s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "BaselineChanged", "RolledBack")
		})
	}
}

// stillAllowed reports whether some policy of the namespace lets the client in.
func (s *story) stillAllowed() bool {
	for _, np := range s.policies() {
		if !selects(&np.Spec.PodSelector, map[string]string{"app": "server"}) {
			continue
		}
		for _, rule := range np.Spec.Ingress {
			for _, peer := range rule.From {
				if selects(peer.PodSelector, map[string]string{"app": "client"}) {
					return true
				}
			}
		}
	}
	return false
}

// A cut that the policies already show stops the run before it starts, with the
// rule and what repairs it; nothing is written.
func TestAPredictedCutIsRefused(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	bad := s.good()
	bad[1] = s.policy("server-ingress", map[string]string{"app": "server"}, networkingv1.PolicyTypeIngress, "clinet", 8080)
	s.begin(s.rollout(bad))
	st := s.end()
	for _, want := range []string{
		`path "client to server" would be cut: ` + s.ns + `/server-ingress ingress: no rule allows 8080/TCP`,
		"podSelector: {matchLabels: {app: client}}", "type: PredictedCut",
	} {
		if st.Phase != v1alpha1.PhaseRefused || !strings.Contains(st.Message, want) {
			t.Errorf("ended %s: %s\nwant Refused with %q", st.Phase, st.Message, want)
		}
	}
	if active := s.c.plane.activatedBy(s.run()); len(active) > 0 {
		t.Errorf("policies of the run acted on pods: %v", active)
	}
	s.wantPolicies(false)
	s.wantNothingLeft()
}

// A policy that appears before anything is applied is planned for.
func TestABaselineThatChangesInObserveIsPlannedForAgain(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ro := s.rollout(s.good())
	ro.Spec.Stages[0].MinDuration = metav1.Duration{Duration: 5 * time.Second}
	s.begin(ro)
	s.reach("observe")
	spec := s.policy("late", map[string]string{"pod": "server-0"}, networkingv1.PolicyTypeIngress, "client", 8080).Spec
	np := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("late"), Spec: spec}
	s.create(np)
	s.baseline = append(s.baseline, *np)
	s.until("preflight again", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		return st.Phase == v1alpha1.PhasePreflight && strings.Contains(st.Message, "/late appeared")
	})
	s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	plan, err := loadPlan(s.ctx, s.c.client, s.run(), "")
	if err != nil || len(plan.Baseline) != 1 || plan.Baseline[0].Name != "late" {
		t.Errorf("plan %+v, %v; want the late policy as its baseline", plan, err)
	}
}

// The operator's watch never shows what somebody did; the API server does. So the run
// ends before a candidate selects any pod.
func TestAForeignPolicyThatTheCacheHasNotShownEndsTheRun(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	unseen := map[string]string{"unseen": "yes"}
	var err error
	if s.sees, err = labels.Parse("unseen!=yes"); err != nil {
		t.Fatal(err)
	}
	s.begin(s.rollout(s.good()))
	s.reach("observe")
	late := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("late"), Spec: s.policy("late", map[string]string{"app": "other"}, networkingv1.PolicyTypeIngress, "client", 8080).Spec}
	late.Labels = unseen
	s.create(late)
	s.baseline = append(s.baseline, *late)
	st := s.end()
	s.wantEnd(st, v1alpha1.PhaseRolledBack, "Foreign", "RolledBack")
	if want := "policy " + s.ns + "/late appeared while the rollout was under way"; !strings.Contains(st.Message, want) {
		t.Errorf("message %q, want %q", st.Message, want)
	}
	if touched := s.c.plane.touchedBy(s.run()); len(touched) > 0 {
		t.Errorf("production pods were selected by candidates: %v", touched)
	}
}
