package operator

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

const (
	// planSchema is the major version of Plan's stored form. A minor version may
	// follow a dot: it adds fields, and older releases pass over them.
	planSchema = "tightrope.dev/plan/v1"
	// maxStored bounds a stored plan: etcd takes requests of 1.5 MiB.
	maxStored = 1 << 20
	// maxPlan bounds what a stored plan unfolds to.
	maxPlan = 64 << 20
)

// errPlanLost says that the snapshot of a run is not, or no longer, the plan
// that was armed. Asking again does not help.
var errPlanLost = errors.New("the snapshot of the plan is lost")

// storedPlan is the data of the snapshot: the plan as compressed text. The API
// server keeps a string as it is, while it rewrites JSON; so the digest is of the
// string, and no reader ever marshals a plan again to check it.
type storedPlan struct {
	Plan string `json:"plan"` // base64 of gzip of the plan's JSON
}

// encode returns the plan as it is stored. The same plan gives the same text.
func (p *Plan) encode() (string, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("plan of run %s: %w", p.Run, err)
	}
	var text bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&text, gzip.BestCompression) // the level is a valid one; the header carries no time
	if _, err = zip.Write(raw); err == nil {
		err = zip.Close()
	}
	if err != nil {
		return "", fmt.Errorf("plan of run %s: %w", p.Run, err)
	}
	return base64.StdEncoding.EncodeToString(text.Bytes()), nil
}

// decodePlan reads a stored plan. Fields that this release does not know are
// passed over: a newer one wrote them.
func decodePlan(text string) (*Plan, error) {
	zipped, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(zip, maxPlan+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxPlan {
		return nil, fmt.Errorf("it unfolds to more than %d MiB", maxPlan>>20)
	}
	p := &Plan{digest: digestOfText(text)}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, err
	}
	if p.Schema != planSchema && !strings.HasPrefix(p.Schema, planSchema+".") {
		return nil, fmt.Errorf("it has schema %q, this controller reads %q", p.Schema, planSchema)
	}
	return p, nil
}

func digestOfText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// planRevision names the snapshot of a run's plan. The baseline is part of it.
func planRevision(run string) types.NamespacedName {
	return types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "tightrope-" + run + "-plan"}
}

// savePlan stores the plan as a ControllerRevision, which the API server keeps
// immutable, and returns its digest. It is called before the run is armed.
func savePlan(ctx context.Context, write *writer.Writer, live client.Reader, p *Plan) (string, error) {
	text, err := p.encode()
	if err != nil {
		return "", err
	}
	if len(text) > maxStored {
		return "", &refusal{reasons: []string{fmt.Sprintf("the plan takes %d KiB and a snapshot holds %d: split the rollout, or its suites", len(text)>>10, maxStored>>10)}}
	}
	raw, err := json.Marshal(storedPlan{text})
	if err != nil {
		return "", fmt.Errorf("plan of run %s: %w", p.Run, err)
	}
	key := planRevision(p.Run)
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
	return digestOfText(text), nil
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

// loadPlan reads the plan back and checks it against the armed digest; an empty
// digest takes what is there. An error that is not errPlanLost is worth a retry.
func loadPlan(ctx context.Context, c client.Reader, run, digest string) (*Plan, error) {
	var rev appsv1.ControllerRevision
	key := planRevision(run)
	switch err := c.Get(ctx, key, &rev); {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: %w", errPlanLost, err)
	case err != nil:
		return nil, fmt.Errorf("read the plan of run %s: %w", run, err)
	}
	var stored storedPlan
	if err := json.Unmarshal(rev.Data.Raw, &stored); err != nil {
		return nil, fmt.Errorf("%w: ControllerRevision %s holds no plan: %w", errPlanLost, key, err)
	}
	if got := digestOfText(stored.Plan); digest != "" && got != digest {
		return nil, fmt.Errorf("%w: ControllerRevision %s has digest %s, armed was %s", errPlanLost, key, got, digest)
	}
	p, err := decodePlan(stored.Plan)
	if err != nil {
		return nil, fmt.Errorf("%w: the plan in ControllerRevision %s cannot be read: %w", errPlanLost, key, err)
	}
	return p, nil
}
