package operator

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// look makes the picture of this pass.
func (s *session) look(w *world, scope rollout.Scope, now time.Time) *picture {
	p := &picture{
		plan: s.plan, world: w, live: s.live(w), scope: scope, now: now,
		settled: !s.settledAt.IsZero(), threshold: s.record.confirmations(s.plan),
		dns: w.nameServers(), ours: w.ours(),
	}
	p.planned, p.foreign = s.planned(w)
	if p.recent, p.rows, p.cells = s.wroteSoonBefore, s.record.Rows(), s.record.cells; scope.Live() {
		p.qualified = s.record.qualified()
	}
	for a := range s.pods.Agents() {
		for id, r := range s.agents[a.Spec.Name].routes {
			x := sight{from: a.Spec.Name, plan: a.Digest(), id: id, route: r, state: a.State(id), failedAt: a.FailedAt(id), connectedAt: a.ConnectedAt(id)}
			p.see(x)
		}
	}
	return p
}

// compiled holds the policies that attempts of the run are judged by as verdicts
// want them, so that a pass compiles nothing while those do not change. The zero
// value holds none.
type compiled struct {
	version             uint64
	live, before, apart *verdict.Snapshot
	planned             *verdict.Snapshot
	foreign             string // what others changed of what that holds
}

// live is the world as it is, compiled.
func (s *session) live(w *world) *verdict.Snapshot {
	c := s.compiledFor(w)
	if c.live == nil {
		c.live = verdict.Compile(within(s.plan.liveWorld(w), s.plan.judgedBy()), nil)
	}
	return c.live
}

// without is the world without anything of the run, compiled.
func (s *session) without(w *world) *verdict.Snapshot {
	c := s.compiledFor(w)
	if c.before == nil {
		c.before = verdict.Compile(within(s.plan.before(w), s.plan.judgedBy()), nil)
	}
	return c.before
}

// unisolated is the same without the policies of others that appeared since the plan
// was made, compiled: what those deny, nothing of ours has to do with.
func (s *session) unisolated(w *world) *verdict.Snapshot {
	c := s.compiledFor(w)
	if c.apart == nil {
		before, appeared := s.plan.before(w), map[string]bool{}
		for _, x := range s.baselineChanges(w) {
			appeared[x.key()] = x.was == nil
		}
		before.Policies = slices.DeleteFunc(before.Policies, func(p verdict.Policy) bool { return appeared[p.Key()] })
		c.apart = verdict.Compile(within(before, s.plan.judgedBy()), nil)
	}
	return c.apart
}

func (s *session) compiledFor(w *world) *compiled {
	if version := w.versionOf(s.plan.judgedBy()); s.compiled.version != version || version == 0 {
		s.compiled = compiled{version: version}
	}
	return &s.compiled
}

