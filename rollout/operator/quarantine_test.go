package operator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// What is left of a selector selects exactly the pods that the other one does
// not, once those that need it wear the label.
func TestASelectorExceptAnother(t *testing.T) {
	const run = "r-1"
	in := func(key string, op metav1.LabelSelectorOperator, values ...string) metav1.LabelSelector {
		return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: op, Values: values}}}
	}
	selectors := []metav1.LabelSelector{
		{}, {MatchLabels: map[string]string{"app": "x"}}, {MatchLabels: map[string]string{"app": "x", "tier": "y"}},
		in("app", metav1.LabelSelectorOpIn, "x", "y"), in("app", metav1.LabelSelectorOpNotIn, "x"),
		in("tier", metav1.LabelSelectorOpExists), in("tier", metav1.LabelSelectorOpDoesNotExist), rollout.MatchNothing(),
	}
	var pods []map[string]string
	for _, app := range []string{"", "x", "y", "z"} {
		for _, tier := range []string{"", "x", "y"} {
			pod := map[string]string{}
			for key, value := range map[string]string{"app": app, "tier": tier} {
				if value != "" {
					pod[key] = value
				}
			}
			pods = append(pods, pod)
		}
	}
	for _, own := range selectors {
		for _, other := range selectors {
			left := except(own, other, run)
			for _, pod := range pods {
				worn := map[string]string{}
				for k, v := range pod {
					worn[k] = v
				}
				if len(requirements(other)) > 1 && selects(&other, pod) {
					worn[v1alpha1.LabelSpared] = run
				}
				if want := selects(&own, pod) && !selects(&other, pod); selects(&left, worn) != want {
					t.Errorf("%v except %v selects %v: %v, want %v", own, other, pod, !want, want)
				}
			}
		}
	}
}

// A rollback that is hindered tries again; what it did before is not done twice.
func TestASelectorIsNarrowedOnce(t *testing.T) {
	own := metav1.LabelSelector{MatchLabels: map[string]string{"tier": "web"}}
	for _, other := range []metav1.LabelSelector{{MatchLabels: map[string]string{"app": "bad"}}, {MatchLabels: map[string]string{"app": "bad", "tier": "web"}}} {
		once := except(own, other, "r-1")
		if again := except(once, other, "r-1"); plan.SumOf(again) != plan.SumOf(once) {
			t.Errorf("narrowed twice: %+v", again)
		}
	}
}

// What hinders the sparing of one pod hinders no widening where that pod is not.
func TestABridgeIsWidenedThoughSparingFails(t *testing.T) {
	no := func(o client.Object) error {
		if _, pod := o.(*corev1.Pod); pod || o.GetName() == theCandidate {
			return apierrors.NewForbidden(schema.GroupResource{}, o.GetName(), errors.New("a webhook says no"))
		}
		return nil
	}
	for _, tt := range []struct {
		labels map[string]string
		lost   bool // the run's plan
	}{
		{labels: map[string]string{"app": "bad"}}, {labels: map[string]string{"app": "bad", "tier": "web"}},
		{labels: map[string]string{"app": "bad"}, lost: true}, {labels: map[string]string{"app": "bad", "tier": "web"}, lost: true},
	} {
		labels := tt.labels
		p := aPlan()
		p.Candidates[0].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
		p.Steps = []rollout.StepPlan{{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
		elsewhere := p.Bridges[0]
		elsewhere.Namespace, elsewhere.Object = "b", "tightrope-r-1-bridge-1"
		p.Bridges = append(p.Bridges, elsewhere)
		other := p.Candidates[0]
		other.Policy.Namespace, other.Object = "b", "tightrope-r-1-candidate-1"
		p.Candidates = append(p.Candidates, other)
		bad := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "bad", Labels: labels}}
		b := newBench(t, bad)
		b.must(b.apply(t.Context(), b.Write, b.look().absent(append(p.bridgeWishes(rollout.Inert), p.candidateWishes(rollout.Live)...))))
		b.must(b.api.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "quarantine"},
			Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: labels}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}))
		b.Write = writer.New(interceptor.NewClient(b.api, interceptor.Funcs{
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				if err := no(o); err != nil {
					return err
				}
				return c.Update(ctx, o, opts...)
			},
			Patch: func(_ context.Context, _ client.WithWatch, o client.Object, _ client.Patch, _ ...client.PatchOption) error {
				return no(o)
			},
		}), writer.Options{})
		s := newSession(t.Context(), func() {})
		s.plan = p
		s.record.begin(p, time.Now())
		w := b.look()
		var err error
		if tt.lost {
			err = b.widenSparing(t.Context(), p.key(), w, widenWithoutPlan(p.key(), w.policies), nil)
		} else {
			err = b.restore(t.Context(), s, w, rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseForeign})
		}
		if err == nil || s.restore != restoreWiden {
			t.Errorf("%v, stage %v; want what is in the way, and another try", err, s.restore)
		}
		for _, x := range []struct {
			namespace, name string
			wide            bool
		}{{"b", elsewhere.Object, true}, {"a", theBridge, len(labels) == 1}} {
			var np networkingv1.NetworkPolicy
			b.must(b.api.Get(t.Context(), client.ObjectKey{Namespace: x.namespace, Name: x.name}, &np))
			if selects(&np.Spec.PodSelector, map[string]string{"app": "fine"}) != x.wide || selects(&np.Spec.PodSelector, labels) && x.namespace == "a" {
				t.Errorf("%s: selector %+v, want it wide: %v, and never over the pod that somebody isolated", x.name, np.Spec.PodSelector, x.wide)
			}
		}
	}
}

