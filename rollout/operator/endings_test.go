package operator

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
)

func TestACutIngressPathIsFoundOnAFewPods(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	bad := s.good()
	bad[1] = s.policy("server-ingress", map[string]string{"app": "server"}, networkingv1.PolicyTypeIngress, "nobody", 8080)
	s.begin(s.accepting(bad))
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Cut", "RolledBack")
	if len(rep.Cuts) == 0 || rep.Cuts[0].Phase != "few" || !strings.Contains(rep.Cuts[0].Rule, s.ns+"/server-ingress ingress") {
		t.Errorf("cuts %+v, want one in few, blamed on server-ingress", rep.Cuts)
	}
}

func TestBridgesAreComplementsOfTheBaseline(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	old := s.policy("old", map[string]string{"pod": "server-0"}, networkingv1.PolicyTypeIngress, "client", 8080)
	s.create(&networkingv1.NetworkPolicy{ObjectMeta: s.meta("old"), Spec: old.Spec})
	s.begin(s.rollout(s.good()))
	s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	plan, err := loadPlan(s.ctx, s.c.client, s.run(), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Baseline) != 1 || plan.Baseline[0].Name != "old" {
		t.Errorf("baseline %+v, want the one old policy", plan.Baseline)
	}
	for _, b := range plan.Bridges {
		for pod, bridged := range map[string]bool{"server-0": false, "server-1": true} {
			labels := map[string]string{"app": "server", "pod": pod}
			if b.Direction == networkingv1.PolicyTypeIngress && selects(&b.Selector, labels) != bridged {
				t.Errorf("ingress bridge %v selects %s: %v; a pod that was isolated before must not be opened", b.Selector, pod, !bridged)
			}
		}
	}
}

func TestALeakHoldsAndAnAbortTakesItBack(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.begin(s.rollout(s.good()))
	s.reach("shadow")
	s.c.plane.bend(s.run(), bend{force: func(from, _ *corev1.Pod, got probes.Outcome) probes.Outcome {
		if from.Labels["app"] == "other" {
			return probes.Reached
		}
		return got
	}})
	held := s.until("Held", func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Phase == v1alpha1.PhaseHeld })
	if held.Status.Cause != "Leak" || held.Status.Result != "Held" || !strings.Contains(held.Status.Message, "other to server") {
		t.Errorf("held with %s; want cause Leak and the path's name", describe(held))
	}
	s.abort()
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Aborted", "RolledBack")
	if len(rep.Leaks) == 0 || rep.Leaks[0].Path != "other to server" {
		t.Errorf("leaks %+v, want the forbidden path", rep.Leaks)
	}
}

func TestAFailingPathIsRolledBackAndNotBlamedOnAPolicy(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.begin(s.rollout(s.good()))
	s.reach("shadow")
	s.c.plane.bend(s.run(), bend{force: func(from, _ *corev1.Pod, got probes.Outcome) probes.Outcome {
		if from.Labels["app"] == "client" && s.c.plane.isolated(from) { // it heals when the policies go
			return probes.TimedOut
		}
		return got
	}})
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Cut", "RolledBack")
	if len(rep.Cuts) == 0 || rep.Cuts[0].Cause != "Unexplained" {
		t.Errorf("cuts %+v, want one that no policy explains", rep.Cuts)
	}
}

func TestSilenceIsTakenBackAndProvesNothing(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ro := s.rollout(s.good())
	ro.Spec.InconclusiveDeadline = metav1.Duration{Duration: 15 * time.Second} // observe must pass within it on a busy machine
	s.begin(ro)
	s.reach("shadow")
	s.c.plane.bend(s.run(), bend{silent: true})
	s.reach("RollingBack")
	s.c.plane.bend(s.run(), bend{}) // so that the rollback can be verified
	s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Silent", "Inconclusive")
}

func TestAClusterThatIgnoresPoliciesProvesNothing(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.bent = bend{ignore: true}
	s.begin(s.rollout(s.good()))
	st := s.end()
	s.wantEnd(st, v1alpha1.PhaseInconclusive, "NotEnforced", "Inconclusive")
	if !strings.Contains(st.Message, "this cluster does not enforce NetworkPolicy") {
		t.Errorf("message %q", st.Message)
	}
	if touched := s.c.plane.touchedBy(s.run()); len(touched) > 0 {
		t.Errorf("production pods were selected: %v", touched)
	}
}

func TestAnAbortEndsEveryPhase(t *testing.T) {
	for _, place := range []string{"Preflight", "observe", "shadow", "expand", "few", "all", "commit"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			s.begin(s.rollout(s.good()))
			s.reach(place)
			s.abort()
			st := s.end()
			if place == "commit" && st.Phase == v1alpha1.PhaseCommitted {
				s.wantEnd(st, v1alpha1.PhaseCommitted, "", "Committed") // the abort came after the commit point
				return
			}
			s.wantEnd(st, v1alpha1.PhaseRolledBack, "Aborted", "RolledBack")
		})
	}
}