// judgedBy lists the namespaces whose policies judge what the run's pods try: those
// of both ends of every attempt, and those that the run writes to. A policy judges
// pods of its own namespace only.
func (p *Plan) judgedBy() []string {
	names := append(p.Namespaces(), v1alpha1.SystemNamespace, p.control().Namespace)
	names = append(names, nameSpaces...)
	for _, id := range p.Identities {
		names = append(names, id.Namespace)
	}
	for _, path := range p.Paths {
		names = append(names, path.To.Service.Namespace)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// within is the world with nothing but some namespaces, which are sorted, and their
// policies: enough to judge a connection between two of them. With all namespaces, five
// hundred runs would keep each namespace of the cluster a thousand times.
func within(w verdict.World, namespaces []string) verdict.World {
	out := verdict.World{Namespaces: make(map[string]map[string]string, len(namespaces))}
	for _, ns := range namespaces {
		if labels, there := w.Namespaces[ns]; there {
			out.Namespaces[ns] = labels
		}
	}
	for _, np := range w.Policies {
		if _, found := slices.BinarySearch(namespaces, np.Namespace); found {
			out.Policies = append(out.Policies, np)
		}
	}
	return out
}

// gather is what the probes of the current step add up to. Nothing in it can
// fail: what cannot be read is silence.
func (s *session) gather(w *world, at rollout.State) (rollout.Evidence, map[cell]*judged, *picture) {
	now := time.Now()
	s.enter(placeOf(at)) // what settled before says nothing of a step whose writes were not made yet
	e := rollout.Evidence{Preflight: s.preflight, InStep: s.inStep(at, now), Restoring: since(s.tried, now), Unclearable: s.unclearable(at)}
	if s.plan == nil {
		return e, nil, nil
	}
	if s.pods.Len() == 0 { // they may never come: what nobody sees is silent, too
		e.Silence, e.Unproved = e.InStep, e.InStep
		if at.Phase != v1alpha1.PhasePreflight {
			e.Foreign = cmp.Or(s.foreignChange(w, at), s.appeared)
		}
		return e, nil, nil
	}
	silent, counted := s.pods.Silence(now)
	e.Silence, e.Paused = silent, silent-counted
	if at.Phase == v1alpha1.PhasePreflight {
		return e, nil, nil
	}
	p := s.look(w, s.scope(at), now)
	cells := p.judge()
	e = p.sum(e)
	e.Foreign = cmp.Or(s.foreignChange(w, at), s.appeared)
	s.lose(now)
	if s.plan.hasStep(at) {
		e.HeldFor, e.Unproved = s.soak(s.plan.Steps[at.Step].Gate, e, p.breached(cells), now)
	}
	return e, cells, p
}

// sum adds up, to what is known besides, what judging said of every cell.
func (p *picture) sum(e rollout.Evidence) rollout.Evidence {
	sum := p.facted.Sum(p.rows, p.weighed)
	e.Settled, e.Required, e.Proved = sum.Settled, sum.Required, sum.Proved
	e.Cut, e.Leaks, e.Unexplained, e.Unqualified, e.Failing = sum.Cut, sum.Leaks, sum.Unexplained, sum.Unqualified, sum.Failing
	return e
}

// wroteSoonBefore reports whether failures that began at a time may be the effect
// of our newest write.
func (s *session) wroteSoonBefore(began time.Time) bool {
	return slices.ContainsFunc(s.wrote, func(wrote time.Time) bool {
		return began.After(wrote.Add(-s.settleTime)) && began.Sub(wrote) < recentWrite(max(s.settleTime, s.labelTime))
	})
}

func since(t, now time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return now.Sub(t)
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

// hasStep reports whether the plan has the step that a state is in.
func (p *Plan) hasStep(at rollout.State) bool { return at.Step >= 0 && at.Step < len(p.Steps) }

// scopeOf a step of the plan; Nobody if there is no such step.
func (s *session) scopeOf(step int) rollout.Scope {
	if !s.plan.hasStep(rollout.State{Step: step}) {
		return rollout.Nobody
	}
	return s.plan.Steps[step].Scope
}

// settle decides when samples begin to count: the writes are acknowledged,
// every agent runs its plan, the slowest effect that such writes are known to have has
// had twice its time, and the markers of every node show the writes. Where nothing
// was written there is nothing to wait for.
func (s *session) settle(w *world, now time.Time, wrote bool) {
	if !s.settledAt.IsZero() || s.acked.IsZero() || !s.pods.AllCurrent() {
		return
	}
	if wrote && (now.Sub(s.acked) < 2*s.settleTime || !s.shown(w, s.acked, s.settleTime)) {
		return
	}
	if wrote && !s.labelsActed(now) {
		return
	}
	s.settledAt = now
	s.pods.Mark(now)
	slog.Info("settled", "run", s.plan.Run, "at", s.place, "afterStep", now.Sub(s.soaking.entered), "afterWrites", now.Sub(s.acked), "settleTime", s.settleTime)
}

// advancePreflight makes the checks before the first change, a little per pass,
// and leaves its answer in the session. What it cannot do for now it says in
// words: nothing that a person asks for waits for it.
func (r *RunReconciler) advancePreflight(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world) error {
	if s.preflight != rollout.PreflightRunning {
		return nil
	}
	err := r.tryPreflight(ctx, run, s, w)
	switch {
	case err == nil:
		s.hindrance = ""
		return nil
	case errors.Is(err, errInPlace):
		s.preflight = rollout.PreflightInPlace
		return nil
	case errors.Is(err, errNotEnforced):
		s.preflight, s.refused = rollout.PreflightNotEnforced, err
		return nil
	case errors.As(err, new(*refusal)):
		s.preflight, s.refused = rollout.PreflightRefused, err
		return nil
	}
	s.hindrance = err.Error()
	return err
}

func (r *RunReconciler) tryPreflight(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world) error {
	if s.plan == nil {
		if !r.planning.enter(s) {
			return nil
		}
		defer r.planning.leave()
		if away, err := r.clearAway(ctx, run, s, w); err != nil || !away {
			return err
		}
		plan, err := r.planRun(ctx, run, w)
		if err != nil {
			if plan != nil {
				s.waves = plan.Waves
			}
			return err
		}
		digest, err := savePlan(ctx, r.Write, r.Live, plan)
		if err != nil {
			return err
		}
		if plan, err = loadPlan(ctx, r.Live, run.Name, digest); err != nil {
			return err
		}
		s.setPlan(plan)
		s.record.begin(s.plan, time.Now())
		s.goBy(r.readProfile(ctx))
		s.passed("planned")
		return nil
	}
	up, err := r.ensureAgents(ctx, s, w)
	if err != nil {
		return err
	}
	if up && s.pods.AllCurrent() {
		s.passed("every probe pod is heard")
	}
	if s.checked {
		s.passed("enforcement checked")
	}
	if !s.checked && s.pods.Hears(s.plan.controlName()) { // while the others still start
		s.checked, err = s.check.step(ctx, r, s, w, twinSpec(run.Name).name)
	}
	if err != nil || !s.checked || !up || !s.pods.AllCurrent() {
		return err
	}
	if isolated, err := r.isolateMarkers(ctx, s, w); err != nil || !isolated {
		return err
	}
	s.passed("every node shows the markers")
	no := &refusal{}
	if err := r.claim(ctx, s.plan.Namespaces(), run, no); err != nil {
		return err
	}
	if err := r.gatesCanOpen(ctx, s.plan.Steps, no); err != nil {
		return err
	}
	if len(no.reasons) > 0 {
		return no
	}
	if err := r.takeClaims(ctx, run, s.plan); err != nil {
		return err
	}
	s.preflight = rollout.PreflightPassed
	return nil
}

// passed logs, once, how long after its start preflight came so far.
func (s *session) passed(part string) {
	if !slices.Contains(s.parts, part) {
		s.parts = append(s.parts, part)
		slog.Info("preflight", "run", s.plan.Run, "part", part, "after", s.inStep(rollout.State{Phase: v1alpha1.PhasePreflight}, time.Now()).Round(time.Millisecond))
	}
}

// ensureAgents makes the twin and every probe pod be there and be heard, and
// reports whether all run. The control pod comes last: its plan names the pods
// that answer, and a plan that changes costs seconds. Nobody else waits for them.
func (r *RunReconciler) ensureAgents(ctx context.Context, s *session, w *world) (bool, error) {
	run := s.plan.Run
	twin, err := r.ensureTwin(ctx, s, w, twinSpec(run), map[string]string{twinLabel: run})
	if err != nil {
		return false, err
	}
	marked, err := r.ensureMarkerTwins(ctx, s, w)
	if err != nil {
		return false, err
	}
	all := marked && twin != nil && twin.Status.PodIP != ""
	answering, control := all, s.plan.controlName()
	var specs []agentSpec
	for _, spec := range s.plan.agents(w, twin) {
		if !answering && spec.name == control && w.pods[control] == nil {
			continue
		}
		up, err := r.ensureAgent(ctx, s, w, spec)
		if err != nil {
			return false, err
		}
		all, specs = all && up, append(specs, spec)
	}
	logs, err := r.logsOf(s.plan)
	if err != nil {
		return false, err
	}
	s.listen(logs, specs)
	return all, nil
}

// confirmations is how many failures in a row make a cut, from the loss that
// was measured before anything was changed.
func (r *record) confirmations(p *Plan) int {
	checks := 0
	for _, path := range p.Paths {
		checks += 2 * len(path.Ways())
	}
	perHour := float64(checks) * float64(time.Hour) / float64(p.Interval)
	return probes.Confirmations(r.LossRate, p.Budget, perHour)
}
