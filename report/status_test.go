package report

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// A published report can be edited, deleted, taken from another run, or never have
// been finished. None of these is told as what the run has proved.
func TestOnlyTheControllersReportIsTold(t *testing.T) {
	data, _, err := Store(&Report{SchemaVersion: SchemaVersion, Run: "r-1", Result: "RolledBack"})
	if err != nil {
		t.Fatal(err)
	}
	head, err := Digest(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*v1alpha1.PolicyRolloutRun, *corev1.ConfigMap)
		want string // empty: it is told
	}{
		{"as it was written", func(*v1alpha1.PolicyRolloutRun, *corev1.ConfigMap) {}, ""},
		{"of a run under way", func(run *v1alpha1.PolicyRolloutRun, _ *corev1.ConfigMap) {
			run.Status.Evidence.ReportDigest, run.Status.Conditions = "", nil
		}, ""},
		{"edited", func(_ *v1alpha1.PolicyRolloutRun, cm *corev1.ConfigMap) {
			cm.Data = map[string]string{storedKey: strings.Replace(cm.Data[storedKey], "RolledBack", "Committed", 1)}
		}, "its digest is sha256:"},
		{"hidden behind a packed one", func(_ *v1alpha1.PolicyRolloutRun, cm *corev1.ConfigMap) {
			_, packed, err := Store(&Report{SchemaVersion: SchemaVersion, Result: "Committed", Message: strings.Repeat("x", maxReadable)})
			if err != nil {
				t.Fatal(err)
			}
			cm.BinaryData = packed
		}, "its digest is sha256:"},
		{"of another run", func(_ *v1alpha1.PolicyRolloutRun, cm *corev1.ConfigMap) { cm.Annotations = nil }, "it is of run UID"},
		{"not finished", func(run *v1alpha1.PolicyRolloutRun, _ *corev1.ConfigMap) { run.Status.Evidence.ReportDigest = "" }, "the last one could not be written"},
		{"emptied while the run goes on", func(run *v1alpha1.PolicyRolloutRun, cm *corev1.ConfigMap) {
			run.Status.Evidence.ReportDigest, run.Status.Conditions, cm.Data = "", nil, nil
		}, "has neither report.json nor report.json.gz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "r-1", UID: "u"}}
			run.Status.Evidence = &v1alpha1.Evidence{Report: "r-1", ReportDigest: head}
			meta.SetStatusCondition(&run.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionTidied, Status: metav1.ConditionTrue})
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: "r-1", Annotations: map[string]string{v1alpha1.AnnotationRunUID: "u"}}, Data: data}
			tt.edit(run, cm)
			r, err := OfRun(run, cm)
			switch {
			case tt.want == "" && (err != nil || r.Result != "RolledBack"):
				t.Errorf("%+v, %v", r, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			case tt.want != "" && !strings.Contains(tt.want, "neither") && !errors.Is(err, ErrAltered):
				t.Errorf("%v is not ErrAltered", err)
			}
		})
	}
}

// A report that no digest vouches for is told, and that as well.
func TestAReportWithoutDigestIsNotVerified(t *testing.T) {
	for _, tt := range []struct {
		phase    v1alpha1.Phase
		evidence *v1alpha1.Evidence
		want     string
	}{
		{v1alpha1.PhaseCommitted, &v1alpha1.Evidence{Report: "r-1", ReportDigest: "sha256:x"}, ""},
		{v1alpha1.PhaseRefused, nil, ""},
		{v1alpha1.PhaseHeld, &v1alpha1.Evidence{Report: "r-1"}, "run r-1 goes on"},
		{v1alpha1.PhaseCommitted, &v1alpha1.Evidence{Report: "r-1"}, "run r-1 has not finished tidying"},
	} {
		run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Name: "r-1"}}
		run.Status.Phase, run.Status.Evidence = tt.phase, tt.evidence
		if got := Unverified(run); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s, %+v: %q, want %q", tt.phase, tt.evidence, got, tt.want)
		}
	}
}

func TestTheDigestIsOfTheReportHoweverItIsStored(t *testing.T) {
	r := &Report{SchemaVersion: SchemaVersion, Message: strings.Repeat("x", maxReadable)}
	_, packed, err := Store(r)
	if err != nil || packed == nil {
		t.Fatal("not packed", err)
	}
	raw, err := unpack(nil, packed)
	if err != nil {
		t.Fatal(err)
	}
	one, err1 := Digest(nil, packed)
	other, err2 := Digest(map[string]string{storedKey: string(raw)}, nil)
	if one != other || err1 != nil || err2 != nil {
		t.Errorf("%s and %s, %v, %v", one, other, err1, err2)
	}
}
