package operator

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// planRevision names the snapshot of a run's plan. The baseline is part of it.
func planRevision(run string) types.NamespacedName {
	return types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "tightrope-" + run + "-plan"}
}

// savePlan stores the plan as a ControllerRevision, which the API server keeps
// immutable. It is called before the run is armed with the plan's digest.
func savePlan(ctx context.Context, c client.Client, p *Plan) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("plan of run %s: %w", p.Run, err)
	}
	key := planRevision(p.Run)
	rev := &appsv1.ControllerRevision{
		ObjectMeta: p.key().meta(key.Namespace, key.Name, roleSnapshot),
		Data:       runtime.RawExtension{Raw: raw},
		Revision:   1,
	}
	err = c.Create(ctx, rev.DeepCopy(), client.FieldOwner(fieldManager))
	if apierrors.IsAlreadyExists(err) {
		// Left by an operator that was stopped before it armed: nothing rests on it.
		if err := c.Delete(ctx, rev.DeepCopy()); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("replace the unarmed plan of run %s: %w", p.Run, err)
		}
		err = c.Create(ctx, rev, client.FieldOwner(fieldManager))
	}
	if err != nil {
		return fmt.Errorf("snapshot the plan of run %s: %w", p.Run, err)
	}
	return nil
}

// loadPlan reads the plan back and checks it against the armed digest; an empty
// digest takes what is there.
func loadPlan(ctx context.Context, c client.Reader, run, digest string) (*Plan, error) {
	var rev appsv1.ControllerRevision
	if err := c.Get(ctx, planRevision(run), &rev); err != nil {
		return nil, fmt.Errorf("read the plan of run %s: %w", run, err)
	}
	var p Plan
	if err := json.Unmarshal(rev.Data.Raw, &p); err != nil {
		return nil, fmt.Errorf("plan of run %s does not parse: %w", run, err)
	}
	if p.Schema != planSchema {
		return nil, fmt.Errorf("plan of run %s has schema %q, this controller reads %q", run, p.Schema, planSchema)
	}
	if got := p.Digest(); digest != "" && got != digest {
		return nil, fmt.Errorf("plan of run %s has digest %s, armed was %s: the snapshot is not the plan that was checked", run, got, digest)
	}
	return &p, nil
}