// Somebody isolates a pod while a run is under way. Widening opens everybody but
// that pod, and the candidate lets go of it, whatever its selector looks like.
func TestARollbackSparesAPodThatSomebodyIsolated(t *testing.T) {
	for i, selector := range []metav1.LabelSelector{
		{MatchLabels: map[string]string{"app": "bad"}},
		{MatchLabels: map[string]string{"app": "bad", "tier": "web"}},
		{},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			p := aPlan()
			p.Candidates[0].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
			p.Steps = []rollout.StepPlan{{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
			pod := func(name, app string) *corev1.Pod {
				return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": app, "tier": "web"}}}
			}
			b := newBench(t, pod("bad", "bad"), pod("fine", "fine"))
			b.must(b.apply(t.Context(), b.Write, b.look().absent(append(p.bridgeWishes(rollout.Inert), p.candidateWishes(rollout.Live)...))))
			b.must(b.api.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "quarantine"},
				Spec: networkingv1.NetworkPolicySpec{PodSelector: selector, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}))
			s := newSession(t.Context(), func() {})
			defer s.close()
			s.plan = p
			s.record.begin(p, time.Now())
			b.must(b.restore(t.Context(), s, b.look(), rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseForeign}))
			for _, name := range []string{"bad", "fine"} {
				var now corev1.Pod
				b.must(b.api.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: name}, &now))
				spared := name == "bad" || len(requirements(selector)) == 0
				for _, object := range []string{theBridge, theCandidate} {
					if np := b.get(object); selects(&np.Spec.PodSelector, now.Labels) == spared {
						t.Errorf("%s selects pod %s: %v, with selector %+v", object, name, spared, np.Spec.PodSelector)
					}
				}
			}
		})
	}
}

// A policy that isolates a pod once the bridges are wide, or where none is needed,
// takes the candidate off that pod all the same.
func TestAPodThatIsIsolatedDuringARollbackIsSpared(t *testing.T) {
	p := aPlan()
	p.Bridges = nil
	p.Candidates[0].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	p.Steps = []rollout.StepPlan{{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
	b := newBench(t)
	b.must(b.apply(t.Context(), b.Write, b.look().absent(p.candidateWishes(rollout.Live))))
	s := newSession(t.Context(), func() {})
	defer s.close()
	s.plan = p
	s.record.begin(p, time.Now())
	at := rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseAborted}
	b.must(b.restore(t.Context(), s, b.look(), at))
	bad := map[string]string{"app": "bad"}
	b.must(b.api.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "quarantine"},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: bad}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}))
	b.must(b.restore(t.Context(), s, b.look(), at))
	if np := b.get(theCandidate); selects(&np.Spec.PodSelector, bad) {
		t.Errorf("the candidate still selects the pod: %+v", np.Spec.PodSelector)
	}
}

// A bridge that waits to go, once the candidates are gone, opens no pod that somebody
// isolates meanwhile. One that selects nothing already stays so.
func TestABridgeThatIsAboutToGoSparesToo(t *testing.T) {
	for _, labels := range []map[string]string{{"app": "bad"}, {"app": "bad", "tier": "web"}} {
		for _, activation := range []rollout.Activation{rollout.Live, rollout.Inert} {
			p := aPlan()
			p.Steps = []rollout.StepPlan{{Name: "all", Phase: v1alpha1.PhaseEnforce, Scope: rollout.Everyone}}
			b := newBench(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "bad", Labels: labels}})
			bridges := p.bridgeWishes(activation)
			if activation == rollout.Live {
				bridges = p.wideWishes(rollout.Everyone)
			}
			b.must(b.apply(t.Context(), b.Write, b.look().absent(bridges)))
			b.must(b.api.Create(t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "quarantine"},
				Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: labels}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}))
			s := newSession(t.Context(), func() {})
			s.plan = p
			s.record.begin(p, time.Now())
			s.enter(place{kind: rollback})
			s.reach(restoreClear)
			b.must(b.restore(t.Context(), s, b.look(), rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseForeign}))
			var bad corev1.Pod
			b.must(b.api.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: "bad"}, &bad))
			np := b.get(theBridge)
			if selects(&np.Spec.PodSelector, bad.Labels) {
				t.Errorf("bridge %v: it opens the pod %v: %+v", activation, bad.Labels, np.Spec.PodSelector)
			}
			if selects(&np.Spec.PodSelector, map[string]string{"app": "fine"}) != (activation == rollout.Live) {
				t.Errorf("bridge %v: it selects other pods: %+v", activation, np.Spec.PodSelector)
			}
			s.close()
		}
	}
}
