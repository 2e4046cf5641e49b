package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// waveRun is a run of the first generation that makes a wave of three.
func waveRun(ro *v1alpha1.PolicyRollout, attempt, wave int64, phase v1alpha1.Phase) *v1alpha1.PolicyRolloutRun {
	run := committedRunOf(ro, waveRunName(ro.Name, ro.UID, 1, attempt, wave))
	run.UID = types.UID("uid of " + run.Name)
	run.Spec.Generation, run.Spec.Attempt, run.Spec.Wave, run.Spec.Intent = 1, attempt, wave, v1alpha1.IntentRun
	run.Status.Phase, run.Status.Message = phase, "as it is"
	run.Status.Result = stateOf(run).Result()
	for i, name := range []string{"data", "ai", "apps"} {
		w := v1alpha1.WaveStatus{Name: name}
		if int64(i+1) < wave {
			w.Phase = v1alpha1.PhaseCommitted
		}
		run.Status.Waves = append(run.Status.Waves, w)
	}
	if wave > 1 {
		before := waveRunName(ro.Name, ro.UID, 1, attempt, wave-1)
		run.Spec.After = &v1alpha1.RunRef{Name: before, UID: types.UID("uid of " + before)}
	}
	if phase.Terminal() {
		meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue})
	}
	return run
}

