package operator

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
)

// approver is somebody who may approve in the story's namespace, and nothing else.
func (s *story) approver(name string) (client.Client, string) {
	s.t.Helper()
	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta(name)})
	s.bind(s.ns, name+"-approves", "tightrope-approver", name)
	c, err := client.New(s.as(s.ns, name), client.Options{Scheme: testScheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	who := "system:serviceaccount:" + s.ns + ":" + name
	for s.ctx.Err() == nil { // the authorizer watches
		a := &v1alpha1.RolloutApproval{ObjectMeta: s.meta("none")}
		a.Spec = v1alpha1.RolloutApprovalSpec{RunRef: v1alpha1.RunRef{Name: "none", UID: "none"}, Action: v1alpha1.ActionPromote, Stage: "none",
			StageSince: metav1.NowMicro(), PlanDigest: "none", Approver: who, ExpiresAt: metav1.Now()}
		if err := c.Create(s.ctx, a, client.DryRunAll); err == nil {
			return c, who
		} else if !strings.Contains(err.Error(), "cannot create resource") {
			s.t.Fatalf("%s may not approve: %v", name, err)
		}
	}
	s.t.Fatalf("%s never got the right to approve", name)
	return nil, ""
}

// approval of what the run is now.
func (s *story) approval(name, who string, action v1alpha1.ApprovalAction) *v1alpha1.RolloutApproval {
	s.t.Helper()
	run := &v1alpha1.PolicyRolloutRun{}
	s.must(s.c.client.Get(s.ctx, types.NamespacedName{Namespace: s.ns, Name: s.run()}, run))
	a := &v1alpha1.RolloutApproval{ObjectMeta: s.meta(name)}
	a.Spec = v1alpha1.RolloutApprovalSpec{
		RunRef: v1alpha1.RunRef{Name: run.Name, UID: run.UID}, Action: action, Stage: run.Status.Stage, StageSince: *run.Status.StageSince,
		PlanDigest: run.Status.PlanDigest, Approver: who, Reason: "CHG-1", ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour)),
	}
	if action == v1alpha1.ActionProceed {
		a.Spec.Gate = "second-pair-of-eyes"
	}
	return a
}

// gated is a rollout of a tenant with a gate at the canary.
func gated(s *story, count int32) *v1alpha1.PolicyRollout {
	ro := s.theirs()
	ro.Spec.Stages[2].Gates = []v1alpha1.Gate{{Name: "second-pair-of-eyes", Type: v1alpha1.GateApproval, Approval: &v1alpha1.ApprovalGate{Count: count}}}
	return ro
}

// waits waits until the run's condition says what it waits for.
func (s *story) waits(words ...string) *v1alpha1.PolicyRolloutRun {
	s.t.Helper()
	return s.until(strings.Join(words, ", "), func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		c := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionWaitingForApproval)
		if st.Cause != "WaitingForApproval" || c == nil || c.Status != metav1.ConditionTrue || !strings.Contains(st.Message, "tightrope rollout approve "+s.ns) {
			return false
		}
		for _, w := range words {
			if !strings.Contains(c.Message, w) {
				return false
			}
		}
		return true
	})
}

