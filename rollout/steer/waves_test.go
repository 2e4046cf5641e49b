package steer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
)

// inWaves is a rollout of two waves whose first is committed and tidied.
func inWaves() (*v1alpha1.PolicyRollout, *v1alpha1.PolicyRolloutRun) {
	ro, run := pair(v1alpha1.PhaseCommitted, v1alpha1.IntentRun)
	run.Spec.Wave = 1
	run.Status.Waves = []v1alpha1.WaveStatus{{Name: "data", Phase: "Committed", Run: "r-1"}, {Name: "ai"}}
	run.Status.Result = "Committed"
	meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue, Reason: "x"})
	ro.Status.Waves = run.Status.Waves
	return ro, run
}

func second(phase v1alpha1.Phase) *v1alpha1.PolicyRolloutRun {
	_, run := inWaves()
	run.Name, run.UID, run.Spec.Wave, run.Spec.After = "r-2", "w", 2, &v1alpha1.RunRef{Name: "r-1", UID: "v"}
	run.Status.Phase, run.Status.Result = phase, string(phase)
	return run
}

func TestARolloutIsFollowedThroughItsWaves(t *testing.T) {
	for phase, code := range map[v1alpha1.Phase]int{
		v1alpha1.PhaseCommitted: report.ExitCommitted, v1alpha1.PhaseRolledBack: report.ExitCut, v1alpha1.PhaseRefused: report.ExitCut,
		v1alpha1.PhaseInconclusive: report.ExitCut, v1alpha1.PhaseRollbackFailed: report.ExitRollbackFailed,
	} {
		t.Run(string(phase), func(t *testing.T) {
			ro, run := inWaves()
			s := over(t, interceptor.Funcs{}, ro, run)
			begin := func() {
				_ = s.c.Create(context.Background(), second(phase))
				now := ro.DeepCopy()
				now.Status.CurrentRunRef = &v1alpha1.RunRef{Name: "r-2", UID: "w"}
				_ = s.c.Status().Update(context.Background(), now)
			}
			var seen []string
			last, err := s.Follow(t.Context(), run, func(now *v1alpha1.PolicyRolloutRun) bool {
				if !slices.Contains(seen, now.Name) {
					seen = append(seen, now.Name)
					if now.Name == "r-1" {
						go begin()
					}
				}
				return Ended(now)
			})
			if err != nil || fmt.Sprint(seen) != "[r-1 r-2]" || last.Name != "r-2" {
				t.Fatalf("saw %v, last %s, %v", seen, last.Name, err)
			}
			if got := report.ExitCode(report.OfStatus(last)); got != code {
				t.Errorf("%s exits %d, want %d", phase, got, code)
			}
		})
	}
}

// Between two waves somebody edits the rollout, or deletes it, or calls the rest off.
func TestNoWaveIsWaitedForThatDoesNotCome(t *testing.T) {
	ro, run := inWaves()
	ended := func(now *v1alpha1.PolicyRolloutRun) bool { return Ended(now) }
	ro.Generation = 3
	if _, err := over(t, interceptor.Funcs{}, ro, run).Follow(t.Context(), run, ended); !errors.Is(err, ErrLost) {
		t.Errorf("edited: %v", err)
	}
	if _, err := over(t, interceptor.Funcs{}, run).Follow(t.Context(), run, ended); !errors.Is(err, ErrLost) {
		t.Errorf("deleted: %v", err)
	}
	ro.Generation = 2
	s := over(t, interceptor.Funcs{}, ro, run)
	if err := s.Intend(t.Context(), run, v1alpha1.IntentAbort); err != nil {
		t.Fatalf("the next wave cannot be called off: %v", err)
	}
	last, err := s.Follow(t.Context(), run, ended)
	if err != nil || !last.CalledOff() || report.ExitCode(report.OfStatus(last)) != report.ExitCut {
		t.Errorf("called off: %+v, %v", last, err)
	}
	if _, err := s.Retry(t.Context(), Found{ro, run}); !errors.Is(err, ErrRefused) {
		t.Errorf("a retry while the next wave follows: %v", err)
	}
}

func TestARolloutIsCommittedWithItsLastWave(t *testing.T) {
	_, first := inWaves()
	goal, err := ParseGoal("committed")
	if err != nil || goal.Reached(first) || !goal.Reached(second(v1alpha1.PhaseCommitted)) {
		t.Errorf("reached by the first %v, by the second %v, %v", goal.Reached(first), goal.Reached(second(v1alpha1.PhaseCommitted)), err)
	}
	if first.Spec.Intent = v1alpha1.IntentAbort; goal.Reached(first) {
		t.Error("a rollout whose rest was called off is not committed")
	}
}

func TestWavesAreShown(t *testing.T) {
	ro, _ := inWaves()
	ro.Status.Result = v1alpha1.PartlyCommitted
	ro.Status.Waves[1] = v1alpha1.WaveStatus{Name: "ai", Phase: "RolledBack", Run: "r-2"}
	ro.Status.Waves = append(ro.Status.Waves, v1alpha1.WaveStatus{Name: "apps"})
	var out bytes.Buffer
	run := second(v1alpha1.PhaseRolledBack)
	run.UID = types.UID("w")
	if err := WriteStatus(&out, Found{ro, run}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PartlyCommitted", "1. data Committed r-1", "2. ai RolledBack r-2", "3. apps not begun", "attempt 1, wave 2 of 2 (ai)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
}