// reconciled is what a rollout and its runs come to.
func reconciled(t *testing.T, ro *v1alpha1.PolicyRollout, runs ...*v1alpha1.PolicyRolloutRun) (v1alpha1.PolicyRolloutStatus, []v1alpha1.PolicyRolloutRun) {
	t.Helper()
	objects := []client.Object{ro.DeepCopy()}
	for _, run := range runs {
		objects = append(objects, run.DeepCopy())
	}
	c := fakeAPI(interceptor.Funcs{}, objects...)
	objects[0].(*v1alpha1.PolicyRollout).Status = ro.Status
	if err := c.Status().Update(t.Context(), objects[0]); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects[1:] {
		i := slices.IndexFunc(runs, func(run *v1alpha1.PolicyRolloutRun) bool { return run.Name == o.GetName() })
		o.(*v1alpha1.PolicyRolloutRun).Status = runs[i].Status
		if err := c.Status().Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	st := reconcileRollout(t, c, ro.Name)
	var list v1alpha1.PolicyRolloutRunList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	return st, list.Items
}

func tell(waves []v1alpha1.WaveStatus) string {
	var all []string
	for _, w := range waves {
		all = append(all, strings.TrimSuffix(w.Name+" "+string(w.Phase), " "))
	}
	return strings.Join(all, ", ")
}

func TestAWaveFollowsTheOneBefore(t *testing.T) {
	ro := aRollout("r", "u")
	run := func(attempt, wave int64, phase v1alpha1.Phase) *v1alpha1.PolicyRolloutRun {
		return waveRun(ro, attempt, wave, phase)
	}
	but := func(run *v1alpha1.PolicyRolloutRun, edit func(*v1alpha1.PolicyRolloutRun)) *v1alpha1.PolicyRolloutRun {
		edit(run)
		return run
	}
	untidied := func(run *v1alpha1.PolicyRolloutRun) { run.Status.Conditions = nil }
	intends := func(i v1alpha1.Intent) func(*v1alpha1.PolicyRolloutRun) {
		return func(run *v1alpha1.PolicyRolloutRun) { run.Spec.Intent = i }
	}
	unplanned := func(run *v1alpha1.PolicyRolloutRun) { run.Status.Waves = nil }
	inPlace := func(run *v1alpha1.PolicyRolloutRun) { run.Status.Cause = "InPlace" }
	type runs = []*v1alpha1.PolicyRolloutRun
	for _, tt := range []struct {
		name    string
		retry   string
		runs    runs
		attempt int64
		wave    int64 // that the current run makes
		intent  v1alpha1.Intent
		phase   v1alpha1.Phase // of the rollout
		result  string
		waves   string
	}{
		{"the first is under way", "", runs{run(1, 1, "Canary")}, 1, 1, "Run", "Canary", "", "data Canary, ai, apps"},
		{"a wave that is not tidied is not followed yet", "", runs{but(run(1, 1, "Committed"), untidied)}, 1, 1, "Run", "Committing", "", "data Committed, ai, apps"},
		{"the second follows", "", runs{run(1, 1, "Committed")}, 1, 2, "Run", "Pending", "", "data Committed, ai Pending, apps"},
		{"its plan is not made yet", "", runs{run(1, 1, "Committed"), but(run(1, 2, "Preflight"), unplanned)}, 1, 2, "Run", "Preflight", "", "data Committed, ai Preflight, apps"},
		{"the third follows", "", runs{run(1, 1, "Committed"), run(1, 2, "Committed")}, 1, 3, "Run", "Pending", "", "data Committed, ai Committed, apps Pending"},
		{"all are committed", "", runs{run(1, 1, "Committed"), run(1, 2, "Committed"), run(1, 3, "Committed")}, 1, 3, "Run", "Committed", "Committed", "data Committed, ai Committed, apps Committed"},
		{"the last was there already", "", runs{run(1, 1, "Committed"), run(1, 2, "Committed"), but(run(1, 3, "Committed"), inPlace)}, 1, 3, "Run", "Committed", "Committed", "data Committed, ai Committed, apps Committed"},
		{"the last is committed, after what was there", "", runs{but(run(1, 1, "Committed"), inPlace), but(run(1, 2, "Committed"), inPlace), run(1, 3, "Committed")}, 1, 3, "Run", "Committed", "Committed", "data Committed, ai Committed, apps Committed"},
		{"all were there", "", runs{but(run(1, 1, "Committed"), inPlace), but(run(1, 2, "Committed"), inPlace), but(run(1, 3, "Committed"), inPlace)}, 1, 3, "Run", "Committed", "InPlace", "data Committed, ai Committed, apps Committed"},
		{"the second fails, and the first was there", "", runs{but(run(1, 1, "Committed"), inPlace), run(1, 2, "RolledBack")}, 1, 2, "Run", "RolledBack", "RolledBack", "data Committed, ai RolledBack, apps"},
		{"the first fails", "", runs{run(1, 1, "RolledBack")}, 1, 1, "Run", "RolledBack", "RolledBack", "data RolledBack, ai, apps"},
		{"the second fails", "", runs{run(1, 1, "Committed"), run(1, 2, "RolledBack")}, 1, 2, "Run", "RolledBack", "PartlyCommitted", "data Committed, ai RolledBack, apps"},
		{"the second is refused", "", runs{run(1, 1, "Committed"), but(run(1, 2, "Refused"), unplanned)}, 1, 2, "Run", "Refused", "PartlyCommitted", "data Committed, ai Refused, apps"},
		{"a rollback that failed is the word", "", runs{run(1, 1, "Committed"), run(1, 2, "RollbackFailed")}, 1, 2, "Run", "RollbackFailed", "RollbackFailed", "data Committed, ai RollbackFailed, apps"},
		{"a pause goes over to the next wave", "", runs{but(run(1, 1, "Committed"), intends("Pause"))}, 1, 2, "Pause", "Pending", "", "data Committed, ai Pending, apps"},
		{"a pause of the first that came when the second was there pauses the second", "", runs{but(run(1, 1, "Committed"), intends("Pause")), run(1, 2, "Canary")}, 1, 2, "Pause", "Canary", "", "data Committed, ai Canary, apps"},
		{"and takes no abort back", "", runs{but(run(1, 1, "Committed"), intends("Pause")), but(run(1, 2, "Canary"), intends("Abort"))}, 1, 2, "Abort", "Canary", "", "data Committed, ai Canary, apps"},
		{"after an abort that came too late none follows", "", runs{but(run(1, 1, "Committed"), intends("Abort"))}, 1, 1, "Abort", "RolledBack", "PartlyCommitted", "data Committed, ai, apps"},
		{"an abort of the first that came when the second was there ends the second", "", runs{but(run(1, 1, "Committed"), intends("Abort")), run(1, 2, "Canary")}, 1, 2, "Abort", "Canary", "", "data Committed, ai Canary, apps"},
		{"a retry goes on from what is committed", waveRunName("r", "u", 1, 1, 2), runs{run(1, 1, "Committed"), run(1, 2, "RolledBack")}, 2, 1, "Run", "Pending", "", "data Committed"},
		{"and says what is", "", runs{run(1, 1, "Committed"), run(1, 2, "RolledBack"), run(2, 1, "RolledBack")}, 2, 1, "Run", "RolledBack", "PartlyCommitted", "data Committed, data RolledBack, ai, apps"},
		{"a retry of what was called off", waveRunName("r", "u", 1, 1, 1), runs{but(run(1, 1, "Committed"), intends("Abort"))}, 2, 1, "Run", "Pending", "", "data Committed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ro := ro.DeepCopy()
			if tt.retry != "" {
				ro.Annotations = map[string]string{v1alpha1.AnnotationRetry: tt.retry}
			}
			st, all := reconciled(t, ro, tt.runs...)
			name := waveRunName("r", "u", 1, tt.attempt, tt.wave)
			i := slices.IndexFunc(all, func(run v1alpha1.PolicyRolloutRun) bool { return run.Name == name })
			if i < 0 || st.CurrentRunRef == nil || st.CurrentRunRef.Name != name {
				t.Fatalf("current run %+v, want %s of %d", st.CurrentRunRef, name, len(all))
			}
			if got := all[i].Spec; got.Wave != tt.wave || got.Attempt != tt.attempt || got.Intent != tt.intent {
				t.Errorf("spec %+v; want attempt %d, wave %d, %s", got, tt.attempt, tt.wave, tt.intent)
			}
			if after := all[i].Spec.After; (after != nil) != (tt.wave > 1) || after != nil && after.Name != waveRunName("r", "u", 1, tt.attempt, tt.wave-1) {
				t.Errorf("after %+v", after)
			}
			if st.Phase != tt.phase || st.Result != tt.result || tell(st.Waves) != tt.waves {
				t.Errorf("got  %s %q: %s\nwant %s %q: %s", st.Phase, st.Result, tell(st.Waves), tt.phase, tt.result, tt.waves)
			}
			if ready := meta.IsStatusConditionTrue(st.Conditions, "Ready"); ready != (tt.result == "Committed" || tt.result == "InPlace") {
				t.Errorf("ready %v", ready)
			}
		})
	}
}