// Two people open a gate. Nothing else does, however long nobody comes.
func TestAGateHoldsTheRunAfterItsProof(t *testing.T) {
	t.Parallel()
	s := aTenant(t, 33)
	ro := gated(s, 2)
	ro.Spec.InconclusiveDeadline.Duration = 10 * time.Second
	alice, aliceName := s.approver("alice")
	bob, bobName := s.approver("bob")
	s.begin(ro)
	waiting := s.waits("gate second-pair-of-eyes waits for approval (0 of 2): tightrope rollout approve " + s.ns + " -n " + s.ns + " --stage few --gate second-pair-of-eyes")

	forged := s.approval("forged", bobName, v1alpha1.ActionProceed)
	if err := alice.Create(s.ctx, forged); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "may not approve in the name of "+bobName) {
		t.Errorf("an approval in the name of somebody else: %v", err)
	}
	for name, edit := range map[string]func(*v1alpha1.RolloutApprovalSpec){
		"other-run": func(a *v1alpha1.RolloutApprovalSpec) { a.RunRef.UID = "another" },
		"old-visit": func(a *v1alpha1.RolloutApprovalSpec) {
			a.StageSince = metav1.NewMicroTime(a.StageSince.Add(-time.Minute))
		},
		"expired":  func(a *v1alpha1.RolloutApprovalSpec) { a.ExpiresAt = metav1.NewTime(time.Now().Add(-time.Minute)) },
		"old-plan": func(a *v1alpha1.RolloutApprovalSpec) { a.PlanDigest += "0" },
	} {
		a := s.approval(name, bobName, v1alpha1.ActionProceed)
		edit(&a.Spec)
		s.must(bob.Create(s.ctx, a))
	}
	s.waits("(0 of 2)", "approval other-run of "+bobName+" does not count: it is for another run", "old-visit of "+bobName, "expired of "+bobName, "old-plan of "+bobName)

	for _, name := range []string{"alice-1", "alice-2"} {
		s.must(alice.Create(s.ctx, s.approval(name, aliceName, v1alpha1.ActionProceed)))
	}
	s.waits("(1 of 2, so far by " + aliceName + ")")
	edited := s.approval("alice-1", aliceName, v1alpha1.ActionProceed)
	if err := s.c.client.Patch(s.ctx, edited, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"reason":"CHG-2"}}`))); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "an approval cannot be changed") {
		t.Errorf("an approval was changed: %v", err)
	}

	time.Sleep(ro.Spec.InconclusiveDeadline.Duration + 2*time.Second) // that nothing happens in this time is what the story is about
	s.stopOperator()
	s.operate()
	again := s.waits("(1 of 2")
	if !again.Status.StageSince.Equal(waiting.Status.StageSince) {
		t.Errorf("the visit began at %v, and at %v after a restart", waiting.Status.StageSince, again.Status.StageSince)
	}
	if meta.IsStatusConditionTrue(again.Status.Conditions, "Ready") || meta.IsStatusConditionTrue(again.Status.Conditions, "Stalled") {
		t.Errorf("conditions %+v", again.Status.Conditions)
	}

	s.must(bob.Create(s.ctx, s.approval("bob-1", bobName, v1alpha1.ActionProceed)))
	rep := s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	s.wantPhases(rep, "few", "approval", "all", "commit")
	var who []string
	for _, a := range rep.Approvals {
		if who = append(who, a.Name); a.UID == "" || a.PlanDigest != waiting.Status.PlanDigest || a.Stage != "few" || a.Reason != "CHG-1" || a.At.IsZero() {
			t.Errorf("the report has %+v", a)
		}
	}
	if strings.Join(who, " ") != "alice-1 alice-2 bob-1" {
		t.Errorf("the report lists %v", who)
	}
}

func TestACutIsTakenBackWhileTheRunWaits(t *testing.T) {
	t.Parallel()
	s := aTenant(t, 33)
	s.begin(gated(s, 1))
	s.waits("(0 of 1)")
	s.c.plane.bend(s.run(), bend{force: func(from, _ *corev1.Pod, got probes.Outcome) probes.Outcome {
		if from.Labels["app"] == "client" && s.c.plane.isolated(from) {
			return probes.TimedOut
		}
		return got
	}})
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Cut", "RolledBack")
	if n := len(rep.Phases); n < 2 || rep.Phases[n-2].Name != "approval" || rep.Phases[n-2].Outcome != "Cut" {
		t.Errorf("phases %+v, want a wait that a cut ended", rep.Phases)
	}
}

// A held run resumes once the leak is gone, and not before. Promoting it leaves out the
// soak, and not the proof.
func TestAHeldRunIsResumedAndPromoted(t *testing.T) {
	t.Parallel()
	s := aTenant(t, 33)
	ro := s.theirs()
	ro.Spec.Stages[3].MinDuration.Duration = 10 * time.Minute // longer than the story: only a promotion passes it
	alice, name := s.approver("alice")
	s.begin(ro)
	s.reach("shadow")
	s.c.plane.bend(s.run(), bend{force: func(from, _ *corev1.Pod, got probes.Outcome) probes.Outcome {
		if from.Labels["app"] == "other" {
			return probes.Reached
		}
		return got
	}})
	s.reach("Held")
	s.must(alice.Create(s.ctx, s.approval("too-far", name, v1alpha1.ActionPromote)))
	s.until("that nothing is promoted", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		c := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionWaitingForApproval)
		return st.Phase == v1alpha1.PhaseHeld && c != nil && strings.Contains(c.Message, "the run is held, and Promote does not let go of it")
	})
	s.must(alice.Create(s.ctx, s.approval("resume", name, v1alpha1.ActionResume)))
	s.c.plane.bend(s.run(), bend{})
	s.until("all", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		return st.Phase == v1alpha1.PhaseEnforce && st.Stage == "all"
	})
	s.c.plane.bend(s.run(), bend{silent: true})
	s.must(alice.Create(s.ctx, s.approval("promote", name, v1alpha1.ActionPromote)))
	time.Sleep(8 * time.Second) // what is not proved anew is not passed over
	s.until("still all", func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Phase == v1alpha1.PhaseEnforce })
	s.c.plane.bend(s.run(), bend{})
	rep := s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	var actions []string
	for _, a := range rep.Approvals {
		actions = append(actions, a.Name)
	}
	if strings.Join(actions, " ") != "resume promote" {
		t.Errorf("the report lists %v", actions)
	}
}
