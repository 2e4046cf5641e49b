package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
)

// look makes the picture of this pass.
func (s *session) look(w *world, scope rollout.Scope, now time.Time) *picture {
	p := &picture{
		plan: s.plan, world: w, live: s.plan.live(w), scope: scope, now: now,
		settled: !s.settledAt.IsZero(), threshold: s.record.confirmations(s.plan),
		dns: w.nameServers(),
	}
	if scope.Live() {
		p.qualified = s.record.qualified()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		for id, r := range a.spec.routes {
			if r.path >= 0 {
				p.sights = append(p.sights, sight{agent: a, id: id, route: r, state: a.ledger.State(id)})
			}
		}
	}
	return p
}

// gather is what the probes of the current step add up to. Nothing in it can
// fail: what cannot be read is silence.
func (s *session) gather(w *world, at rollout.State, since time.Time) (rollout.Evidence, map[cell]*judged, *picture) {
	now := time.Now()
	e := rollout.Evidence{Preflight: s.preflight, InStep: now.Sub(since)}
	if s.plan == nil || len(s.agents) == 0 {
		return e, nil, nil
	}
	e.Silence = s.silence(now)
	p := s.look(w, s.scope(at), now)
	cells := p.judge()
	e.Settled = p.settled
	if p.settled {
		e.HeldFor = now.Sub(s.settledAt)
	}
	for c, j := range cells {
		if j.required {
			e.Required++
		}
		if j.proved && p.settled {
			e.Proved++
		}
		if j.cut != nil {
			e.Cut = append(e.Cut, s.plan.Paths[c.path].Name)
		}
		if j.leak != nil {
			e.Leaks = append(e.Leaks, s.plan.Paths[c.path].Name)
		}
	}
	slices.Sort(e.Cut)
	slices.Sort(e.Leaks)
	if p.scope.Live() {
		e.Foreign = cmp.Or(s.foreignChange(w), s.otherKinds)
	}
	return e, cells, p
}

// scope of a state: the scope hangs on the phase, not on the transition, so a
// crash between two writes heals on the next pass.
func (s *session) scope(at rollout.State) rollout.Scope {
	switch at.Phase {
	case v1alpha1.PhaseObserve, v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseHeld:
		return s.scopeOf(at.Step)
	case v1alpha1.PhaseCommitting, v1alpha1.PhaseCommitted:
		return rollout.Everyone
	}
	return rollout.Nobody
}

// scopeOf a step of the plan; Nobody if there is no such step.
func (s *session) scopeOf(step int) rollout.Scope {
	if step < 0 || step >= len(s.plan.Steps) {
		return rollout.Nobody
	}
	return s.plan.Steps[step].Scope
}

// foreignChange says what somebody else did to the policies that the plan rests
// on; empty: nothing.
func (s *session) foreignChange(w *world) string {
	before := map[string]string{}
	for _, b := range s.plan.Baseline {
		before[b.Namespace+"/"+b.Name] = digestOf(b.Spec)
	}
	for _, ns := range s.plan.namespaces() {
		for _, now := range w.foreign(ns, s.plan.Run) {
			key := now.Namespace + "/" + now.Name
			had, ok := before[key]
			switch {
			case !ok:
				return fmt.Sprintf("policy %s appeared while the rollout was under way", key)
			case had != digestOf(now.Spec):
				return fmt.Sprintf("policy %s was changed while the rollout was under way", key)
			}
			delete(before, key)
		}
	}
	for key := range before {
		return fmt.Sprintf("policy %s was deleted while the rollout was under way", key)
	}
	return ""
}

// settle decides when samples begin to count: the writes are acknowledged,
// every agent runs its plan, the slowest effect that preflight measured has had
// twice its time, and the markers of every node show the writes.
func (s *session) settle(w *world, now time.Time) {
	if !s.settledAt.IsZero() || s.acked.IsZero() || !s.allCurrent() || now.Sub(s.acked) < 2*s.settleTime || !s.shown(w, s.acked) {
		return
	}
	s.settledAt = now
	s.mark(now)
}

// advancePreflight makes the checks before the first change, a little per pass,
// and leaves its answer in the session.
func (r *RunReconciler) advancePreflight(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world) error {
	if s.preflight != rollout.PreflightRunning {
		return nil
	}
	err := r.tryPreflight(ctx, run, s, w)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotEnforced):
		s.preflight, s.refused = rollout.PreflightNotEnforced, err
		return nil
	case errors.As(err, new(*refusal)):
		s.preflight, s.refused = rollout.PreflightRefused, err
		return nil
	}
	return err
}

func (r *RunReconciler) tryPreflight(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world) error {
	if s.plan == nil {
		plan, err := r.planRun(ctx, run, w)
		if err != nil {
			return err
		}
		if err := savePlan(ctx, r.Client, plan); err != nil {
			return err
		}
		if s.plan, err = loadPlan(ctx, r.Live, run.Name, plan.Digest()); err != nil {
			return err
		}
		s.record.begin(s.plan, time.Now())
		return nil
	}
	up, err := r.ensureAgents(ctx, s, w)
	if err != nil || !up || !s.allCurrent() {
		return err
	}
	if !s.checked {
		s.checked, err = s.check.step(ctx, r, s, w, twinSpec(run.Name).name)
		return err
	}
	if isolated, err := r.isolateMarkers(ctx, s, w); err != nil || !isolated {
		return err
	}
	no := &refusal{}
	if err := r.claim(ctx, s.plan.namespaces(), run, no); err != nil {
		return err
	}
	if len(no.reasons) > 0 {
		return no
	}
	s.preflight = rollout.PreflightPassed
	return nil
}

// ensureAgents makes the twin and every probe pod be there and be heard, and
// reports whether all run.
func (r *RunReconciler) ensureAgents(ctx context.Context, s *session, w *world) (bool, error) {
	run := s.plan.Run
	twin, err := r.ensureTwin(ctx, run, w, twinSpec(run), map[string]string{twinLabel: run})
	if err != nil {
		return false, err
	}
	marked, err := r.ensureMarkerTwins(ctx, s, w)
	if err != nil {
		return false, err
	}
	all := marked && twin != nil && twin.Status.PodIP != ""
	if !all && w.pods[s.plan.controlName()] == nil {
		return false, nil // the control pod's plan names them; a plan that changes costs seconds
	}
	specs := s.plan.agents(w, twin)
	for _, spec := range specs {
		up, err := r.ensureAgent(ctx, s, w, spec)
		if err != nil {
			return false, err
		}
		all = all && up
	}
	s.listen(r.Logs, specs)
	return all, nil
}

// confirmations is how many failures in a row make a cut, from the loss that
// was measured before anything was changed.
func (r *record) confirmations(p *Plan) int {
	checks := 0
	for _, path := range p.Paths {
		checks += 2 * len(path.ways())
	}
	perHour := float64(checks) * float64(time.Hour) / float64(p.Interval)
	return probes.Confirmations(r.State.LossRate, p.Budget, perHour)
}
