package operator

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// aFinished run has its last status and nothing else: an operator is to finish it.
func aFinishedRun(t *testing.T, objects ...client.Object) (*RunReconciler, *v1alpha1.PolicyRolloutRun) {
	t.Helper()
	run := aRun(v1alpha1.PhaseRolledBack, v1alpha1.IntentAbort)
	run.Status.Result, run.Status.Cause, run.Status.Evidence = "RolledBack", "Aborted", &v1alpha1.Evidence{Report: run.Name}
	r, s := runningOver(t, interceptor.Funcs{}, run)
	writtenDown(t, r, s, run)
	r.drop(client.ObjectKeyFromObject(run))
	for _, o := range objects {
		if err := r.Write.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return r, run
}

func finishRun(t *testing.T, r *RunReconciler, run *v1alpha1.PolicyRolloutRun) {
	t.Helper()
	key := client.ObjectKeyFromObject(run)
	for range 3 {
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Get(t.Context(), key, run); err != nil {
		t.Fatal(err)
	}
	if !meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionTidied) {
		t.Fatalf("not finished: %+v", run.Status)
	}
}

func theReport(t *testing.T, r *RunReconciler, run *v1alpha1.PolicyRolloutRun) *corev1.ConfigMap {
	t.Helper()
	cm := &corev1.ConfigMap{}
	if err := r.Get(t.Context(), publishedName(run), cm); err != nil {
		t.Fatal(err)
	}
	return cm
}

func TestTheReportIsWhereTheRunIs(t *testing.T) {
	r, run := aFinishedRun(t)
	finishRun(t, r, run)
	cm := theReport(t, r, run)
	if !metav1.IsControlledBy(cm, run) || cm.Namespace != run.Namespace || cm.Name != run.Status.Evidence.Report {
		t.Errorf("%+v; want it in the run's namespace and owned by it", cm.ObjectMeta)
	}
	rep, err := report.OfRun(run, cm)
	if err != nil || rep.Result != "RolledBack" {
		t.Errorf("%+v, %v", rep, err)
	}
	cm.Data["report.json"] = strings.Replace(cm.Data["report.json"], "RolledBack", "Committed", 1)
	if _, err := report.OfRun(run, cm); !errors.Is(err, report.ErrAltered) {
		t.Errorf("an edited report is taken for the controller's: %v", err)
	}
}

// What a tenant makes of the report is nothing that the controller ever reads, and
// what somebody makes of a chunk is found out.
func TestNothingRestsOnWhatATenantWrites(t *testing.T) {
	run := aRun(v1alpha1.PhaseCanary, v1alpha1.IntentRun)
	r, s := runningOver(t, interceptor.Funcs{}, run)
	timings := "the controller's"
	s.record.State.Settle = time.Minute
	s.record.log(evidence.Entry{Timings: &timings}, time.Now())
	writtenDown(t, r, s, run)
	if _, err := s.record.publish(t.Context(), r.Write, r.Live, run); err != nil {
		t.Fatal(err)
	}
	cm := theReport(t, r, run)
	cm.Data = map[string]string{"report.json": `{"message": "forged"}`}
	if err := r.Write.Update(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	var after record
	if err := after.load(t.Context(), r.Live, run); err != nil || after.Report.Timings != timings || after.State.Settle != time.Minute {
		t.Errorf("%+v, %v", after, err)
	}
	if _, err := s.record.publish(t.Context(), r.Write, r.Live, run); err != nil {
		t.Fatal(err)
	}
	if cm := theReport(t, r, run); strings.Contains(cm.Data["report.json"], "forged") {
		t.Errorf("the forgery stays: %v", cm.Data)
	}
	head := report.HeadOf(run)
	chunk := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: evidence.Name(run.Name, head.Chunks, head.Digest)}}
	if err := r.Get(t.Context(), client.ObjectKeyFromObject(chunk), chunk); err != nil {
		t.Fatal(err)
	}
	other := evidence.Chunk{Schema: evidence.Schema, Run: run.Name, RunUID: string(run.UID), Number: 1}
	packed, _, err := other.Text()
	if err != nil {
		t.Fatal(err)
	}
	chunk.BinaryData[evidence.Key] = packed
	if err := r.Write.Update(t.Context(), chunk); err != nil {
		t.Fatal(err)
	}
	var forged record
	if err := forged.load(t.Context(), r.Live, run); err != nil || forged.Begun() || forged.State.Settle != 0 {
		t.Errorf("a forged chunk is believed: %+v, %v", forged.State, err)
	}
}

// Somebody has a ConfigMap of that name. It stays as it is, and the run ends without it.
func TestARunEndsThoughTheNameOfItsReportIsTaken(t *testing.T) {
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "r-1"}, Data: map[string]string{"report.json": "{}"}}
	r, run := aFinishedRun(t, theirs)
	finishRun(t, r, run)
	if run.Status.Evidence.ReportDigest != "" {
		t.Errorf("evidence %+v for a report that is not published", run.Status.Evidence)
	}
	cm := theReport(t, r, run)
	if cm.Data["report.json"] != "{}" {
		t.Errorf("overwritten: %v", cm.Data)
	}
	if _, err := report.OfRun(run, cm); !errors.Is(err, report.ErrAltered) {
		t.Errorf("taken for the run's: %v", err)
	}
	if err := r.Write.Delete(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	finishRun(t, r, run)
	if _, err := report.OfRun(run, theReport(t, r, run)); err != nil {
		t.Errorf("the name is free, and the report is not published: %v", err)
	}
}

// A run plans again while its report is being published: only a pass changes what the
// session knows, and it does so once the report is out.
func TestARunPlansAgainWhileItsReportIsPublished(t *testing.T) {
	run := aRun(v1alpha1.PhaseObserve, v1alpha1.IntentRun)
	r, s := runningOver(t, interceptor.Funcs{}, run)
	r.startPublishing(run, s)
	s.planAgain() // the race detector sees what the write aside shares with it
	s.record.wait()
	if s.record.published != nil {
		t.Error("a write aside changed the record of a session")
	}
	if err := s.seeEvidence(run); err != nil {
		t.Fatal(err)
	}
	if s.record.published == nil || s.record.published.ResourceVersion == "" || s.record.refused != "" {
		t.Errorf("after the write: published %+v, refused %q", s.record.published, s.record.refused)
	}
}

// A run under way is not hindered by it, and it is told once.
func TestARunGoesOnThoughItsReportIsNotPublished(t *testing.T) {
	run := aRun(v1alpha1.PhaseCanary, v1alpha1.IntentRun)
	r, s := runningOver(t, interceptor.Funcs{}, run)
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "r-1"}}
	if err := r.Write.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.startPublishing(run, s)
		s.record.wait()
		if s.record.job.err != nil {
			t.Errorf("it is tried again with every pass: %v", s.record.job.err)
		}
		if err := s.seeEvidence(run); err != nil {
			t.Fatal(err)
		}
	}
	told := r.Events.(*events.FakeRecorder).Events
	if event := <-told; !strings.HasPrefix(event, "Warning ReportNotPublished") || len(told) > 0 {
		t.Errorf("told %q and %d more", event, len(told))
	}
}
