package operator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// attemptAt is a run that tries the rollout, over and tidied.
func attemptAt(ro *v1alpha1.PolicyRollout, generation, attempt int64, phase v1alpha1.Phase) *v1alpha1.PolicyRolloutRun {
	run := committedRunOf(ro, RunName(ro.Name, ro.UID, generation, attempt))
	run.UID = types.UID("uid of " + run.Name)
	run.Spec.Generation, run.Spec.Attempt, run.Status.Phase = generation, attempt, phase
	run.CreationTimestamp = metav1.NewTime(time.Unix(1000*generation+10*attempt, 0))
	if phase.Terminal() {
		meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue})
	}
	return run
}

func TestARetryIsAskedForByTheRunItIsOf(t *testing.T) {
	ro := aRollout("r", "u")
	ro.Generation = 2
	first := RunName("r", "u", 2, 1)
	run := func(generation, attempt int64, phase v1alpha1.Phase) v1alpha1.PolicyRolloutRun {
		return *attemptAt(ro, generation, attempt, phase)
	}
	untidied, stranger, forged := run(2, 1, "RolledBack"), run(2, 1, "RolledBack"), run(2, 7, "RolledBack")
	untidied.Status.Conditions = nil
	stranger.OwnerReferences[0].UID = "another rollout"
	forged.Name = "r-00000000"
	unnumbered := run(2, 1, "RolledBack")
	unnumbered.Spec.Attempt = 0
	type runs = []v1alpha1.PolicyRolloutRun
	for _, tt := range []struct {
		name    string
		asked   string
		runs    runs
		want    int64
		ignored string
	}{
		{"nobody asks", "", runs{run(2, 1, "RolledBack")}, 1, ""},
		{"there is no run yet", "", nil, 1, ""},
		{"of a run that was taken back", first, runs{run(2, 1, "RolledBack")}, 2, ""},
		{"of one that proved nothing", first, runs{run(2, 1, "Inconclusive")}, 2, ""},
		{"of one that was refused", first, runs{run(2, 1, "Refused")}, 2, ""},
		{"of one that a release before attempts made", first, runs{unnumbered}, 2, ""},
		{"asked for once, however often it is read", first, runs{run(2, 1, "RolledBack"), run(2, 2, "Canary")}, 2, ""},
		{"and not again when the second ends too", first, runs{run(2, 1, "RolledBack"), run(2, 2, "RolledBack")}, 2, ""},
		{"of the second", RunName("r", "u", 2, 2), runs{run(2, 1, "RolledBack"), run(2, 2, "RolledBack")}, 3, ""},
		{"the second stays when the history forgets the first", first, runs{run(2, 2, "RolledBack")}, 2, ""},
		{"of one that goes on waits", first, runs{run(2, 1, "Canary")}, 1, ""},
		{"of one that is not tidied waits", first, runs{untidied}, 1, ""},
		{"of a committed one is nothing to do", first, runs{run(2, 1, "Committed")}, 1, "is committed"},
		{"of another generation asks for nothing", RunName("r", "u", 1, 1), runs{run(1, 1, "RolledBack"), run(2, 1, "RolledBack")}, 1, ""},
		{"of a run that is not there", "r-typo", runs{run(2, 1, "RolledBack")}, 1, "no such run"},
		{"of another rollout's run", first, runs{stranger}, 1, "no such run"},
		{"a run with another name than its attempt has counts for nothing", "", runs{run(2, 1, "RolledBack"), forged}, 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ro := ro.DeepCopy()
			if tt.asked != "" {
				ro.Annotations = map[string]string{v1alpha1.AnnotationRetry: tt.asked}
			}
			got, ignored := wantedAttempt(ro, tt.runs)
			if got != tt.want || (ignored == "") != (tt.ignored == "") || !strings.Contains(ignored, tt.ignored) {
				t.Errorf("attempt %d, ignored %q; want %d, %q", got, ignored, tt.want, tt.ignored)
			}
		})
	}
}

func TestARetryMakesARunOfItsOwn(t *testing.T) {
	ro := aRollout("r", "u")
	first := attemptAt(ro, 1, 1, v1alpha1.PhaseRolledBack)
	ro.Annotations = map[string]string{v1alpha1.AnnotationRetry: first.Name}
	c := fakeAPI(interceptor.Funcs{}, ro, first)
	if err := c.Status().Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		st := reconcileRollout(t, c, "r")
		second := RunName("r", "u", 1, 2)
		if st.CurrentRunRef == nil || st.CurrentRunRef.Name != second || st.Phase != v1alpha1.PhasePending {
			t.Fatalf("status %+v; want run %s", st, second)
		}
		var runs v1alpha1.PolicyRolloutRunList
		if err := c.List(t.Context(), &runs); err != nil || len(runs.Items) != 2 {
			t.Fatalf("%d runs, %v; want the first and the second", len(runs.Items), err)
		}
		i := slices.IndexFunc(runs.Items, func(run v1alpha1.PolicyRolloutRun) bool { return run.Name == second })
		if spec := runs.Items[max(i, 0)].Spec; spec.Attempt != 2 || spec.Generation != 1 {
			t.Errorf("spec %+v", spec)
		}
	}
}

