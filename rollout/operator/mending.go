package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// While a run goes back, what it wrote is put right as often as somebody else changes it:
// to stop would leave paths cut. Only the pace is bounded, and who does it is named
// (docs/adr/0051-a-rollback-does-not-give-in.md).

const (
	// mendFirst is the least time between two writes of a policy that somebody has
	// changed for the second time; it doubles with each time.
	mendFirst = 100 * time.Millisecond
	// mendSlowest bounds it: paths are cut meanwhile.
	mendSlowest = 5 * time.Second
)

// mend is what a rollback remembers of a policy that it wrote.
type mend struct {
	over  string    // the resourceVersion that was written over; empty: there was none
	spec  string    // digest of what was written
	shown bool      // the cluster was seen to be so
	at    time.Time // of the write
	again int       // how often somebody else changed it after such a write
	by    string    // who did so last, in words
	what  string    // the policy, in words
}

// pause is how long after a write the next one waits.
func (m *mend) pause() time.Duration {
	if m.again == 0 {
		return 0
	}
	return min(mendFirst<<min(m.again-1, 10), mendSlowest)
}

// mends are the policies that a rollback wrote, by their names. Nil is none.
type mends map[types.NamespacedName]*mend

// due picks those of seen wishes that are not as wished and may be written now.
func (ms mends) due(seen []wish, now time.Time) []wish {
	var out []wish
	for _, x := range seen {
		m := ms[x.key()]
		switch {
		case x.have != nil && equality.Semantic.DeepEqual(x.have.Spec, x.spec):
			if m != nil {
				m.shown = true
			}
		case m == nil, m.ours(x):
			out = append(out, x)
		case !m.undone(x): // the cache is behind our own write
			if now.Sub(m.at) >= slowTick {
				out = append(out, x)
			}
		case now.Sub(m.at) >= m.pause():
			out = append(out, x)
		}
	}
	return out
}

// ours reports whether the policy is as the run itself left it, so that it is wished
// otherwise by now.
func (m *mend) ours(x wish) bool { return x.have != nil && plan.SumOf(x.have.Spec) == m.spec }

// undone reports whether somebody else changed the policy since it was written.
func (m *mend) undone(x wish) bool { return !m.ours(x) && (m.shown || m.over != versionOf(x)) }

func versionOf(x wish) string {
	if x.have == nil {
		return ""
	}
	return x.have.ResourceVersion
}

// mended takes note of wishes that were written.
func (s *restoring) mended(wishes []wish, now time.Time) {
	if s.mends == nil {
		s.mends = mends{}
	}
	for _, x := range wishes {
		m := s.mends[x.key()]
		if m == nil {
			m = &mend{what: fmt.Sprintf("policy %s, a %s of this run,", x.key(), x.role)}
			if x.original != nil {
				m.what = fmt.Sprintf("policy %s, which this run gives back,", x.key())
			}
			s.mends[x.key()] = m
		} else if m.undone(x) {
			m.again++
			m.by = "deleted by somebody"
			if x.have != nil {
				m.by = "changed by " + lastWriter(x.have)
			}
		}
		m.over, m.spec, m.shown, m.at = versionOf(x), plan.SumOf(x.spec), false, now
	}
}

// contested says which policies somebody else changes back; empty: none.
func (ms mends) contested() string {
	var all []string
	for _, m := range ms {
		if m.again > 0 {
			all = append(all, fmt.Sprintf("%s was %s again after this run had written it", m.what, m.by))
		}
	}
	slices.Sort(all)
	if more := len(all) - maxNamed; more > 0 {
		all = append(all[:maxNamed], fmt.Sprintf("so were %d more", more))
	}
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "; ") + fmt.Sprintf(": a run that goes back puts that right each time, with up to %v in between, in which paths may be cut; stop whoever does it", mendSlowest)
}

// mend puts right what a rollback wide open keeps, as far as it may be written now, and
// takes what it wrote off the pods that strangers isolate.
func (r *RunReconciler) mend(ctx context.Context, s *session, w *world, wide []wish, strangers []verdict.Policy) error {
	now := time.Now()
	wide, acting := s.mends.due(wide, now), s.mends.due(sparing(s.acting(w), strangers, s.plan.Run), now)
	if len(wide)+len(strangers) == 0 {
		return nil
	}
	if err := r.spare(ctx, s.plan.Run, w, acting, wide, strangers); err != nil {
		return err
	}
	s.mended(append(wide, acting...), time.Now())
	return nil
}

// neutralise makes policies of the run select nothing, those that may be written now.
func (r *RunReconciler) neutralise(ctx context.Context, s *session, there []wish) error {
	due := s.mends.due(there, time.Now())
	if err := r.apply(ctx, r.restoring().Write, due); err != nil {
		return err
	}
	s.mended(due, time.Now())
	return nil
}

// showContested writes down who works against a rollback.
func (r *RunReconciler) showContested(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session) error {
	what := s.mends.contested()
	if what == "" || !meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionContested, Status: metav1.ConditionTrue, Reason: "ChangedAgain", Message: clip(what, 1024), ObservedGeneration: run.Generation,
	}) {
		return nil
	}
	if err := r.deciding().Write.UpdateStatus(ctx, run); err != nil {
		return fmt.Errorf("record who changes policies of run %s: %w", run.Name, err)
	}
	s.saw(run)
	r.Events.Eventf(run, nil, corev1.EventTypeWarning, v1alpha1.ConditionContested, "Restore", "%s", clip(what, 1000))
	return nil
}
