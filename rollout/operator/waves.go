package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/verdict"
)

// waveNumber of a run, from 1; the API server fills it in where a release before
// waves did not.
func waveNumber(run *v1alpha1.PolicyRolloutRun) int64 { return max(run.Spec.Wave, firstWave) }

// settleWave narrows a plan, which was made and judged for all that is left of the
// rollout, to the wave that its run makes. The first wave's plan says which waves
// there are; the others take that from it, and plan everything else anew, on what
// the waves before have committed. Where there is one wave only, nothing is narrowed.
func (r *RunReconciler) settleWave(ctx context.Context, p *Plan, run *v1alpha1.PolicyRolloutRun, spec *v1alpha1.PolicyRolloutSpec, w *world, no *refusal) error {
	if p.Wave = waveNumber(run); p.Wave > firstWave {
		waves, err := r.wavesBefore(ctx, run)
		if err != nil {
			return err
		}
		p.Waves, p.Steps = waves, rollout.LaterWave(p.Steps)
		p.refuseReverted(no)
	}
	if len(p.Waves) < 2 || len(no.reasons) > 0 {
		return nil
	}
	whole := verdict.Compile(p.after(w), nil)
	if planner.Narrow(&p.Plan, p.Waves[p.Wave-1]); len(p.Candidates)+len(p.Originals) == 0 {
		return errInPlace
	}
	write, err := r.rehearsing(p)
	if err != nil {
		return err
	}
	if err := r.planBridges(ctx, p, write, w, no); err != nil {
		return err
	}
	if order := p.prove(w, spec, no); len(order) > 1 {
		no.add("the policies that are there were changed since the waves of the rollout were planned, so that wave %s would have something open for a while which nothing allows: retry the rollout, which plans its waves anew", p.Waves[p.Wave-1].Name)
	}
	p.leaveToLaterWaves(w, whole)
	return nil
}

// wavesBefore are the waves as the first of them planned them: in the plan of the
// newest run before this one that has a plan. A run that found its wave in force
// already has none.
func (r *RunReconciler) wavesBefore(ctx context.Context, run *v1alpha1.PolicyRolloutRun) ([]rollout.Wave, error) {
	lost := func(format string, args ...any) error {
		no := &refusal{}
		no.add("nobody knows what the waves before this one left to do: %s; what they committed stays in force; retry the rollout (tightrope rollout retry %s -n %s), which plans anew what is not in force yet", fmt.Sprintf(format, args...), run.Spec.RolloutRef.Name, run.Namespace)
		return no
	}
	for after, n := run.Spec.After, waveNumber(run); after != nil && n > firstWave; n-- {
		var before v1alpha1.PolicyRolloutRun
		err := r.Live.Get(ctx, types.NamespacedName{Namespace: run.Namespace, Name: after.Name}, &before)
		switch {
		case apierrors.IsNotFound(err) || err == nil && before.UID != after.UID:
			return nil, lost("run %s, which made the wave before, is gone: somebody deleted it", after.Name)
		case err != nil:
			return nil, fmt.Errorf("run %s, which made the wave before: %w", after.Name, err)
		case before.Status.Phase != v1alpha1.PhaseCommitted:
			return nil, lost("run %s is not committed (%s)", after.Name, before.Status.Phase)
		case armedWith(&before) == "":
			after = before.Spec.After
			continue
		}
		stored, err := loadPlan(ctx, r.Live, before.Name, armedWith(&before))
		switch {
		case errors.Is(err, errPlanLost):
			return nil, lost("%v", err)
		case err != nil:
			return nil, err
		case int64(len(stored.Waves)) < waveNumber(run):
			return nil, lost("the plan of run %s has %d waves, and run %s makes wave %d", before.Name, len(stored.Waves), run.Name, waveNumber(run))
		}
		return stored.Waves, nil
	}
	return nil, lost("no run before this one has a plan")
}

// refuseReverted refuses to go on after somebody changed what an earlier wave
// committed: this wave was planned to follow that one, and only a person knows which
// of the two is to be. So it does where a policy is to change that no wave has: the
// rollout would be committed without it.
func (p *Plan) refuseReverted(no *refusal) {
	var changed []string
	for _, c := range p.Candidates {
		changed = append(changed, c.Key())
	}
	changed = append(changed, p.Removed()...)
	for i, wave := range p.Waves {
		for _, key := range wave.Policies {
			if int64(i+1) < p.Wave && slices.Contains(changed, key) {
				no.add("policy %s is not as wave %s committed it: somebody changed it since; retry the rollout, which brings it about again, or edit the rollout", key, wave.Name)
			}
		}
	}
	slices.Sort(changed)
	for _, key := range slices.Compact(changed) {
		if !slices.ContainsFunc(p.Waves, func(w rollout.Wave) bool { return slices.Contains(w.Policies, key) }) {
			no.add("policy %s is to change, and no wave of the rollout has it: it, or the rollout's source of it, was changed since the waves were planned; retry the rollout, which plans its waves anew", key)
		}
	}
}

// leaveToLaterWaves takes the vote of paths that must not work, which this wave leaves
// open and a later one closes. The report says so, and the wave that closes such a
// path tests it like any other.
func (p *Plan) leaveToLaterWaves(w *world, whole *verdict.Snapshot) {
	now := verdict.Compile(p.after(w), nil)
	for i := range p.Paths {
		path := &p.Paths[i]
		if path.Expect != v1alpha1.ExpectDeny {
			continue
		}
		open, closed := false, true
		for _, c := range p.connections(w, *path) {
			open = open || now.Judge(c).Decision != verdict.Deny
			closed = closed && whole.Judge(c).Decision == verdict.Deny
		}
		if path.Later = open && closed; path.Later {
			p.Unprobeable = append(p.Unprobeable, report.NotTested{What: fmt.Sprintf("path %q", path.Name), Reason: "it must not work, and it is a later wave that closes it"})
		}
	}
}

// waveStatus is what the status of a run says of the waves; nil where there is one
// only. Those before this one are committed, or it would not be.
func (s *session) waveStatus(run *v1alpha1.PolicyRolloutRun) []v1alpha1.WaveStatus {
	waves := s.waves
	if s.plan != nil {
		waves = s.plan.Waves
	}
	var all []v1alpha1.WaveStatus
	for i, wave := range waves {
		st := v1alpha1.WaveStatus{Name: wave.Name}
		switch n := int64(i + 1); {
		case n < waveNumber(run):
			st.Phase = v1alpha1.PhaseCommitted
		case n == waveNumber(run):
			st.Phase, st.Run = run.Status.Phase, run.Name
		}
		all = append(all, st)
	}
	return all
}

// wave is the wave of the plan as the evidence has it; nil where there is one only.
func (p *Plan) wave() *evidence.Wave {
	if n := int64(len(p.Waves)); p.Wave < firstWave || p.Wave > n {
		return nil
	}
	return &evidence.Wave{Name: p.Waves[p.Wave-1].Name, Number: int(p.Wave), Of: len(p.Waves)}
}

// sayWaves goes before a message of a run that makes one wave of several.
func (s *session) sayWaves(run *v1alpha1.PolicyRolloutRun) string {
	n, waves := waveNumber(run), s.waveStatus(run)
	if n > int64(len(waves)) {
		return ""
	}
	return fmt.Sprintf("wave %d of %d (%s): ", n, len(waves), waves[n-1].Name)
}
