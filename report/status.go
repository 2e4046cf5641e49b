package report

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// ErrAltered says that a published report is not what the controller wrote when the
// run had ended. It proves nothing.
var ErrAltered = errors.New("the report is not the one that the controller wrote")

// OfRun is the report in the ConfigMap that the status of the run names. Whoever may
// edit ConfigMaps may have edited it: of a run that is over its digest is held against
// the one in the run's status.
func OfRun(run *v1alpha1.PolicyRolloutRun, cm *corev1.ConfigMap) (*Report, error) {
	where := fmt.Sprintf("ConfigMap %s/%s", cm.Namespace, cm.Name)
	if got := cm.Annotations[v1alpha1.AnnotationRunUID]; run.UID == "" || got != string(run.UID) {
		return nil, fmt.Errorf("%s: %w: it is of run UID %q, and run %s has UID %q", where, ErrAltered, Sanitize(got), run.Name, run.UID)
	}
	head := ""
	if run.Status.Evidence != nil {
		head = run.Status.Evidence.ReportDigest
	}
	digest, err := Digest(cm.Data, cm.BinaryData)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", where, err)
	case head != "" && digest != head:
		return nil, fmt.Errorf("%s: %w: its digest is %s, and run %s ended with %s; the controller's own is in ConfigMap %s/tightrope-%s-report",
			where, ErrAltered, digest, run.Name, head, v1alpha1.SystemNamespace, run.Name)
	case head == "" && meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionTidied):
		return nil, fmt.Errorf("%s: %w: the last one could not be written; the events of run %s say why", where, ErrAltered, run.Name)
	}
	r, err := Published(cm.Data, cm.BinaryData)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return r, nil
}

// Unverified says why the report of a run is not held against a digest; empty: it is,
// or it is made of the run's status alone.
func Unverified(run *v1alpha1.PolicyRolloutRun) string {
	if e := run.Status.Evidence; e == nil || e.Report == "" || e.ReportDigest != "" {
		return ""
	}
	if run.Status.Phase.Terminal() {
		return fmt.Sprintf("run %s has not finished tidying, and names the digest of its report when it has: whoever may edit ConfigMaps may have edited this one", run.Name)
	}
	return fmt.Sprintf("run %s goes on, and names the digest of its report when it is over: whoever may edit ConfigMaps may have edited this one", run.Name)
}

// Result is what the end of a run makes of its rollout: its own result, or
// PartlyCommitted where it leaves waves before it in force and makes none of its own.
func Result(run *v1alpha1.PolicyRolloutRun) string {
	phase := run.Status.Phase
	failed := phase.Terminal() && phase != v1alpha1.PhaseCommitted && phase != v1alpha1.PhaseRollbackFailed
	if run.CalledOff() || run.Spec.Wave > 1 && failed {
		return v1alpha1.PartlyCommitted
	}
	return run.Status.Result
}

// OfStatus is what the status of a run tells where it has no report: preflight
// refused it, for one.
func OfStatus(run *v1alpha1.PolicyRolloutRun) *Report {
	st := run.Status
	r := &Report{SchemaVersion: SchemaVersion, Run: run.Name, Rollout: run.Namespace + "/" + run.Spec.RolloutRef.Name,
		Result: Result(run), Cause: st.Cause, Message: st.Message}
	for _, h := range st.History {
		if r.Started.IsZero() {
			r.Started = h.At.Time
		}
		r.Ended = h.At.Time
	}
	return r
}
