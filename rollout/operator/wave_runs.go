package operator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// isOf reports whether a run tries this generation of the rollout, under the name
// that its attempt and its wave have.
func isOf(run *v1alpha1.PolicyRolloutRun, ro *v1alpha1.PolicyRollout) bool {
	return tries(run, ro) && run.Name == waveRunName(ro.Name, ro.UID, ro.Generation, attemptOf(run), waveNumber(run))
}

// waveRuns are the runs of an attempt, the first wave's first.
func waveRuns(ro *v1alpha1.PolicyRollout, runs []v1alpha1.PolicyRolloutRun, attempt int64) []*v1alpha1.PolicyRolloutRun {
	var all []*v1alpha1.PolicyRolloutRun
	for i := range runs {
		if isOf(&runs[i], ro) && attemptOf(&runs[i]) == attempt {
			all = append(all, &runs[i])
		}
	}
	slices.SortFunc(all, func(a, b *v1alpha1.PolicyRolloutRun) int { return cmp.Compare(waveNumber(a), waveNumber(b)) })
	return all
}

// nextWave says of the run that an attempt is to have which wave it makes, after
// which run, and with what intent. A wave follows once the run before it is committed
// and has left nothing behind. What somebody wanted of that run in its last moments
// holds for the next one: a pause goes over to it, and after an abort there is none.
func nextWave(waves []*v1alpha1.PolicyRolloutRun) v1alpha1.PolicyRolloutRunSpec {
	next := v1alpha1.PolicyRolloutRunSpec{Wave: firstWave, Intent: v1alpha1.IntentRun}
	if len(waves) == 0 {
		return next
	}
	last := waves[len(waves)-1]
	next.Wave, next.After = waveNumber(last), last.Spec.After
	if !last.GoesOn() || last.DeletionTimestamp != nil || !meta.IsStatusConditionTrue(last.Status.Conditions, v1alpha1.ConditionTidied) {
		return next
	}
	next.Wave++
	next.After = &v1alpha1.RunRef{Name: last.Name, UID: last.UID}
	if last.Spec.Intent == v1alpha1.IntentPause {
		next.Intent = v1alpha1.IntentPause
	}
	return next
}

// committedWave reports whether the run made a wave of the current generation which
// is in force.
func committedWave(run *v1alpha1.PolicyRolloutRun, ro *v1alpha1.PolicyRollout) bool {
	return isOf(run, ro) && run.Status.Phase == v1alpha1.PhaseCommitted && len(run.Status.Waves) > 1
}

// progress is how far the waves of a rollout have come. The zero value is that of a
// rollout without waves.
type progress struct {
	phase  v1alpha1.Phase // of the rollout; empty: that of its run
	result string         // empty: it is not over
	note   string         // to add to what the run says
	all    []v1alpha1.WaveStatus
}

// progressOf reads from the runs of a rollout what has become of its waves. Those
// that earlier attempts at the generation have committed are in force as well, and so are
// those whose run somebody has deleted since: the rollout's own status knows of them.
func progressOf(ro *v1alpha1.PolicyRollout, runs []v1alpha1.PolicyRolloutRun, current *v1alpha1.PolicyRolloutRun) progress {
	var p progress
	var in force
	gone := goneWaves(ro, runs)
	for attempt := int64(firstAttempt); attempt < attemptOf(current); attempt++ {
		for _, run := range waveRuns(ro, runs, attempt) {
			if w, ok := ownWave(run); ok && committedWave(run, ro) {
				p.all = append(p.all, w)
				in.add(run, w.Name)
			}
		}
	}
	waves := waveRuns(ro, runs, attemptOf(current))
	waves = slices.DeleteFunc(waves, func(run *v1alpha1.PolicyRolloutRun) bool { return waveNumber(run) >= waveNumber(current) })
	waves = append(waves, current)
	var planned []v1alpha1.WaveStatus
	for _, run := range waves {
		if len(run.Status.Waves) > 0 {
			planned = slices.Clone(run.Status.Waves)
		}
	}
	for _, run := range waves {
		if i := waveNumber(run) - 1; i < int64(len(planned)) {
			planned[i].Phase, planned[i].Run = cmp.Or(run.Status.Phase, v1alpha1.PhasePending), run.Name
			if run.Status.Phase == v1alpha1.PhaseCommitted {
				in.add(run, planned[i].Name)
			}
		}
	}
	for _, w := range gone {
		i := slices.IndexFunc(planned, func(x v1alpha1.WaveStatus) bool {
			return x.Name == w.Name && x.Run == "" && x.Phase == v1alpha1.PhaseCommitted
		})
		if i >= 0 {
			planned[i].Run = w.Run
		} else {
			p.all = append(p.all, w)
		}
		in.names, in.ours = append(in.names, w.Name), true
	}
	p.all = append(p.all, planned...)
	return p.end(current, in)
}

