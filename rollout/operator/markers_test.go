package operator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// atMarkersOf bends what the markers of a node show.
func atMarkersOf(node string, always probes.Outcome) bend {
	is := func(p *corev1.Pod) bool { return p.Labels[markerLabel] != "" && p.Spec.NodeName == node }
	return bend{force: func(from, to *corev1.Pod, got probes.Outcome) probes.Outcome {
		if is(from) || is(to) {
			return always
		}
		return got
	}}
}

func TestANodeThatDoesNotShowTheBridgeHoldsTheCandidatesBack(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ro := s.rollout(s.good())
	ro.Spec.InconclusiveDeadline = metav1.Duration{Duration: 15 * time.Second}
	s.bent = atMarkersOf("node-2", probes.TimedOut)
	s.begin(ro)
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Silent", "Inconclusive")
	if !strings.Contains(rep.Message, "node node-2 does not show") {
		t.Errorf("message %q does not name the node that lags", rep.Message)
	}
	if got := s.c.plane.activatedBy(s.run()); !slices.Contains(got, roleBridge) || slices.Contains(got, roleCandidate) {
		t.Errorf("activated: %v; want bridges and no candidate, because one node never showed its bridge", got)
	}
}

func TestANodeThatDoesNotEnforceIsRefused(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.bent = atMarkersOf("node-1", probes.Reached)
	s.begin(s.rollout(s.good()))
	st := s.end()
	s.wantEnd(st, v1alpha1.PhaseRefused, "Refused", "Refused")
	if !strings.Contains(st.Message, "node node-1 does not show") {
		t.Errorf("message %q does not name the node", st.Message)
	}
}

func TestMarkersStandForEveryBridgeAndNode(t *testing.T) {
	p := &Plan{Plan: plan.Plan{Run: "r",
		Candidates: []plan.Candidate{{Policy: plan.Policy{Namespace: "ai", Name: "c"}}},
		Bridges: []plan.Bridge{
			{Bridge: rollout.Bridge{Namespace: "ai", Direction: networkingv1.PolicyTypeIngress}},
			{Bridge: rollout.Bridge{Namespace: "ai", Direction: networkingv1.PolicyTypeEgress, Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "open"}}}},
		},
	}}
	w := &world{pods: map[types.NamespacedName]*corev1.Pod{}}
	add := func(ns, name, node string) {
		w.pods[types.NamespacedName{Namespace: ns, Name: name}] = &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: corev1.PodSpec{NodeName: node}}
	}
	add("ai", "a", "n1")
	add("ai", "b", "n1")
	add("ai", "pending", "")
	add("elsewhere", "c", "n9")
	if got, want := p.markers(w), []marker{{0, "n1"}, {1, "n1"}}; !slices.Equal(got, want) {
		t.Errorf("markers: got %v, want %v", got, want)
	}
	if got := p.markerLabels(marker{1, "n1"}); got["app"] != "open" || got[markerLabel] != "1" {
		t.Errorf("labels of the second bridge's marker: got %v; its bridge would not select it", got)
	}
	if p.unmarked(w) != nil {
		t.Error("no node is without a marker, yet one is reported")
	}
	for i := range maxMarkerNodes + 3 {
		add("ai", fmt.Sprint("x", i), fmt.Sprint("m", i))
	}
	if got := len(p.markers(w)); got != 2*maxMarkerNodes {
		t.Errorf("%d markers, want %d: no more than the cap", got, 2*maxMarkerNodes)
	}
	if got := p.unmarked(w); len(got) != 1 || !strings.Contains(got[0].What, "on 4 nodes") {
		t.Errorf("not tested: got %v, want the four nodes that are too many", got)
	}
}
