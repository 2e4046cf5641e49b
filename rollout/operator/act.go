package operator

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// act makes the cluster what the recorded state says. It may be interrupted
// anywhere and run again.
func (r *RunReconciler) act(ctx context.Context, s *session, w *world, at rollout.State) error {
	switch at.Phase {
	case v1alpha1.PhaseObserve, v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseHeld:
		if _, err := r.ensureAgents(ctx, s, w); err != nil {
			return err
		}
		return r.enforce(ctx, s, w, s.plan.Steps[at.Step])
	case v1alpha1.PhaseCommitting:
		if _, err := r.ensureAgents(ctx, s, w); err != nil {
			return err
		}
		return r.finalise(ctx, s, w)
	case v1alpha1.PhaseRollingBack:
		if err := r.restore(ctx, s, w, at); err != nil || len(s.agents) > 0 || s.restore == restoreWiden {
			return err
		}
		_, err := r.ensureAgents(ctx, s, w) // after a restart: without them nothing shows that it is back
		return err
	}
	return nil
}

// enforce brings a step's scope about: objects are created inert, bridges go
// before candidates, labels last, so that no pod is ever judged by a candidate
// that its bridge does not know yet.
func (r *RunReconciler) enforce(ctx context.Context, s *session, w *world, step rollout.StepPlan) error {
	s.enter(step.Name)
	if !step.Scope.Live() {
		s.acknowledge(time.Now())
		s.settle(w, time.Now())
		return nil
	}
	if clear, err := r.noOthers(s, w); err != nil || !clear {
		return err
	}
	bridges, candidates := activations(step.Scope)
	wishes := append(s.plan.bridgeWishes(rollout.Inert), s.plan.candidateWishes(rollout.Inert)...)
	if missing := w.absent(wishes); len(missing) > 0 {
		if err := apply(ctx, r.Client, missing); err != nil {
			return err
		}
	}
	began := time.Now()
	if unmet := w.unmet(s.plan.bridgeWishes(bridges)); len(unmet) > 0 {
		if ready, err := r.readyMarkers(ctx, s, w, step); err != nil || !ready {
			return err
		}
		s.acked, s.settledAt, s.bridgesAt = time.Time{}, time.Time{}, time.Time{}
		if err := apply(ctx, r.Client, unmet); err != nil {
			return err
		}
		s.bridgesAt = time.Now()
		s.mark(s.bridgesAt)
		if step.Scope == rollout.Everyone {
			s.tighten(step.Name+"/bridges", began)
		}
		return nil // the cache shows them in a later pass; then the candidates follow
	}
	if unmet := w.unmet(s.plan.candidateWishes(candidates)); len(unmet) > 0 {
		if !s.shown(w, s.bridgesAt) {
			return nil // no node may see a candidate before its bridge
		}
		s.acked, s.settledAt = time.Time{}, time.Time{}
		if err := apply(ctx, r.Client, unmet); err != nil {
			return err
		}
		s.tighten(step.Name+"/candidates", began)
		return nil
	}
	wrote, err := labelPods(ctx, r.Client, w, s.plan.Run, s.enforced(w, step))
	if err != nil {
		return err
	}
	if wrote {
		s.acked, s.settledAt = time.Time{}, time.Time{}
		s.tighten(step.Name+"/labels", began)
		return nil
	}
	s.acknowledge(time.Now())
	s.settle(w, time.Now())
	return nil
}

// readyMarkers reports whether the markers can show the bridges of a step: what
// is still seen of the shadow stage must be gone first.
func (r *RunReconciler) readyMarkers(ctx context.Context, s *session, w *world, step rollout.StepPlan) (bool, error) {
	if step.Scope != rollout.Bridged {
		return true, nil
	}
	wrote, err := r.releaseMarkers(ctx, s, w)
	if err != nil {
		return false, err
	}
	if wrote {
		s.releasedAt = time.Now()
		s.mark(s.releasedAt)
		return false, nil
	}
	return s.shown(w, s.releasedAt), nil
}

// tighten stamps a write that was sent at began and could take a path away,
// once: a stale cache makes a pass write the same again, and that breaks nothing
// anew.
func (s *session) tighten(write string, began time.Time) {
	if s.tighter != write {
		s.tighter, s.issued, s.tightened = write, began, time.Now()
	}
}

// acknowledge notes when all writes of the scope were first seen in force.
func (s *session) acknowledge(now time.Time) {
	if s.acked.IsZero() {
		s.acked = now
	}
}

// enforced picks the production pods that wear the label in a step. Pods that
// wear it already keep it.
func (s *session) enforced(w *world, step rollout.StepPlan) map[types.NamespacedName]bool {
	want := map[types.NamespacedName]bool{}
	if step.Scope < rollout.Few {
		return want
	}
	var pods []rollout.Member
	for _, pod := range w.selected(s.plan.Candidates) {
		pods = append(pods, rollout.Member{
			Key: client.ObjectKeyFromObject(pod).String(), Workload: workloadOf(pod),
			Enforced: pod.Labels[v1alpha1.LabelEnforced] == s.plan.Run, Ready: ready(pod),
		})
	}
	chosen := rollout.Pick(pods, step.MaxPods)
	for _, pod := range w.selected(s.plan.Candidates) {
		key := client.ObjectKeyFromObject(pod)
		want[key] = chosen[key.String()]
	}
	return want
}

