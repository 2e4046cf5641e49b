package operator

import (
	"context"
	"fmt"
	"slices"
	"sync"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/verdict"
)

// foreign lists the policies of a namespace that no run made. The temporary
// policies of another run are no baseline: that run takes them away.
func (w *world) foreign(namespace string) []verdict.Policy {
	var out []verdict.Policy
	for i := range w.policies {
		if np := &w.policies[i]; np.Namespace == namespace && !planner.Marked(np) {
			out = append(out, verdict.PolicyOf(np))
		}
	}
	return out
}

// leftovers asks whose the marked policies of the namespaces are, which foreign
// leaves out of the baseline. Those of a run that is over and not tidied up yet
// are waited for. One that no existing run made is refused, unless it selects no
// pod: it acts on pods now, nobody says for how long, and a bridge planned
// without it would open what it closes.
func (r *RunReconciler) leftovers(ctx context.Context, namespaces []string, run *v1alpha1.PolicyRolloutRun, w *world, no *refusal) error {
	runs := sync.OnceValues(func() ([]v1alpha1.PolicyRolloutRun, error) { return otherRuns(ctx, r.Live, run) })
	for i := range w.policies {
		np := &w.policies[i]
		n, noted := noteOf(np)
		noted = noted && !n.heldBy(keyOf(run))
		marked := planner.Marked(np) && !keyOf(run).Made(np) && !inert(np)
		if !slices.Contains(namespaces, np.Namespace) || !noted && !marked {
			continue
		}
		others, err := runs()
		if err != nil {
			return err
		}
		if noted {
			if err := no.heldByOthers(np, n, others); err != nil {
				return err
			}
		}
		if !marked {
			continue
		}
		name := np.Labels[v1alpha1.LabelRun]
		at := slices.IndexFunc(others, func(o v1alpha1.PolicyRolloutRun) bool { return keyOf(&o).Made(np) })
		switch {
		case at < 0:
			no.add("policy %s/%s carries the label %s=%s, and no run of that name made it: delete it if that run left it there, remove the label if the policy is to stay",
				np.Namespace, np.Name, v1alpha1.LabelRun, name)
		case !others[at].Status.Phase.Terminal(): // claim has refused it
		case meta.IsStatusConditionTrue(others[at].Status.Conditions, v1alpha1.ConditionTidied):
			no.add("policy %s/%s was left by run %s, which has ended: delete it", np.Namespace, np.Name, name)
		default:
			return fmt.Errorf("run %s has ended and not yet taken its policy %s/%s away", name, np.Namespace, np.Name)
		}
	}
	return nil
}

func inert(np *networkingv1.NetworkPolicy) bool {
	return rollout.SelectsNothing(np.Spec.PodSelector)
}