// Somebody deletes the run of a wave that is committed. Its policies stay in force, and the
// rollout says so, whatever becomes of the waves after it.
func TestACommittedWaveOutlivesItsRun(t *testing.T) {
	ro := aRollout("r", "u")
	first, second := waveRun(ro, 1, 1, v1alpha1.PhaseCommitted), waveRun(ro, 1, 2, v1alpha1.PhaseCanary)
	ro.Status, _ = reconciled(t, ro, first, second)
	ro.Status.ObservedGeneration = ro.Generation
	unplanned, anew := waveRun(ro, 1, 2, v1alpha1.PhaseRefused), waveRun(ro, 1, 1, v1alpha1.PhaseRolledBack)
	unplanned.Status.Waves, anew.Status.Waves = nil, anew.Status.Waves[1:]
	for name, tt := range map[string]struct {
		run    *v1alpha1.PolicyRolloutRun
		result string
		waves  string
	}{
		"the next goes on":      {second, "", "data Committed, ai Canary, apps"},
		"the next fails":        {waveRun(ro, 1, 2, v1alpha1.PhaseRolledBack), "PartlyCommitted", "data Committed, ai RolledBack, apps"},
		"the next has no plan":  {unplanned, "PartlyCommitted", "data Committed"},
		"another has its name":  {anew, "PartlyCommitted", "data Committed, ai RolledBack, apps"},
		"of another generation": {nil, "RolledBack", "data RolledBack, ai, apps"},
		"the last finds its work done": {func() *v1alpha1.PolicyRolloutRun {
			run := waveRun(ro, 1, 3, v1alpha1.PhaseCommitted)
			run.Status.Cause = "InPlace"
			return run
		}(), "Committed", "data Committed, ai Committed, apps Committed"},
	} {
		ro := ro.DeepCopy()
		if tt.run == nil {
			ro.Status.ObservedGeneration--
			tt.run = waveRun(ro, 1, 1, v1alpha1.PhaseRolledBack)
		}
		st, _ := reconciled(t, ro, tt.run)
		if st.Result != tt.result || tell(st.Waves) != tt.waves {
			t.Errorf("%s: %q: %s; want %q: %s", name, st.Result, tell(st.Waves), tt.result, tt.waves)
		}
		if failed := tt.result == "PartlyCommitted"; failed != strings.Contains(st.Message, "stay in force: data") {
			t.Errorf("%s: it says %q", name, st.Message)
		}
	}
}

