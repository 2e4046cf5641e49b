package operator

import (
	"context"
	"time"

	"github.com/tightrope-dev/tightrope/rollout"
)

// finalise puts the candidates in force under their own names and then makes
// the temporary objects select nothing. A new name cannot be given to an object,
// so the final one is created inert and activated by update. The recorded phase
// Committed is the commit point; until then a crash or a cut still restores.
func (r *RunReconciler) finalise(ctx context.Context, s *session, w *world) error {
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
		return r.apply(ctx, write, missing)
	}
	if unmet := w.unmet(s.plan.finalWishes(rollout.Live)); len(unmet) > 0 {
		if err := r.apply(ctx, write, unmet); err != nil {
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
		if err := r.apply(ctx, write, unmet); err != nil {
			return err
		}
		s.tighten("commit", began)
		return nil
	}
	s.acknowledge(time.Now())
	s.settle(w, time.Now(), true)
	return nil
}
