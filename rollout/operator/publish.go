package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

const (
	// publishEvery bounds how old the report may be that people read during a step.
	publishEvery = 30 * time.Second
	// publishAgain is when a report that could not be published is tried again.
	publishAgain = time.Minute
)

// publishing is what a record knows of the copy of its report that people read.
type publishing struct {
	published   *metav1.ObjectMeta // as written last; nil: not by this process
	publishedAt time.Time          // zero: not since the last change of phase
	refused     string             // why it could not be published last; empty: it could
}

// publishedName is the ConfigMap with a run's report: in the namespace of the run, so
// that those who may see the run may read it.
func publishedName(run *v1alpha1.PolicyRolloutRun) types.NamespacedName {
	return types.NamespacedName{Namespace: run.Namespace, Name: run.Name}
}

// publish writes the report for people and returns its digest. It is owned by the run
// and goes with it. Nothing is ever read back from it: a tenant can edit it.
func (r *record) publish(ctx context.Context, write *writer.Writer, live client.Reader, run *v1alpha1.PolicyRolloutRun) (string, error) {
	data, binary, err := report.Store(&r.Report)
	if err != nil {
		return "", err
	}
	digest, err := report.Digest(data, binary)
	if err != nil {
		return "", err
	}
	key := publishedName(run)
	cm := &corev1.ConfigMap{
		ObjectMeta: keyOf(run).Meta(key.Namespace, key.Name, roleReport),
		Data:       data, BinaryData: binary,
	}
	cm.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("PolicyRolloutRun"))}
	if r.published, err = store(ctx, write, live, keyOf(run), cm, r.published); err != nil {
		return "", fmt.Errorf("write the report of run %s: %w", run.Name, err)
	}
	r.publishedAt = time.Now()
	return digest, nil
}

// publishNow publishes the report of a run under way if people have an old one. What
// keeps it from that is told; it hinders the run in nothing.
func (r *RunReconciler) publishNow(ctx context.Context, run *v1alpha1.PolicyRolloutRun, s *session) error {
	if time.Since(s.record.publishedAt) < publishEvery {
		return nil
	}
	_, err := s.record.publish(ctx, r.Write, r.Live, run)
	if !unpublishable(err) {
		return err
	}
	s.record.publishedAt = time.Now() // not with every pass
	if s.record.refused != err.Error() {
		s.record.refused = err.Error()
		r.unpublished(run, err)
	}
	return nil
}

// unpublishable reports whether asking again soon cannot help: the name is somebody
// else's, a quota is used up, or the namespace goes away.
func unpublishable(err error) bool {
	return errors.As(err, new(*writer.NotOursError)) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err)
}

func (r *RunReconciler) unpublished(run *v1alpha1.PolicyRolloutRun, err error) {
	slog.Warn("the report is not published", "run", client.ObjectKeyFromObject(run), "error", err)
	r.Events.Eventf(run, nil, corev1.EventTypeWarning, "ReportNotPublished", "Publish", "%s", clip(err.Error(), 1000))
}

// headOf is the digest of the report that was published at the end; empty: it was not.
func headOf(run *v1alpha1.PolicyRolloutRun) string {
	if run.Status.Evidence == nil {
		return ""
	}
	return run.Status.Evidence.Head
}