func TestAForeignPolicyEndsTheRunAndStays(t *testing.T) {
	for _, place := range []string{"shadow", "all"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			s.begin(s.rollout(s.good()))
			s.reach(place)
			foreign := s.policy("quarantine", map[string]string{"app": "client"}, networkingv1.PolicyTypeEgress, "nobody", 1)
			np := &networkingv1.NetworkPolicy{ObjectMeta: s.meta("quarantine"), Spec: foreign.Spec}
			s.create(np)
			s.baseline = append(s.baseline, *np)
			st := s.end()
			s.wantEnd(st, v1alpha1.PhaseRolledBack, "Foreign", "RolledBack")
			if !strings.Contains(st.Message, s.ns+"/quarantine appeared") {
				t.Errorf("message %q does not name the policy", st.Message)
			}
			for _, now := range s.policies() {
				if now.Name == "quarantine" && now.ResourceVersion != np.ResourceVersion {
					t.Error("the foreign policy was written to")
				}
			}
		})
	}
}

func TestADeletedRolloutTakesItsChangeBackFirst(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.begin(s.rollout(s.good()))
	s.reach("few")
	w, err := s.c.client.Watch(s.ctx, &v1alpha1.PolicyRolloutRunList{}, client.InNamespace(s.ns))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for _, o := range []client.Object{&v1alpha1.PolicyRollout{ObjectMeta: s.meta(s.ns)}, &v1alpha1.PolicyRolloutRun{ObjectMeta: s.meta(s.run())}} {
		if err := s.c.client.Delete(s.ctx, o); client.IgnoreNotFound(err) != nil { // the collector would come by in half a minute
			t.Fatal(err)
		}
	}
	last := lastBeforeDeletion(w)
	if last == nil || last.Status.Phase != v1alpha1.PhaseRolledBack || last.DeletionTimestamp == nil {
		t.Errorf("the run went as %s, want RolledBack", describe(last))
	}
	s.wantPolicies(false)
	s.wantNothingLeft()
}

func TestAStoppedOperatorGoesOn(t *testing.T) {
	for _, place := range []string{"Preflight", "observe", "shadow", "expand", "few", "all", "commit"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			s.begin(s.rollout(s.good()))
			s.reach(place)
			s.stopOperator()
			s.operate()
			s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
		})
	}
}

func TestAStoppedRollbackGoesOn(t *testing.T) {
	for _, place := range []string{"shadow", "few", "all", "commit"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			s.begin(s.rollout(s.good()))
			s.reach(place)
			s.abort()
			s.until("rollback", func(st *v1alpha1.PolicyRolloutRunStatus) bool {
				return st.Phase == v1alpha1.PhaseRollingBack || st.Phase.Terminal()
			})
			s.stopOperator()
			s.operate()
			st := s.end()
			if place == "commit" && st.Phase == v1alpha1.PhaseCommitted {
				s.wantEnd(st, v1alpha1.PhaseCommitted, "", "Committed")
				return
			}
			s.wantEnd(st, v1alpha1.PhaseRolledBack, "Aborted", "RolledBack")
		})
	}
}

func TestAnEditedRolloutAbortsTheRunBeforeIt(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.begin(s.rollout(s.good()))
	s.reach("few")
	patch := `{"spec":{"inconclusiveDeadline":"59s"}}`
	ro := &v1alpha1.PolicyRollout{ObjectMeta: s.meta(s.ns)}
	if err := s.c.client.Patch(s.ctx, ro, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	second := await(s, &v1alpha1.PolicyRolloutRunList{}, "the second run's end", func(run *v1alpha1.PolicyRolloutRun) bool {
		return run.Name == s.runOf(2) && run.Status.Phase.Terminal()
	})
	if second.Status.Phase != v1alpha1.PhaseCommitted {
		t.Errorf("the second run ended %s, want Committed", describe(second))
	}
	if st := s.end(); st.Cause != "Aborted" || st.Phase != v1alpha1.PhaseRolledBack {
		t.Errorf("the first run ended %s, cause %s; want RolledBack, Aborted", st.Phase, st.Cause)
	}
}

// lastBeforeDeletion is a run as a watch shows it when it is deleted, or when the watch
// ends; nil: it shows none.
func lastBeforeDeletion(w watch.Interface) (last *v1alpha1.PolicyRolloutRun) {
	for e := range w.ResultChan() {
		if run, ok := e.Object.(*v1alpha1.PolicyRolloutRun); ok {
			last = run
		}
		if e.Type == watch.Deleted {
			break
		}
	}
	return last
}
