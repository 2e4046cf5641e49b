package operator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

const (
	// maxRolloutName leaves room for the suffix of the run's name, which is also
	// a label value, and for the names of the run's objects.
	maxRolloutName = 40
	// firstAttempt is the attempt of a generation's first run: see wantedAttempt.
	firstAttempt = 1
)

// RunName is the name of the run that tries a generation of a rollout: the
// rollout's name and 8 hexadecimal digits of SHA-256 of its UID, generation and
// attempt (from 1). A rollout that is deleted and made again under its name has
// another UID, so nothing of its older runs is found by the new one.
func RunName(rollout string, uid types.UID, generation, attempt int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", uid, generation, attempt))
	return rollout + "-" + hex.EncodeToString(sum[:4])
}

// runKey names a run for good: its name can be used again, its UID cannot. The
// zero runKey made nothing.
type runKey struct {
	name string
	uid  types.UID
}

func keyOf(run *v1alpha1.PolicyRolloutRun) runKey { return runKey{run.Name, run.UID} }

// meta is the metadata of an object of the run.
func (k runKey) meta(namespace, name, role string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name,
		Labels:      map[string]string{v1alpha1.LabelRun: k.name, v1alpha1.LabelRole: role},
		Annotations: map[string]string{v1alpha1.AnnotationRunUID: string(k.uid)},
	}
}

// made reports whether the run made the object. A label alone says nothing: it
// may be of a run that had the name before, or copied by somebody.
func (k runKey) made(o metav1.Object) bool {
	return k.uid != "" && o.GetLabels()[v1alpha1.LabelRun] == k.name && o.GetAnnotations()[v1alpha1.AnnotationRunUID] == string(k.uid)
}

// marks reports whether the object carries one of the run's marks, so that it
// still is told apart after somebody edited the other off.
func (k runKey) marks(o metav1.Object) bool {
	return k.uid != "" && (o.GetLabels()[v1alpha1.LabelRun] == k.name || o.GetAnnotations()[v1alpha1.AnnotationRunUID] == string(k.uid))
}

// errNotOurs is a write that would have changed an object of somebody else.
type errNotOurs struct{ what string }

func (e *errNotOurs) Error() string {
	return e.what + " exists and was not made by this run, so it is left alone: rename or remove it"
}

func notOurs(kind string, o client.Object) error {
	return &errNotOurs{fmt.Sprintf("%s %s/%s", kind, o.GetNamespace(), o.GetName())}
}
