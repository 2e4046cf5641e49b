package operator

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// calledAsOurs are stages that are called as the places of a run are, or as what a run
// does there.
func calledAsOurs() []v1alpha1.Stage {
	one := intstr.FromInt32(1)
	few := v1alpha1.Scope{MaxPods: &one}
	return []v1alpha1.Stage{
		{Name: "commit", Mode: v1alpha1.ModeObserve},
		{Name: "restore", Mode: v1alpha1.ModeObserve},
		{Name: "rollback", Mode: v1alpha1.ModeShadow},
		{Name: "tidy", Mode: v1alpha1.ModeShadow},
		{Name: "expand", Mode: v1alpha1.ModeCanary, Scope: few},
		{Name: "pause", Mode: v1alpha1.ModeCanary, Scope: few},
		{Name: "preflight", Mode: v1alpha1.ModeEnforce},
		{Name: "observe", Mode: v1alpha1.ModeEnforce},
	}
}

// longest makes the names of paths as long as they may be, which is counted in characters.
func longest(suite *v1alpha1.ConnectivitySuite) {
	for i := range suite.Spec.Paths {
		p := &suite.Spec.Paths[i]
		p.Name += strings.Repeat("→", 120-utf8.RuneCountInString(p.Name))
	}
}

// Steps are told apart by what they are. Whatever people call their stages, and however
// long they call their paths, a run goes the way that it would go anyway.
func TestStagesAreCalledAsOurPlaces(t *testing.T) {
	inPlaces := []string{"(preflight)", "commit", "restore", "rollback", "tidy", "(expand)", "expand", "pause", "preflight", "observe", "(commit)"}
	for _, tt := range []struct {
		name   string
		abort  string // the stage in which somebody aborts; empty: nobody does
		bad    bool   // the candidates cut a path
		phase  v1alpha1.Phase
		cause  string
		phases []string // of the report
	}{
		{"a good set", "", false, v1alpha1.PhaseCommitted, "", inPlaces},
		{"a bad set", "", true, v1alpha1.PhaseRolledBack, "Cut", append(slices.Clone(inPlaces[:7]), "(rollback)")},
		{"aborted before anything is live", "commit", false, v1alpha1.PhaseRolledBack, "Aborted", append(slices.Clone(inPlaces[:2]), "(rollback)")},
		{"aborted when everything is", "preflight", false, v1alpha1.PhaseRolledBack, "Aborted", append(slices.Clone(inPlaces[:9]), "(rollback)")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			candidates, suite := s.good(), s.suite()
			if tt.bad {
				candidates[1] = s.policy("server-ingress", map[string]string{"app": "server"}, networkingv1.PolicyTypeIngress, "nobody", 8080)
			}
			longest(suite)
			ro := s.rollout(candidates)
			ro.Spec.Stages = calledAsOurs()
			if tt.bad {
				ro.Spec.Exceptions = []v1alpha1.Exception{{Type: v1alpha1.ExceptionPredictedCut, Path: suite.Spec.Paths[0].Name, Reason: "the data plane is to show it"}}
			}
			for i := range ro.Spec.Stages {
				if ro.Spec.Stages[i].Name == tt.abort {
					ro.Spec.Stages[i].MinDuration = metav1.Duration{Duration: time.Minute}
				}
			}
			h := s.record()
			s.beginWith(ro, suite)
			if tt.abort != "" {
				s.until("stage "+tt.abort, func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Phase.Staged() && st.Stage == tt.abort })
				s.abort()
			}
			st := s.end()
			rep := s.wantEnd(st, tt.phase, tt.cause, string(tt.phase))
			if tt.abort != "commit" { // in which a namespace without policies stays one
				h.wantThreeStates(s.baseline, after(s.baseline, ro))
			}
			var got []string
			for _, p := range rep.Phases {
				got = append(got, p.Name)
			}
			if !slices.Equal(got, tt.phases) {
				t.Errorf("the report tells of %q, want %q", got, tt.phases)
			}
			for _, change := range st.History {
				if staged := slices.ContainsFunc(ro.Spec.Stages, func(g v1alpha1.Stage) bool { return g.Name == change.Stage }); staged && !change.Phase.Staged() && change.Phase != v1alpha1.PhasePreflight {
					t.Errorf("the run was %s in %q, as a stage is called", change.Phase, change.Stage)
				}
			}
			if tt.bad && (len(rep.Cuts) == 0 || rep.Cuts[0].Phase != "expand" || rep.Cuts[0].Path != suite.Spec.Paths[0].Name || st.Cuts[0].Path != rep.Cuts[0].Path) {
				t.Errorf("cuts %+v, want one of the path in the stage called expand", rep.Cuts)
			}
		})
	}
}