func TestARetryThatCannotBeIsTold(t *testing.T) {
	ro := aRollout("r", "u")
	first := attemptAt(ro, 1, 1, v1alpha1.PhaseCommitted)
	ro.Annotations = map[string]string{v1alpha1.AnnotationRetry: first.Name}
	c := fakeAPI(interceptor.Funcs{}, ro, first)
	if err := c.Status().Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	st := reconcileRollout(t, c, "r")
	if told := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionRetryIgnored); told == nil || !strings.Contains(told.Message, "is committed") {
		t.Errorf("conditions %+v", st.Conditions)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(ro), ro); err != nil {
		t.Fatal(err)
	}
	ro.Annotations = nil
	if err := c.Update(t.Context(), ro); err != nil {
		t.Fatal(err)
	}
	if st = reconcileRollout(t, c, "r"); meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionRetryIgnored) != nil {
		t.Errorf("nobody asks any more: %+v", st.Conditions)
	}
}

func TestHistoryKeepsWhatCounts(t *testing.T) {
	ro := aRollout("r", "u")
	ro.Generation = 9
	var runs []v1alpha1.PolicyRolloutRun
	for generation := int64(1); generation <= 9; generation++ {
		phase := v1alpha1.PhaseRolledBack
		switch generation {
		case 2:
			phase = v1alpha1.PhaseCommitted
		case 3:
			phase = v1alpha1.PhaseRollingBack
		}
		runs = append(runs, *attemptAt(ro, generation, 1, phase))
	}
	runs[3].Status.Conditions = nil // over and not tidied
	foreign := *attemptAt(ro, 4, 2, v1alpha1.PhaseRolledBack)
	foreign.OwnerReferences[0].UID = "another rollout"
	runs = append(runs, foreign)
	ro.Status.CommittedRunRef = &v1alpha1.RunRef{Name: runs[1].Name}
	current := runs[8].Name
	for limit, want := range map[int32][]int64{0: {8, 7, 6, 5, 1}, 1: {7, 6, 5, 1}, 4: {1}, 5: nil, 100: nil} {
		ro.Spec.HistoryLimit = ptr.To(limit)
		var got []int64
		for _, run := range superfluous(ro, runs, current) {
			got = append(got, run.Spec.Generation)
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d deletes generations %v, want %v", limit, got, want)
		}
	}
	ro.Spec.HistoryLimit = nil
	if gone := superfluous(ro, runs, current); len(gone) > 0 {
		t.Errorf("without a limit of its own it deletes %d of five", len(gone))
	}
}

func TestAnAbortedRunIsTriedAgainAndHistoryForgetsIt(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ro := s.rollout(s.good())
	ro.Spec.HistoryLimit = ptr.To[int32](0)
	s.begin(ro)
	s.reach("shadow")
	s.abort()
	s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Aborted", "RolledBack")
	first := s.run()
	retry := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRetry, first)
	if err := s.c.client.Patch(s.ctx, ro, client.RawPatch(types.MergePatchType, retry)); err != nil {
		t.Fatal(err)
	}
	s.attempt = 2
	s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	await(s, &v1alpha1.PolicyRolloutList{}, "the rollout's summary", func(ro *v1alpha1.PolicyRollout) bool {
		st := ro.Status
		return st.CommittedRunRef != nil && st.CommittedRunRef.Name == s.run() && st.Phase == v1alpha1.PhaseCommitted && strings.Contains(st.Message, "are in force")
	})
	s.gone(&v1alpha1.PolicyRolloutRun{ObjectMeta: s.meta(first)})
	s.gone(&corev1.ConfigMap{ObjectMeta: s.meta(first)})
}

// gone waits until an object is not there any more.
func (s *story) gone(o client.Object) {
	s.t.Helper()
	for s.ctx.Err() == nil {
		if err := s.c.client.Get(s.ctx, client.ObjectKeyFromObject(o), o); client.IgnoreNotFound(err) == nil && err != nil {
			return
		}
		time.Sleep(tick)
	}
	s.t.Errorf("%T %s is there still", o, o.GetName())
}
