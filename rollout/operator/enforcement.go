package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// twinLabel marks the twin of a run; the check's policies select by it.
const twinLabel = "tightrope.dev/twin"

// leastSettle is assumed of any cluster, however quick the one node was that was measured.
const leastSettle = 250 * time.Millisecond

// defaultSettle is assumed for how long a policy takes to act, until measured.
const defaultSettle = 500 * time.Millisecond

// enforcementCheck learns on two pods of ours, before anything else is touched,
// whether this cluster enforces NetworkPolicy at all, and whether every kind of
// write that a rollout and its rollback rest on takes effect, both ways. The
// zero value is the start.
type enforcementCheck struct {
	move    int
	written time.Time // when the current move's writes were acknowledged
}

// move is one write and what the control pod must then see of the twin.
type move struct {
	what     string
	deny     rollout.Activation // of a policy that denies the twin all ingress
	bridge   bool               // an allow-all policy with the requirements of a bridge selects it
	enforced bool               // the twin wears the enforced label
	label    bool               // that is what is written
	reached  bool               // wanted
}

var moves = []move{
	{what: "the twin is reached without any policy", deny: rollout.Inert, reached: true},
	{what: "a policy without rules denies it", deny: rollout.Live},
	{what: "an allow-all policy beside it allows it again (widening)", deny: rollout.Live, bridge: true, reached: true},
	{what: "a label added to a running pod takes it out of that policy (NotIn)", deny: rollout.Live, bridge: true, enforced: true, label: true},
	{what: "the label removed puts it back", deny: rollout.Live, bridge: true, reached: true, label: true},
	{what: "the allow-all policy is narrowed to nothing", deny: rollout.Live},
	{what: "the denying policy is narrowed to nothing", deny: rollout.Inert, reached: true},
}

// step makes one move further and reports whether the check is over. The error
// is a *refusal, or errNotEnforced, or worth a retry.
func (c *enforcementCheck) step(ctx context.Context, r *RunReconciler, s *session, w *world, twin types.NamespacedName) (bool, error) {
	if over, err := c.wait(s); !over {
		return false, err
	}
	run := s.plan.key()
	if c.move == len(moves) {
		return true, r.remove(ctx, w.exists(checkWishes(run, move{})))
	}
	if err := c.write(ctx, r, w, run, moves[c.move], twin); err != nil {
		return false, err
	}
	c.written = time.Now()
	s.pods.Mark(c.written)
	return false, nil
}

// wait reports whether the current move has taken effect, and goes on to the next; no
// move needs no waiting.
func (c *enforcementCheck) wait(s *session) (over bool, err error) {
	if c.written.IsZero() {
		return true, nil
	}
	m, waited := moves[c.move], time.Since(c.written)
	if took, seen := c.seen(s, m); seen {
		if c.move > 0 {
			s.noteEffect(m.label, took)
		}
		c.move++
		c.written = time.Time{}
		return true, nil
	}
	if within := s.actsWithin(m.label); waited >= within {
		return false, c.failed(m, within)
	}
	return false, nil
}

func (c *enforcementCheck) failed(m move, within time.Duration) error {
	switch c.move {
	case 0:
		return &refusal{reasons: []string{"the control pod cannot reach the twin although no policy of ours is there: look at the policies and the network of namespace " + v1alpha1.SystemNamespace}}
	case 1:
		return errNotEnforced
	}
	return &refusal{reasons: []string{fmt.Sprintf("this cluster enforces NetworkPolicy, but %v after the write this was not so: %s; a rollback could not be promised here", within, m.what)}}
}

// seen reports whether the control pod's newest attempts agree with the move, and
// how long after the write the first of them began: by then it had taken effect.
// The attempts' own time, and that of their report, is no part of it.
func (c *enforcementCheck) seen(s *session, m move) (took time.Duration, seen bool) {
	st, ok := s.pods.State(s.plan.controlName(), twinCheck)
	if !ok {
		return 0, false
	}
	if m.reached {
		seen = st.ShowsAllow()
	} else {
		seen = st.ShowsDeny()
	}
	return max(0, st.StreakBegan().Sub(c.written)), seen
}

func (c *enforcementCheck) write(ctx context.Context, r *RunReconciler, w *world, run runKey, m move, twin types.NamespacedName) error {
	if err := r.apply(ctx, r.Write, w.unmet(checkWishes(run, m))); err != nil {
		return err
	}
	pod := w.pods[twin]
	if pod == nil {
		return fmt.Errorf("the twin %s is gone", twin)
	}
	value := &run.Name
	if !m.enforced {
		value = nil
	}
	if err := r.Write.Relabel(ctx, pod, map[string]*string{v1alpha1.LabelEnforced: value}, nil); err != nil {
		return fmt.Errorf("label the twin: %w", err)
	}
	return nil
}

// checkWishes are the two policies of the check as a move wants them.
func checkWishes(run runKey, m move) []wish {
	twin := metav1.LabelSelector{MatchLabels: map[string]string{twinLabel: run.Name}}
	deny := rollout.MatchNothing()
	if m.deny == rollout.Live {
		deny = twin
	}
	b := rollout.Bridge{Namespace: v1alpha1.SystemNamespace, Direction: networkingv1.PolicyTypeIngress, Selector: twin}
	allow := rollout.MatchNothing()
	if m.bridge {
		allow = rollout.BridgeSelector(b, rollout.Live, run.Name)
	}
	return []wish{
		{namespace: b.Namespace, name: plan.ObjectName(run.Name, "check-deny", 0), role: roleCheck, run: run, spec: networkingv1.NetworkPolicySpec{
			PodSelector: deny, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		}},
		{namespace: b.Namespace, name: plan.ObjectName(run.Name, "check-bridge", 0), role: roleCheck, run: run, spec: rollout.BridgeSpec(b, allow)},
	}
}

// errNotEnforced says that a policy had no effect on packets.
var errNotEnforced = errors.New("this cluster does not enforce NetworkPolicy: a connection got through a policy that denies it; " +
	"nothing was changed. Use a cluster whose network plugin enforces policies")