// force is which waves are in force.
type force struct {
	names []string
	ours  bool // the rollout has committed one of them, and did not find all of them there
}

func (f *force) add(run *v1alpha1.PolicyRolloutRun, wave string) {
	f.names = append(f.names, wave)
	f.ours = f.ours || stateOf(run).Cause != rollout.CauseInPlace
}

// goneWaves are the waves of the current generation that are committed, and whose run is
// not there any more.
func goneWaves(ro *v1alpha1.PolicyRollout, runs []v1alpha1.PolicyRolloutRun) []v1alpha1.WaveStatus {
	if ro.Status.ObservedGeneration != ro.Generation {
		return nil
	}
	var gone []v1alpha1.WaveStatus
	for _, w := range ro.Status.Waves {
		known := slices.ContainsFunc(runs, func(run v1alpha1.PolicyRolloutRun) bool { // another may have its name by now
			own, ok := ownWave(&run)
			return ok && run.Name == w.Run && own.Name == w.Name && run.Status.Phase == v1alpha1.PhaseCommitted
		})
		if w.Phase == v1alpha1.PhaseCommitted && w.Run != "" && !known {
			gone = append(gone, w)
		}
	}
	return gone
}

// ownWave is the wave that a run made.
func ownWave(run *v1alpha1.PolicyRolloutRun) (v1alpha1.WaveStatus, bool) {
	i := waveNumber(run) - 1
	if i >= int64(len(run.Status.Waves)) {
		return v1alpha1.WaveStatus{}, false
	}
	w := run.Status.Waves[i]
	w.Phase, w.Run = run.Status.Phase, run.Name
	return w, true
}

// end says whether the rollout is over with its newest run, and how. What is in force is
// told as it is: a rollout that changed something was not in place, though its last wave was.
func (p progress) end(run *v1alpha1.PolicyRolloutRun, in force) progress {
	phase := run.Status.Phase
	failed := phase.Terminal() && phase != v1alpha1.PhaseCommitted && len(in.names) > 0
	switch {
	case run.GoesOn():
		p.phase, p.note = v1alpha1.PhaseCommitting, "; the next wave follows"
	case run.CalledOff():
		p.phase, p.result = v1alpha1.PhaseRolledBack, v1alpha1.PartlyCommitted
		p.note = fmt.Sprintf("; somebody asked to abort then, so the waves after it do not follow; in force stay: %s", strings.Join(in.names, ", "))
	case failed && in.ours && phase != v1alpha1.PhaseRollbackFailed:
		p.result = v1alpha1.PartlyCommitted
	case phase.Terminal():
		p.result = stateOf(run).Result()
	}
	if p.result == string(rollout.CauseInPlace) && in.ours {
		p.result = string(v1alpha1.PhaseCommitted)
	}
	if failed {
		p.note = fmt.Sprintf("; waves that are committed stay in force: %s", strings.Join(in.names, ", "))
	}
	return p
}
