package operator

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// act makes the cluster what the recorded state says. It may be interrupted
// anywhere and run again.
func (r *RunReconciler) act(ctx context.Context, s *session, w *world, at rollout.State) error {
	if placeOf(at).kind == rollback {
		return r.actBack(ctx, s, w, at)
	}
	switch at.Phase {
	case v1alpha1.PhaseObserve, v1alpha1.PhaseCanary, v1alpha1.PhaseEnforce, v1alpha1.PhaseHeld:
		if _, err := r.ensureAgents(ctx, s, w); err != nil {
			return err
		}
		return r.enforce(ctx, s, w, at, s.plan.Steps[at.Step])
	case v1alpha1.PhaseCommitting:
		if _, err := r.ensureAgents(ctx, s, w); err != nil {
			return err
		}
		return r.finalise(ctx, s, w, at)
	}
	return nil
}

// enforce brings a step's scope about: objects are created inert, bridges go
// before candidates, labels last, so that no pod is ever judged by a candidate
// that its bridge does not know yet. Originals let go of pods once the candidates
// have those.
func (r *RunReconciler) enforce(ctx context.Context, s *session, w *world, at rollout.State, step rollout.StepPlan) error {
	here := placeOf(at)
	s.enter(here)
	if !step.Scope.Live() {
		s.acknowledge(time.Now())
		s.settle(w, time.Now(), false)
		return nil
	}
	if s.paused { // what is half done stays so: each write on the way is safe by itself
		s.settle(w, time.Now(), true)
		return nil
	}
	write, err := r.forward(s.plan)
	if err != nil {
		return err
	}
	bridges, candidates := activations(step.Scope)
	wishes := append(s.plan.bridgeWishes(rollout.Inert), s.plan.candidateWishes(rollout.Inert)...)
	if missing := w.absent(wishes); len(missing) > 0 {
		if wrote, err := r.tightens(ctx, s, w, at, write, missing); err != nil || !wrote {
			return err
		}
	}
	began := time.Now()
	if unmet := w.unmet(s.plan.bridgeWishes(bridges)); len(unmet) > 0 {
		if ready, err := r.readyMarkers(ctx, s, w, step); err != nil || !ready {
			return err
		}
		s.acked, s.settledAt, s.bridgesAt = time.Time{}, time.Time{}, time.Time{}
		if wrote, err := r.tightens(ctx, s, w, at, write, unmet); err != nil || !wrote {
			return err
		}
		s.bridgesAt = time.Now()
		s.pods.Mark(s.bridgesAt)
		s.note(s.bridgesAt)
		if step.Scope == rollout.Everyone {
			s.tighten(here.String()+"/bridges", began)
		}
		return nil // the cache shows them in a later pass; then the candidates follow
	}
	if unmet := w.unmet(s.plan.candidateWishes(candidates)); len(unmet) > 0 {
		if s.bridgesAt.IsZero() { // written by a process before this one: what is waited for by time is waited for again
			s.bridgesAt = began
		}
		if !s.shown(w, s.bridgesAt, s.settleTime) {
			return nil // no node may see a candidate before its bridge
		}
		s.acked, s.settledAt = time.Time{}, time.Time{}
		if wrote, err := r.tightens(ctx, s, w, at, write, unmet); err != nil || !wrote {
			return err
		}
		s.tighten(here.String()+"/candidates", began)
		return nil
	}
	if unmet := w.unmet(s.plan.originalWishes(w, rollout.HoldOf(step.Scope))); len(unmet) > 0 {
		s.acked, s.settledAt = time.Time{}, time.Time{}
		if wrote, err := r.tightens(ctx, s, w, at, write, unmet); err != nil || !wrote {
			return err
		}
		s.tighten(here.String()+"/originals", began)
		return nil
	}
	if enforced := s.enforced(w, step); len(w.mislabelled(v1alpha1.LabelEnforced, s.plan.Run, enforced)) > 0 {
		if may, err := r.mayTighten(s, w, at); err != nil || !may {
			return err
		}
		s.listing = nil // it was before this write
		if _, err := labelPods(ctx, write, w, v1alpha1.LabelEnforced, s.plan.Run, enforced); err != nil {
			return err
		}
		s.acked, s.settledAt = time.Time{}, time.Time{}
		s.labelledAt = time.Now()
		s.tighten(here.String()+"/labels", began)
		return nil
	}
	s.acknowledge(time.Now())
	s.settle(w, time.Now(), true)
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
		s.pods.Mark(s.releasedAt)
		return false, nil
	}
	return s.shown(w, s.releasedAt, s.labelTime), nil
}

// tighten stamps a write that was sent at began and could take a path away,
// once: a stale cache makes a pass write the same again, and that breaks nothing
// anew.
func (s *session) tighten(write string, began time.Time) {
	if s.tighter != write {
		s.tighter, s.issued, s.tightened = write, began, time.Now()
	}
	s.note(time.Now())
}

// note remembers when a write was acknowledged, for as long as failures may be held
// against it and some more: what one write began the next does not hide.
func (s *session) note(write time.Time) {
	old := write.Add(-2 * recentWrite(max(s.settleTime, s.labelTime)))
	s.wrote = append(slices.DeleteFunc(s.wrote, old.After), write)
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
	selected := w.selected(s.plan)
	for _, pod := range selected {
		pods = append(pods, rollout.Member{
			Key: client.ObjectKeyFromObject(pod).String(), Workload: workloadOf(pod),
			Enforced: pod.Labels[v1alpha1.LabelEnforced] == s.plan.Run, Ready: ready(pod),
		})
	}
	chosen := rollout.Pick(pods, step.MaxPods)
	for _, pod := range selected {
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
