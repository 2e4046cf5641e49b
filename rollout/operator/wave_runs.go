package operator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
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
// that earlier attempts at the generation have committed are in force as well.
func progressOf(ro *v1alpha1.PolicyRollout, runs []v1alpha1.PolicyRolloutRun, current *v1alpha1.PolicyRolloutRun) progress {
	var p progress
	var inForce []string
	for attempt := int64(firstAttempt); attempt < attemptOf(current); attempt++ {
		for _, run := range waveRuns(ro, runs, attempt) {
			if w, ok := ownWave(run); ok && committedWave(run, ro) {
				p.all, inForce = append(p.all, w), append(inForce, w.Name)
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
				inForce = append(inForce, planned[i].Name)
			}
		}
	}
	p.all = append(p.all, planned...)
	return p.end(current, inForce)
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

// end says whether the rollout is over with its newest run, and how.
func (p progress) end(run *v1alpha1.PolicyRolloutRun, inForce []string) progress {
	switch phase := run.Status.Phase; {
	case run.GoesOn():
		p.phase, p.note = v1alpha1.PhaseCommitting, "; the next wave follows"
	case run.CalledOff():
		p.phase, p.result = v1alpha1.PhaseRolledBack, v1alpha1.PartlyCommitted
	case !phase.Terminal():
	case phase != v1alpha1.PhaseCommitted && len(inForce) > 0 && phase != v1alpha1.PhaseRollbackFailed:
		p.result = v1alpha1.PartlyCommitted
	default:
		p.result = stateOf(run).Result()
	}
	switch {
	case run.CalledOff():
		p.note = fmt.Sprintf("; somebody asked to abort then, so the waves after it do not follow; in force stay: %s", strings.Join(inForce, ", "))
	case run.Status.Phase.Terminal() && run.Status.Phase != v1alpha1.PhaseCommitted && len(inForce) > 0:
		p.note = fmt.Sprintf("; waves that are committed stay in force: %s", strings.Join(inForce, ", "))
	}
	return p
}
