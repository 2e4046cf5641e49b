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

// publishAgain is when a report that could not be published is tried again.
const publishAgain = time.Minute

// publishing is what a record knows of the copy of its report that people read.
type publishing struct {
	published *metav1.ObjectMeta // as written last; nil: not by this process
	refused   string             // why it could not be published last; empty: it could
}

// publishedName is the ConfigMap with a run's report: in the namespace of the run, so
// that those who may see the run may read it.
func publishedName(run *v1alpha1.PolicyRolloutRun) types.NamespacedName {
	return types.NamespacedName{Namespace: run.Namespace, Name: run.Name}
}

// copyOf is the report for people as an object, and its digest. It is owned by the run
// and goes with it. Nothing is ever read back from it: a tenant can edit it.
func copyOf(rep *report.Report, run *v1alpha1.PolicyRolloutRun) (*corev1.ConfigMap, string, error) {
	data, binary, err := report.Store(rep)
	if err != nil {
		return nil, "", err
	}
	digest, err := report.Digest(data, binary)
	if err != nil {
		return nil, "", err
	}
	key := publishedName(run)
	cm := &corev1.ConfigMap{ObjectMeta: keyOf(run).Meta(key.Namespace, key.Name, roleReport), Data: data, BinaryData: binary}
	cm.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(run, v1alpha1.GroupVersion.WithKind("PolicyRolloutRun"))}
	return cm, digest, nil
}

// publish writes the report for people and returns its digest.
func (r *record) publish(ctx context.Context, write *writer.Writer, live client.Reader, run *v1alpha1.PolicyRolloutRun) (string, error) {
	cm, digest, err := copyOf(&r.Report, run)
	if err != nil {
		return "", err
	}
	if r.published, err = store(ctx, write, live, keyOf(run), cm, r.published); err != nil {
		return "", fmt.Errorf("write the report of run %s: %w", run.Name, err)
	}
	return digest, nil
}

// startPublishing publishes, aside, the report of a run under way as its chunks tell
// it. What keeps it from that is told once; it hinders the run in nothing.
func (r *RunReconciler) startPublishing(run *v1alpha1.PolicyRolloutRun, s *session) {
	rec := &s.record
	rec.shown = rec.links.Head()
	cm, _, err := copyOf(&rec.Report, run)
	if err != nil {
		slog.Error("report", "run", run.Name, "error", err)
		return
	}
	run = run.DeepCopy()
	s.aside(false, func(ctx context.Context, _ *job) error {
		last, err := store(ctx, r.Write, r.Live, keyOf(run), cm, rec.published)
		if err == nil {
			rec.published, rec.refused = last, ""
			return nil
		}
		err = fmt.Errorf("write the report of run %s: %w", run.Name, err)
		if unpublishable(err) {
			if rec.refused != err.Error() {
				rec.refused = err.Error()
				r.unpublished(run, err)
			}
			return nil
		}
		return err
	})
}

// store writes a ConfigMap over the one that this process wrote last, and returns
// what it is now. Where there is another by now, or none was written yet, it looks
// whether that is the run's.
func store(ctx context.Context, write *writer.Writer, live client.Reader, run runKey, cm *corev1.ConfigMap, last *metav1.ObjectMeta) (*metav1.ObjectMeta, error) {
	put := func() error {
		if last == nil {
			return write.Create(ctx, cm)
		}
		cm.UID, cm.ResourceVersion = last.UID, last.ResourceVersion
		return write.Update(ctx, cm)
	}
	err := put()
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		var now corev1.ConfigMap
		switch err := live.Get(ctx, client.ObjectKeyFromObject(cm), &now); {
		case apierrors.IsNotFound(err):
			last, cm.UID, cm.ResourceVersion = nil, "", ""
		case err != nil:
			return last, err
		case !run.Made(&now):
			return last, writer.NotOurs("ConfigMap", &now)
		default:
			last = &now.ObjectMeta
		}
		err = put()
	}
	if err == nil {
		last = &cm.ObjectMeta
	}
	return last, err
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

// digestOfReport is that of the report that was published at the end; empty: it was not.
func digestOfReport(run *v1alpha1.PolicyRolloutRun) string {
	if run.Status.Evidence == nil {
		return ""
	}
	return run.Status.Evidence.ReportDigest
}
