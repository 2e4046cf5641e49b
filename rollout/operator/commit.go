package operator

import (
	"context"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// waitToCommit takes a decision to commit back for as long as it is not known that the
// cluster is as the pass sees it, and reports whether it did.
func (r *RunReconciler) waitToCommit(s *session, w *world, t *turn) (bool, error) {
	if t.at.Phase != v1alpha1.PhaseCommitting || t.next.Phase != v1alpha1.PhaseCommitted {
		return false, nil
	}
	may, err := r.mayTighten(s, w, t.at)
	if !may {
		t.next = t.at
	}
	return !may, err
}

// finalise puts the candidates in force under their own names and then makes
// the temporary objects select nothing. A new name cannot be given to an object,
// so the final one is created inert and activated by update. The recorded phase
// Committed is the commit point; until then a crash or a cut still restores.
func (r *RunReconciler) finalise(ctx context.Context, s *session, w *world, at rollout.State) error {
	s.enter(place{kind: commit})
	if s.paused {
		s.settle(w, time.Now(), true)
		return nil
	}
	write, err := r.forward(s.plan)
	if err != nil {
		return err
	}
	if missing := w.absent(s.plan.finalWishes(rollout.Inert)); len(missing) > 0 {
		_, err := r.tightens(ctx, s, w, at, write, missing)
		return err
	}
	if unmet := w.unmet(s.plan.finalWishes(rollout.Live)); len(unmet) > 0 {
		if wrote, err := r.tightens(ctx, s, w, at, write, unmet); err != nil || !wrote {
			return err
		}
		s.bridgesAt = time.Now()
		s.note(s.bridgesAt)
		return nil
	}
	if s.bridgesAt.IsZero() { // written by a process before this one: the wait begins again
		s.bridgesAt = time.Now()
	}
	if time.Since(s.bridgesAt) < 2*s.settleTime {
		return nil // no node may lose the temporary object before it has the final one
	}
	if unmet := w.unmet(s.plan.candidateWishes(rollout.Inert)); len(unmet) > 0 {
		began := time.Now()
		if wrote, err := r.tightens(ctx, s, w, at, write, unmet); err != nil || !wrote {
			return err
		}
		s.tighten("commit", began)
		return nil
	}
	s.acknowledge(time.Now())
	s.settle(w, time.Now(), true)
	return nil
}
