package operator

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// The first restoring writes of a rollback are sent side by side with the record of why
// they are made (docs/adr/0047-restoring-waits-for-no-record.md).

// ahead is what a session remembers of a rollback that is not written down yet, or was a
// moment ago. The zero value is none.
type ahead struct {
	owed    *turn // the decision that could not be written down; nil: none
	widened       // before the rollback was written down
	reaction
}

// widened are policies that are as wide as they may be. Nil is none.
type widened map[types.NamespacedName]bool

// goesBack reports whether a turn begins to take something back.
func (t *turn) goesBack() bool {
	return t.next.Phase == v1alpha1.PhaseRollingBack && !placeOf(t.at).back()
}

// turnTo writes a decision down, and reports whether it is. One that goes back and could
// not be written down is owed: no later pass decides otherwise.
func (r *RunReconciler) turnTo(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session, w *world, t turn) (bool, error) {
	s.reaction.begin(t, s.told)
	wait := r.goAhead(ctx, s, w, t)
	recorded, err := r.advance(ctx, run, s, t)
	wide := wait()
	if err != nil && t.goesBack() {
		s.owed = &t
	} else {
		s.owed, s.widened = nil, wide
	}
	return recorded, err
}

// owes is the decision that is owed to a run in a state; nil: none is.
func (a *ahead) owes(at rollout.State) *turn {
	if a.owed == nil || placeOf(a.owed.at) != placeOf(at) {
		return nil
	}
	t := *a.owed
	t.at = at
	return &t
}

// goAhead sends one write for each bridge and original that the cluster shows, if a turn
// goes back from a live step. It returns what waits for the answers.
//
// Each write carries the version that was read: where anybody else has acted since,
// another controller above all, the API server refuses it. That is left to restore, which
// comes once the rollback is written down, and so is whatever needs an order: a bridge
// that is gone, and pods that somebody has isolated.
func (r *RunReconciler) goAhead(ctx context.Context, s *session, w *world, t turn) (wait func() widened) {
	if s.plan == nil || !t.goesBack() || !s.scopeOf(t.at.Step).Live() || len(s.strangers(w)) > 0 {
		return func() widened { return nil }
	}
	wishes := w.exists(append(s.wide(t.next, nil), s.plan.wholeWishes(w)...))
	s.reaction.send()
	wide, done := widened{}, make(chan struct{})
	go func() {
		defer close(done)
		var mu sync.Mutex
		_ = writer.Each(wishes, func(x wish) error { // what failed is not in wide, and made again
			if r.widenOnce(ctx, x) == nil {
				mu.Lock()
				defer mu.Unlock()
				wide[x.key()] = true
			}
			return nil
		})
	}()
	return func() widened {
		<-done
		return wide
	}
}

// reaction is how long a cut has been known of. The zero value is none.
type reaction struct {
	heard time.Time // when the line of it came in
	gone  bool      // the first restoring write was sent
}

// begin notes a turn that goes back because of a cut. It was told by the first line with
// news that came since the pass before, or, where none had any, by the newest that tells
// of a failure.
func (x *reaction) begin(t turn, told time.Time) {
	if !t.goesBack() || t.next.Cause != rollout.CauseCut || !x.heard.IsZero() {
		return
	}
	x.heard = told
	for _, j := range t.cells {
		if told.IsZero() && j.cut != nil {
			x.heard = later(x.heard, j.cut.failedAt)
		}
	}
}

// send notes that the first restoring write is about to be sent.
func (x *reaction) send() {
	if !x.heard.IsZero() && !x.gone {
		x.gone = true
		cutReaction.WithLabelValues("sent").Observe(time.Since(x.heard).Seconds())
	}
}

// restored notes that every restoring write is acknowledged.
func (x *reaction) restored() {
	if !x.heard.IsZero() {
		cutReaction.WithLabelValues("acknowledged").Observe(time.Since(x.heard).Seconds())
	}
	*x = reaction{}
}
