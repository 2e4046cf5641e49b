package operator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// TestWideningWithoutAPlan judges by pods: a production pod that is enforced, one
// that is not, and one of ours.
func TestWideningWithoutAPlan(t *testing.T) {
	selector := metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}
	plan := func() *Plan {
		p := aPlan()
		p.Bridges[0].Selector, p.Candidates[0].Spec.PodSelector = selector, selector
		p.Candidates[0].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
		return p
	}
	forget := func(policies []networkingv1.NetworkPolicy) []networkingv1.NetworkPolicy {
		for i := range policies {
			delete(policies[i].Annotations, v1alpha1.AnnotationSelector)
		}
		return policies
	}
	enforced, production := map[string]string{"app": "x", v1alpha1.LabelEnforced: "r-1"}, map[string]string{"app": "x"}
	probe := map[string]string{"app": "x", v1alpha1.LabelProbe: "r-1", v1alpha1.LabelEnforced: "r-1"}
	for _, tt := range []struct {
		name             string
		bridge           rollout.Activation
		candidate        rollout.Activation
		edit             func([]networkingv1.NetworkPolicy) []networkingv1.NetworkPolicy
		widened, dropped bool // the bridge selects what it is for; the candidate selects nothing
		pods             []map[string]string
	}{
		{"a canary", rollout.Live, rollout.Live, nil, true, false, []map[string]string{enforced, production, probe}},
		{"enforced everywhere, from what the bridge carries", rollout.Inert, rollout.Live, nil, true, false, []map[string]string{enforced, production, probe}},
		{"a shadow stage stays one", rollout.Shadow, rollout.Shadow, nil, true, false, []map[string]string{probe}},
		{"a canary whose bridge lost its annotation", rollout.Live, rollout.Live, forget, true, false, []map[string]string{enforced, production, probe}},
		{"a shadow stage whose bridge lost it", rollout.Shadow, rollout.Shadow, forget, true, false, []map[string]string{probe}},
		{"enforced, and the bridge lost it", rollout.Inert, rollout.Live, forget, false, true, nil},
		{"enforced, and the bridge is gone", rollout.Inert, rollout.Live, func(p []networkingv1.NetworkPolicy) []networkingv1.NetworkPolicy { return p[1:] }, false, true, nil},
		{"nothing is in force", rollout.Inert, rollout.Inert, nil, false, false, nil},
		{"policies of another run", rollout.Live, rollout.Live, func(p []networkingv1.NetworkPolicy) []networkingv1.NetworkPolicy {
			for i := range p {
				p[i].Annotations[v1alpha1.AnnotationRunUID] = "another"
			}
			return p
		}, false, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := plan()
			var policies []networkingv1.NetworkPolicy
			for _, x := range append(p.bridgeWishes(tt.bridge), p.candidateWishes(tt.candidate)...) {
				policies = append(policies, *x.object())
			}
			if tt.edit != nil {
				policies = tt.edit(policies)
			}
			var widened, dropped bool
			for _, x := range widenWithoutPlan(p.key(), policies) {
				switch x.role {
				case roleBridge:
					widened = true
					for _, pod := range []map[string]string{enforced, production, probe, {"app": "y"}} {
						want := slices.ContainsFunc(tt.pods, func(m map[string]string) bool { return fmt.Sprint(m) == fmt.Sprint(pod) })
						if got := selects(&x.spec.PodSelector, pod); got != want {
							t.Errorf("the bridge selects %v: %v, want %v", pod, got, want)
						}
					}
				case roleCandidate:
					dropped = true
					if selects(&x.spec.PodSelector, production) {
						t.Error("a candidate without a bridge still selects pods")
					}
				}
			}
			if widened != tt.widened || dropped != tt.dropped {
				t.Errorf("widened %v, candidate taken away %v; want %v, %v", widened, dropped, tt.widened, tt.dropped)
			}
		})
	}
}

func TestAnArmedRunWithoutItsSnapshotIsRolledBack(t *testing.T) {
	for _, bridge := range []rollout.Activation{rollout.Inert, rollout.Live} {
		t.Run("bridge "+bridge.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rollBackWithoutSnapshot(t, bridge) })
		})
	}
}