// A pause of a wave that is committed goes over to the next one once. Who lets that go on
// does so for good.
func TestAPauseGoesOverOnce(t *testing.T) {
	ro := aRollout("r", "u")
	first := waveRun(ro, 1, 1, v1alpha1.PhaseCommitted)
	for name, second := range map[string]*v1alpha1.PolicyRolloutRun{"made for it": nil, "there already": waveRun(ro, 1, 2, v1alpha1.PhaseCanary)} {
		first.Spec.Intent = v1alpha1.IntentPause
		objects := []*v1alpha1.PolicyRolloutRun{first}
		if second != nil {
			objects = append(objects, second)
		}
		_, all := reconciled(t, ro, objects...)
		var again []*v1alpha1.PolicyRolloutRun
		for i := range all {
			if want := map[bool]v1alpha1.Intent{true: v1alpha1.IntentRun, false: v1alpha1.IntentPause}[all[i].Name == first.Name]; all[i].Spec.Intent != want {
				t.Errorf("%s: run %s has intent %s, want %s", name, all[i].Name, all[i].Spec.Intent, want)
			}
			all[i].Spec.Intent, all[i].ResourceVersion = v1alpha1.IntentRun, "" // somebody resumes it
			again = append(again, &all[i])
		}
		if _, all = reconciled(t, ro, again...); len(all) != 2 || all[0].Spec.Intent != v1alpha1.IntentRun || all[1].Spec.Intent != v1alpha1.IntentRun {
			t.Errorf("%s: %d runs, and one that was resumed is held again", name, len(all))
		}
	}
}

// The controller dies after a pause has gone over, and before it is taken off the run that
// it came from. Whoever resumes the rollout in between does so for good, and a pause that
// comes later goes over like the first.
func TestAPauseThatWentOverHalfwayGoesOverOnce(t *testing.T) {
	ro := aRollout("r", "u")
	first, second := waveRun(ro, 1, 1, v1alpha1.PhaseCommitted), waveRun(ro, 1, 2, v1alpha1.PhaseCanary)
	first.Spec.Intent, first.Generation = v1alpha1.IntentPause, 2
	for name, objects := range map[string][]client.Object{"made for it": {ro, first}, "there already": {ro, first, second}} {
		dies, objects := true, copies(objects)
		c := fakeAPI(interceptor.Funcs{Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if dies {
				return errors.New("the controller is killed")
			}
			return c.Update(ctx, o, opts...)
		}}, objects...)
		for _, o := range objects[1:] {
			run := map[bool]*v1alpha1.PolicyRolloutRun{true: first, false: second}[o.GetName() == first.Name]
			o.(*v1alpha1.PolicyRolloutRun).Status = run.Status
			if err := c.Status().Update(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		r := &RolloutReconciler{Write: writer.New(c, writer.Options{}), Live: c, Events: events.NewFakeRecorder(100)}
		pass := func() error {
			_, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(ro)})
			return err
		}
		intents := func(intend ...v1alpha1.Intent) (all [2]v1alpha1.Intent) {
			var list v1alpha1.PolicyRolloutRunList
			if err := c.List(t.Context(), &list); err != nil || len(list.Items) != 2 {
				t.Fatal(err, len(list.Items))
			}
			for i := range list.Items {
				run := &list.Items[i]
				at := map[bool]int{true: 0, false: 1}[run.Name == first.Name]
				if all[at] = run.Spec.Intent; at < len(intend) && intend[at] != "" {
					run.Spec.Intent, run.Generation = intend[at], run.Generation+1
					if err := c.Update(t.Context(), run); err != nil {
						t.Fatal(err)
					}
				}
			}
			return all
		}
		const on, off = v1alpha1.IntentPause, v1alpha1.IntentRun
		err := pass()
		dies = false
		if got := intents("", off); err == nil || got != [2]v1alpha1.Intent{on, on} {
			t.Fatalf("%s: left halfway with %v: %v", name, got, err)
		}
		if err = pass(); err != nil || intents(on) != [2]v1alpha1.Intent{off, off} {
			t.Errorf("%s: after it was resumed it is %v: %v", name, intents(), err)
		}
		if err = pass(); err != nil || intents() != [2]v1alpha1.Intent{off, on} {
			t.Errorf("%s: paused again it is %v: %v", name, intents(), err)
		}
	}
}

