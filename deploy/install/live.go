package install

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// runs lists the runs of the cluster; none where the kind is not served.
func (i *installer) runs(ctx context.Context) ([]v1alpha1.PolicyRolloutRun, error) {
	var list v1alpha1.PolicyRolloutRunList
	err := i.c.List(ctx, &list)
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list the runs that are under way: %w", err)
	}
	return list.Items, nil
}

// live are the runs that are not over: what they have in force may be half done.
func (i *installer) live(ctx context.Context) ([]v1alpha1.PolicyRolloutRun, error) {
	all, err := i.runs(ctx)
	var live []v1alpha1.PolicyRolloutRun
	for _, run := range all {
		if !run.Status.Phase.Terminal() {
			live = append(live, run)
		}
	}
	return live, err
}

// noneLive refuses to do something while a run is under way, and names each.
func (i *installer) noneLive(ctx context.Context, what string) error {
	live, err := i.live(ctx)
	if err != nil || len(live) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s; wait until it is over, or abort it, then %s", ErrLive, spokenRuns(live), what)
}

func spokenRuns(runs []v1alpha1.PolicyRolloutRun) string {
	var names []string
	for _, run := range runs {
		names = append(names, fmt.Sprintf("run %s/%s (%s)", run.Namespace, run.Name, phaseOf(run)))
	}
	return strings.Join(names, ", ")
}

func phaseOf(run v1alpha1.PolicyRolloutRun) string {
	if run.Status.Phase == "" {
		return "not begun"
	}
	return string(run.Status.Phase)
}

// abortAll aborts every run that is under way and waits until each is over.
func (i *installer) abortAll(ctx context.Context) error {
	return i.await(ctx, func(ctx context.Context) (string, error) {
		live, err := i.live(ctx)
		if err != nil {
			return "", err
		}
		for _, run := range live {
			if run.Spec.Intent == v1alpha1.IntentAbort {
				continue
			}
			abort := fmt.Sprintf(`{"metadata":{"uid":%q},"spec":{"intent":"Abort"}}`, run.UID)
			err := i.c.Patch(ctx, &run, client.RawPatch(types.MergePatchType, []byte(abort)), client.FieldOwner(fieldManager))
			if client.IgnoreNotFound(err) != nil {
				return "", fmt.Errorf("abort run %s/%s: %w", run.Namespace, run.Name, err)
			}
			i.say("aborted run %s/%s", run.Namespace, run.Name)
		}
		if len(live) == 0 {
			return "", nil
		}
		return spokenRuns(live) + " takes its change back", nil
	})
}