// workloadOf names what a pod is a replica of: its controller, or itself.
func workloadOf(pod *corev1.Pod) string {
	for _, o := range pod.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return pod.Namespace + "/" + string(o.UID)
		}
	}
	return pod.Namespace + "/" + pod.Name
}

// restoreStage is how far a rollback has come. It is forgotten with the process;
// starting over is harmless.
type restoreStage uint8

const (
	restoreWiden   restoreStage = iota // make the bridges select everyone they may
	restoreRecover                     // wait until the probes get through again
	restoreClear                       // neutralise, then delete candidates, labels, bridges
	restoreVerify                      // watch the baseline without anything of ours
	restoreDone
)

// recoverDeadline is how long a rollback waits for the probes to get through
// over the widened bridges, before it takes the candidates away regardless.
const recoverDeadline = 10 * time.Second

func (s *session) reach(stage restoreStage) {
	s.restore, s.restoreAt = stage, time.Now()
}

// restore takes a live change back (protocol.md §3): widen the bridges, so that
// every path that worked works again; then remove the candidates under their
// cover; then the bridges; and look that all is well.
func (r *RunReconciler) restore(ctx context.Context, s *session, w *world, at rollout.State) error {
	s.enter("rollback")
	candidates := append(s.plan.candidateWishes(rollout.Inert), s.plan.finalWishes(rollout.Inert)...)
	bridges := s.plan.wideWishes(s.scopeOf(at.Step))
	switch s.restore {
	case restoreWiden:
		if err := apply(ctx, r.Client, w.exists(bridges)); err != nil {
			return err
		}
		s.reach(restoreRecover)
		s.record.restored(s.restoreAt)
		s.mark(s.restoreAt)
	case restoreRecover:
		r.dateBreaks(ctx, s)
		if !s.recovered(w) && time.Since(s.restoreAt) < recoverDeadline {
			return nil
		}
		s.reach(restoreClear)
	case restoreClear:
		return r.clear(ctx, s, w, candidates)
	case restoreVerify:
		if s.verified(w) {
			s.reach(restoreDone)
		}
	}
	return nil
}

// clear takes one kind of object away per pass, inert before gone.
func (r *RunReconciler) clear(ctx context.Context, s *session, w *world, candidates []wish) error {
	if there := w.exists(candidates); len(there) > 0 {
		if unmet := w.unmet(there); len(unmet) > 0 {
			return apply(ctx, r.Client, unmet)
		}
		return remove(ctx, r.Client, there)
	}
	if _, err := labelPods(ctx, r.Client, w, s.plan.Run, nil); err != nil {
		return err
	}
	if time.Since(s.restoreAt) < 2*s.settleTime {
		return nil // every node must have dropped the candidates before the bridges go
	}
	if there := w.exists(s.plan.bridgeWishes(rollout.Inert)); len(there) > 0 {
		if unmet := w.unmet(there); len(unmet) > 0 {
			if err := apply(ctx, r.Client, unmet); err != nil {
				return err
			}
			s.bridgesAt = time.Now()
			s.mark(s.bridgesAt)
			return nil
		}
		if !s.shown(w, s.bridgesAt) && time.Since(s.bridgesAt) < recoverDeadline {
			return nil // a node that sees the deletion first may keep the bridge
		}
		return remove(ctx, r.Client, append(there, w.exists(s.plan.markerWishes())...))
	}
	s.reach(restoreVerify)
	s.mark(s.restoreAt)
	return nil
}

// recovered reports whether every path that worked before the change works
// again.
func (s *session) recovered(w *world) bool { return s.worksSince(w, 1) }

// verified asks for more: enough samples without anything of ours in the way.
// What somebody else did to the baseline meanwhile stays: it is not ours to undo,
// and no failure of the rollback.
func (s *session) verified(w *world) bool {
	return s.worksSince(w, minSamples) && !s.marked(w)
}

// marked reports whether a production pod still wears the run's label.
func (s *session) marked(w *world) bool {
	for _, pod := range w.pods {
		if pod.Labels[v1alpha1.LabelRole] == "" && pod.Labels[v1alpha1.LabelEnforced] == s.plan.Run {
			return true
		}
	}
	return false
}

func (s *session) worksSince(w *world, samples int64) bool {
	if len(s.agents) == 0 {
		return false // nobody looked
	}
	p := s.look(w, rollout.Bridged, time.Now())
	without := *p // the world without anything of ours: what others deny in it, no rollback brings back
	without.live = verdict.Compile(s.plan.before(w), nil)
	for _, x := range p.sights {
		path := s.plan.Paths[x.route.path]
		if x.route.witness || path.Expect != v1alpha1.ExpectAllow || !path.votes() {
			continue
		}
		if p.qualified != nil && !p.qualified[cell{x.route.path, x.route.via}] {
			continue
		}
		if without.predicted(x, path) == verdict.Deny {
			continue
		}
		if !x.state.Last.Connected() || x.state.ConnectedSinceMark < samples {
			return false
		}
	}
	return true
}
