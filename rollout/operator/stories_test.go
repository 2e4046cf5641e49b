package operator

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
)

func TestAGoodSetCommits(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.begin(s.rollout(s.good()))
	rep := s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	s.wantPhases(rep, "preflight", "observe", "shadow", "expand", "few", "all", "commit")
	for _, p := range rep.Paths {
		if p.Finding != report.Holds || p.Failures != 0 || p.Attempts == 0 {
			t.Errorf("path %q by %s: %s after %d attempts and %d failures, want Holds without a failure", p.Name, p.Via, p.Finding, p.Attempts, p.Failures)
		}
	}
	if rep.Coverage.Required == 0 || rep.Coverage.Proved != rep.Coverage.Required {
		t.Errorf("coverage %+v, want all of some", rep.Coverage)
	}
	if len(rep.Cuts)+len(rep.Leaks) > 0 {
		t.Errorf("cuts %v, leaks %v; want none", rep.Cuts, rep.Leaks)
	}
}

func TestACutEgressPathIsFoundInShadow(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	bad := s.good()
	bad[0] = s.policy("client-egress", map[string]string{"app": "client"}, networkingv1.PolicyTypeEgress, "server", 9999)
	s.begin(s.accepting(bad))
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Cut", "RolledBack")
	if touched := s.c.plane.touchedBy(s.run()); len(touched) > 0 {
		t.Errorf("production pods were selected in shadow: %v", touched)
	}
	if len(rep.Cuts) == 0 || rep.Cuts[0].Path != "client to server" || rep.Cuts[0].Phase != "shadow" ||
		!strings.Contains(rep.Cuts[0].Rule, s.ns+"/client-egress egress: no rule allows 8080/TCP") {
		t.Fatalf("cuts %+v, want the client's path in shadow, blamed on client-egress", rep.Cuts)
	}
	l := rep.Cuts[0].Latencies
	if l.Detect == nil || l.Decide == nil || l.Restore == nil || l.Recover == nil {
		t.Errorf("latencies %+v, want all four", l)
	}
}
