package steer

import (
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

func TestGoals(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseEnforce, "")
	ro.Spec.Stages = []v1alpha1.Stage{{Name: "observe"}, {Name: "few"}, {Name: "all"}}
	run.Status.Stage = "all"
	run.Status.History = []v1alpha1.PhaseChange{{Phase: "Observe", Stage: "observe"}, {Phase: "Canary", Stage: "few"}}
	for text, want := range map[string]bool{"stage=few": true, "stage=all": true, "stage=expand": false, "stage=commit": false, "committed": false, "complete": false} {
		if goal := goalOf(t, text, ro); goal.Reached(run) != want {
			t.Errorf("%s: reached %v; want %v", text, goal.Reached(run), want)
		}
	}
	if (Goal{}).Reached(run) {
		t.Error("the zero goal is reached")
	}
	for _, text := range []string{"", "stage=", "stage", "done", "Committed"} {
		if _, err := ParseGoal(text); err == nil {
			t.Errorf("%q is a goal", text)
		}
	}
	if _, err := (Goal{stage: "fev"}).Of(ro); err == nil || !strings.Contains(err.Error(), "did you mean few?") {
		t.Errorf("got %v", err)
	}
}

func goalOf(t *testing.T, text string, ro *v1alpha1.PolicyRollout) Goal {
	t.Helper()
	goal, err := ParseGoal(text)
	if err == nil {
		goal, err = goal.Of(ro)
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return goal
}

// A stage may be called as a place of ours is. Being there is then no news of the stage.
func TestAGoalIsAStageAndNoPlaceOfThatName(t *testing.T) {
	ro, run := pair(v1alpha1.PhaseRollingBack, "")
	ro.Spec.Stages = []v1alpha1.Stage{{Name: "preflight"}, {Name: "rollback"}, {Name: "commit"}}
	run.Status.Stage = "rollback"
	run.Status.History = []v1alpha1.PhaseChange{{Phase: "Preflight", Stage: "preflight"}, {Phase: "RollingBack", Stage: "rollback"}}
	for _, name := range []string{"preflight", "rollback", "commit"} {
		goal := goalOf(t, "stage="+name, ro)
		if goal.Reached(run) {
			t.Errorf("stage %s is reached by a run that was in no stage", name)
		}
		there := run.DeepCopy()
		there.Status.History = append(there.Status.History, v1alpha1.PhaseChange{Phase: "Canary", Stage: name})
		if !goal.Reached(there) {
			t.Errorf("stage %s is not reached by a run that was there", name)
		}
	}
	run.Status.Stage = "(rollback)"
	if !goalOf(t, "stage=(rollback)", ro).Reached(run) {
		t.Error("a rollback is not waited for by its own name")
	}
}