func rollBackWithoutSnapshot(t *testing.T, bridge rollout.Activation) {
	p := aPlan()
	p.Candidates[0].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: p.Run, UID: p.RunUID, Finalizers: []string{finalizer}}}
	run.Status.Phase, run.Status.PlanDigest = v1alpha1.PhaseEnforce, "sha256:0"
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", Labels: map[string]string{v1alpha1.LabelEnforced: p.Run}}}
	b := newBench(t, run, pod)
	b.must(b.api.Status().Update(t.Context(), run))
	b.must(b.apply(t.Context(), b.Write, b.look().absent(append(p.bridgeWishes(bridge), p.candidateWishes(rollout.Live)...))))
	b.Events, b.sessions, b.base = events.NewFakeRecorder(100), map[types.NamespacedName]*session{}, t.Context()
	key := client.ObjectKeyFromObject(run)
	var now v1alpha1.PolicyRolloutRun
	for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(tick) {
		_, err := b.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
		b.must(err)
		b.must(b.api.Get(t.Context(), key, &now))
		for _, np := range b.look().policies { // no pod is cut at any moment from the first act on
			if now.Status.Phase == v1alpha1.PhaseRollingBack && np.Name == theCandidate && !inert(&np) && inert(b.get(theBridge)) && len(b.sessions[key].undone) > 0 {
				t.Fatalf("after %v the candidate acts and no bridge covers it", time.Since(began))
			}
		}
		if len(now.Status.Conditions) > 0 && over(&now) {
			break
		}
	}
	if now.Status.Phase != v1alpha1.PhaseRolledBack || now.Status.Result != "RolledBack" {
		t.Errorf("ended %s", describe(&now))
	}
	for _, want := range []string{"the snapshot of the plan is lost", "1 bridges were widened, 1 policies were taken away, 0 of them without a bridge", "no probe looked"} {
		if !strings.Contains(now.Status.Message, want) {
			t.Errorf("message %q lacks %q", now.Status.Message, want)
		}
	}
	w := b.look()
	if len(w.policies) > 0 || w.pods[client.ObjectKeyFromObject(pod)].Labels[v1alpha1.LabelEnforced] != "" {
		t.Errorf("left: %+v, pod %v", w.policies, w.pods[client.ObjectKeyFromObject(pod)].Labels)
	}
}

func over(run *v1alpha1.PolicyRolloutRun) bool {
	return slices.ContainsFunc(run.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionTidied && c.Status == metav1.ConditionTrue
	})
}

// Without a plan a quarantine is known by sharing pods with a bridge: no policy of
// the baseline does.
func TestARollbackWithoutAPlanLeavesAQuarantineAlone(t *testing.T) {
	for name, quarantine := range map[string]map[string]string{
		"one requirement": {"quarantine": "yes"}, "two requirements": {"quarantine": "yes", "app": "x"},
	} {
		t.Run(name, func(t *testing.T) {
			p := aPlan()
			p.Bridges[0].Selector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "old", Operator: metav1.LabelSelectorOpDoesNotExist}}}
			p.Candidates[0].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
			policy := func(name string, pods map[string]string) *networkingv1.NetworkPolicy {
				return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Spec: networkingv1.NetworkPolicySpec{
					PodSelector: metav1.LabelSelector{MatchLabels: pods}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}
			}
			pod := func(name string, labels map[string]string) *corev1.Pod {
				return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: labels}}
			}
			b := newBench(t, policy("old", map[string]string{"old": "yes", "app": "x"}), policy("quarantine", quarantine),
				pod("bad", map[string]string{"quarantine": "yes", "app": "x"}), pod("good", map[string]string{"app": "x"}),
				pod("isolated", map[string]string{"old": "yes", "app": "x"}))
			b.must(b.apply(t.Context(), b.Write, b.look().absent(append(p.bridgeWishes(rollout.Inert), p.candidateWishes(rollout.Live)...))))
			w := b.look()
			b.must(b.widenSparing(t.Context(), p.key(), w, widenWithoutPlan(p.key(), w.policies), nil))
			w = b.look()
			for name, want := range map[string]struct{ bridged, enforced, marked bool }{
				"bad": {marked: len(quarantine) > 1}, "good": {bridged: true, enforced: true}, "isolated": {enforced: true},
			} {
				labels := w.pods[types.NamespacedName{Namespace: "a", Name: name}].Labels
				bridged, enforced := selects(&b.get(theBridge).Spec.PodSelector, labels), selects(&b.get(theCandidate).Spec.PodSelector, labels)
				if bridged != want.bridged || enforced != want.enforced || (labels[v1alpha1.LabelSpared] != "") != want.marked {
					t.Errorf("pod %s: bridged %v, selected by the candidate %v, labels %v; want %+v", name, bridged, enforced, labels, want)
				}
			}
		})
	}
}
