package operator

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// report of the run, verified. A decision to go back is in the status before it is in the
// evidence, so of a run that goes on the report is waited for.
func (s *story) report() report.Report {
	s.t.Helper()
	run := s.until("that the evidence has the newest decision", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
		return st.Phase.Terminal() || st.Evidence != nil && s.written(st)
	})
	var cm corev1.ConfigMap
	key := types.NamespacedName{Namespace: s.ns, Name: s.run()} // of both
	for _, o := range []client.Object{run, &cm} {
		if err := s.c.client.Get(s.ctx, key, o); err != nil {
			s.t.Fatalf("report: %v", err)
		}
	}
	rep, err := report.OfRun(run, &cm)
	if err != nil {
		s.t.Fatalf("report: %v", err)
	}
	s.verify(run, rep)
	return *rep
}

// verify holds a report against the evidence of its run.
func (s *story) verify(run *v1alpha1.PolicyRolloutRun, rep *report.Report) {
	s.t.Helper()
	b, size, err := s.evidence(run)
	if err != nil {
		s.t.Fatalf("evidence: %v", err)
	}
	if err := report.Verify(b, rep).Err(); err != nil {
		s.t.Errorf("the report is not verified: %v", err)
	}
	s.t.Logf("evidence: %d chunks, %d bytes in etcd", len(b.Chunks), size)
}

// evidence of a run, and its bytes in etcd.
func (s *story) evidence(run *v1alpha1.PolicyRolloutRun) (*report.Bundle, int, error) {
	size := 0
	b, err := report.Gather(run, func(name string) ([]byte, error) {
		var cm corev1.ConfigMap
		err := s.c.client.Get(s.ctx, types.NamespacedName{Namespace: run.Namespace, Name: name}, &cm)
		size += cm.Size()
		return cm.BinaryData[evidence.Key], err
	})
	return b, size, err
}

// written reports whether the evidence that a status names has the status' own state.
func (s *story) written(st *v1alpha1.PolicyRolloutRunStatus) bool {
	run := &v1alpha1.PolicyRolloutRun{}
	if err := s.c.client.Get(s.ctx, types.NamespacedName{Namespace: s.ns, Name: s.run()}, run); err != nil || run.Status.Phase != st.Phase {
		return false
	}
	b, _, err := s.evidence(run)
	return err == nil && report.Verify(b, nil).Err() == nil
}
