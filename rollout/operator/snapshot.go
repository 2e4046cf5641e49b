package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// maxStored bounds a stored plan: etcd takes requests of 1.5 MiB.
const maxStored = 1 << 20

// errPlanLost says that the snapshot of a run is not, or no longer, the plan
// that was armed. Asking again does not help.
var errPlanLost = errors.New("the snapshot of the plan is lost")

// savePlan stores the plan as a ControllerRevision, which the API server keeps
// immutable, and returns its digest. It is called before the run is armed.
func savePlan(ctx context.Context, write *writer.Writer, live client.Reader, p *Plan) (string, error) {
	text, err := plan.Encode(p)
	if err != nil {
		return "", fmt.Errorf("plan of run %s: %w", p.Run, err)
	}
	no := &refusal{}
	if no.addLarge(text); len(no.reasons) > 0 {
		return "", no
	}
	raw, err := json.Marshal(plan.Stored{Plan: text})
	if err != nil {
		return "", fmt.Errorf("plan of run %s: %w", p.Run, err)
	}
	key := plan.Revision(p.Run)
	rev := &appsv1.ControllerRevision{
		ObjectMeta: p.key().Meta(key.Namespace, key.Name, roleSnapshot),
		Data:       runtime.RawExtension{Raw: raw},
		Revision:   1,
	}
	err = write.Create(ctx, rev.DeepCopy())
	if apierrors.IsAlreadyExists(err) {
		err = replaceUnarmed(ctx, write, live, p.key(), rev)
	}
	if err != nil {
		return "", fmt.Errorf("snapshot the plan of run %s: %w", p.Run, err)
	}
	return plan.DigestOfText(text), nil
}

// addLarge refuses a plan, as it would be stored, that no snapshot holds.
func (no *refusal) addLarge(text string) {
	if len(text) > maxStored {
		no.add("the plan takes %d KiB and a snapshot holds %d: split the rollout, or its suites", len(text)>>10, maxStored>>10)
	}
}

// replaceUnarmed replaces what an operator left that was stopped before it armed
// the run: nothing rests on it.
func replaceUnarmed(ctx context.Context, write *writer.Writer, live client.Reader, run runKey, rev *appsv1.ControllerRevision) error {
	var old appsv1.ControllerRevision
	if err := live.Get(ctx, client.ObjectKeyFromObject(rev), &old); err != nil {
		return err
	}
	if !run.Made(&old) {
		return writer.NotOurs("ControllerRevision", &old)
	}
	if err := write.Delete(ctx, &old); err != nil {
		return err
	}
	return write.Create(ctx, rev)
}

// armedWith is the digest of the snapshot that a run is armed with; empty: it is not.
// A run that an earlier release armed has no snapshotDigest: its planDigest was that of
// the snapshot, and is verified as such until the next turn writes both.
func armedWith(run *v1alpha1.PolicyRolloutRun) string {
	return cmp.Or(run.Status.SnapshotDigest, run.Status.PlanDigest)
}

// loadPlan reads the plan back and checks it against the armed digest; an empty
// digest takes what is there. An error that is not errPlanLost is worth a retry.
func loadPlan(ctx context.Context, c client.Reader, run, digest string) (*Plan, error) {
	var rev appsv1.ControllerRevision
	key := plan.Revision(run)
	switch err := c.Get(ctx, key, &rev); {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: %w", errPlanLost, err)
	case err != nil:
		return nil, fmt.Errorf("read the plan of run %s: %w", run, err)
	}
	var stored plan.Stored
	if err := json.Unmarshal(rev.Data.Raw, &stored); err != nil {
		return nil, fmt.Errorf("%w: ControllerRevision %s holds no plan: %w", errPlanLost, key, err)
	}
	if got := plan.DigestOfText(stored.Plan); digest != "" && got != digest {
		return nil, fmt.Errorf("%w: ControllerRevision %s has digest %s, armed was %s", errPlanLost, key, got, digest)
	}
	p := &Plan{stored: plan.DigestOfText(stored.Plan)}
	if err := plan.Decode(stored.Plan, p); err != nil {
		return nil, fmt.Errorf("%w: the plan in ControllerRevision %s cannot be read: %w", errPlanLost, key, err)
	}
	return p, nil
}