func copies(objects []client.Object) (all []client.Object) {
	for _, o := range objects {
		all = append(all, o.DeepCopyObject().(client.Object))
	}
	return all
}

// Whoever edits or deletes the rollout in the middle of the second wave ends that
// wave, and no third one follows; the first stays committed.
func TestAnEditEndsTheWaveThatIsUnderWay(t *testing.T) {
	ro := aRollout("r", "u")
	first, second := waveRun(ro, 1, 1, v1alpha1.PhaseCommitted), waveRun(ro, 1, 2, v1alpha1.PhaseEnforce)
	ro.Generation = 2
	_, all := reconciled(t, ro, first, second)
	if len(all) != 2 {
		t.Fatalf("%d runs: the new generation waits for the wave that is taken back", len(all))
	}
	for _, run := range all {
		if want := map[string]v1alpha1.Intent{first.Name: v1alpha1.IntentRun, second.Name: v1alpha1.IntentAbort}[run.Name]; run.Spec.Intent != want {
			t.Errorf("run %s has intent %s, want %s", run.Name, run.Spec.Intent, want)
		}
	}
	second = waveRun(aRollout("r", "u"), 1, 2, v1alpha1.PhaseRolledBack)
	st, all := reconciled(t, ro, first, second)
	if len(all) != 3 || st.CurrentRunRef == nil || st.CurrentRunRef.Name != RunName("r", "u", 2, 1) || st.Result != "" || len(st.Waves) != 0 {
		t.Errorf("%d runs, status %+v; want a first wave of the new generation", len(all), st)
	}
	gone := metav1.Now()
	ro.Generation, ro.DeletionTimestamp, ro.Finalizers = 1, &gone, []string{"somebody/else"}
	if _, all = reconciled(t, ro, first); len(all) != 1 {
		t.Errorf("%d runs: a wave followed although the rollout is being deleted", len(all))
	}
}

// The history forgets no wave that says what is in force.
func TestTheHistoryKeepsCommittedWaves(t *testing.T) {
	ro := aRollout("r", "u")
	none := int32(0)
	ro.Spec.HistoryLimit = &none
	runs := []v1alpha1.PolicyRolloutRun{*waveRun(ro, 1, 1, v1alpha1.PhaseCommitted), *waveRun(ro, 1, 2, v1alpha1.PhaseRolledBack), *waveRun(ro, 2, 1, v1alpha1.PhaseCanary)}
	over := superfluous(ro, runs, runs[2].Name)
	if len(over) != 1 || over[0].Name != runs[1].Name {
		t.Errorf("%d runs are to go, want the one that was rolled back", len(over))
	}
}

func TestTheNamesOfWavesDiffer(t *testing.T) {
	seen := map[string]string{}
	for attempt := int64(1); attempt <= 20; attempt++ {
		for wave := int64(1); wave <= 20; wave++ {
			name, what := waveRunName("r", "u", 1, attempt, wave), fmt.Sprint(attempt, wave)
			if seen[name] != "" {
				t.Errorf("%s and %s are both %s", what, seen[name], name)
			}
			seen[name] = what
		}
	}
	if waveRunName("r", "u", 1, 2, 1) != RunName("r", "u", 1, 2) || waveRunName("r", "u", 1, 2, 0) != RunName("r", "u", 1, 2) {
		t.Error("the first wave has the name that runs had before there were waves")
	}
}
