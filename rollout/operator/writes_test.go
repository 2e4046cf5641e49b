package operator

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// bench is a reconciler over an API server in memory whose cache is as old as
// the test wants.
type bench struct {
	*RunReconciler
	t   *testing.T
	api client.WithWatch
}

func newBench(t *testing.T, objects ...client.Object) bench {
	c := fakeAPI(interceptor.Funcs{}, objects...)
	return bench{&RunReconciler{Reader: c, Write: writer.New(interceptor.NewClient(c, asRead(t)), writer.Options{}), Live: c}, t, c}
}

// asRead fails the test where the operator writes to an object without saying
// which one it read; the API in memory would let some of that through.
func asRead(t *testing.T) interceptor.Funcs {
	return interceptor.Funcs{
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if o.GetResourceVersion() == "" {
				t.Errorf("%T %s is updated whatever it is by now", o, o.GetName())
			}
			return c.Update(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if p := new(client.DeleteOptions).ApplyOptions(opts).Preconditions; p == nil || p.UID == nil {
				t.Errorf("%T %s is deleted whichever it is by now", o, o.GetName())
			}
			return c.Delete(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if raw, err := patch.Data(o); err != nil || !strings.Contains(string(raw), `"resourceVersion":"`) || !strings.Contains(string(raw), `"uid":`) {
				t.Errorf("%T %s is patched whatever it is by now: %s, %v", o, o.GetName(), raw, err)
			}
			return c.Patch(ctx, o, patch, opts...)
		},
		Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			t.Error("an object is applied, whether it is there or not")
			return nil
		},
	}
}

// look is the cluster as a cache that is up to date shows it.
func (b bench) look() *world {
	b.t.Helper()
	w, err := readWorld(b.t.Context(), b.api)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

func (b bench) get(name string) *networkingv1.NetworkPolicy {
	b.t.Helper()
	var np networkingv1.NetworkPolicy
	if err := b.api.Get(b.t.Context(), client.ObjectKey{Namespace: "a", Name: name}, &np); err != nil {
		b.t.Fatal(err)
	}
	return &np
}

// edit changes a policy as a person does.
func (b bench) edit(name string, change func(*networkingv1.NetworkPolicy)) {
	b.t.Helper()
	np := b.get(name)
	change(np)
	if err := b.api.Update(b.t.Context(), np, client.FieldOwner("kubectl-edit")); err != nil {
		b.t.Fatal(err)
	}
}

func (b bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func opened(np *networkingv1.NetworkPolicy) {
	np.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
}

const (
	theCandidate = "tightrope-r-1-candidate-0"
	theBridge    = "tightrope-r-1-bridge-0"
)

func TestAPolicyOfSomebodyElseIsNeverTakenOver(t *testing.T) {
	p := aPlan()
	b := newBench(t)
	before := b.look()
	theirs := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "c"}}
	theirs.Spec.PodSelector.MatchLabels = map[string]string{"app": "theirs"}
	b.must(b.api.Create(t.Context(), theirs))
	err := b.apply(t.Context(), b.Write, before.absent(p.finalWishes(rollout.Inert)))
	if !errors.As(err, new(*writer.NotOursError)) || !strings.Contains(err.Error(), "policy a/c exists and was not made by this run") {
		t.Errorf("the final policy's name was taken a moment before: got %v", err)
	}
	w := b.look()
	b.must(b.apply(t.Context(), b.Write, w.exists(p.finalWishes(rollout.Inert))))
	b.must(b.remove(t.Context(), w.exists(p.finalWishes(rollout.Inert))))
	if now := b.get("c"); now.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("their policy was written to: %+v", now)
	}
}

func TestAnEditIsAConflictAndNeverLost(t *testing.T) {
	p := aPlan()
	b := newBench(t)
	b.must(b.apply(t.Context(), b.Write, b.look().absent(p.candidateWishes(rollout.Shadow))))
	old := b.look()
	b.edit(theCandidate, opened)
	if err := b.apply(t.Context(), b.Write, old.unmet(p.candidateWishes(rollout.Live))); !apierrors.IsConflict(err) {
		t.Errorf("activating a candidate that was edited since it was read: got %v, want a conflict", err)
	}
	if err := b.remove(t.Context(), old.exists(p.candidateWishes(rollout.Inert))); !apierrors.IsConflict(err) {
		t.Errorf("deleting it: got %v, want a conflict", err)
	}
	if len(b.get(theCandidate).Spec.Egress) == 0 {
		t.Error("the edit was overwritten")
	}
}

func TestAnOldCacheDoesNotStopARun(t *testing.T) {
	p := aPlan()
	b := newBench(t)
	empty := b.look()
	b.must(b.apply(t.Context(), b.Write, empty.absent(p.candidateWishes(rollout.Inert))))
	b.must(b.apply(t.Context(), b.Write, empty.absent(p.candidateWishes(rollout.Inert))))
	old := b.look()
	b.must(b.apply(t.Context(), b.Write, old.unmet(p.candidateWishes(rollout.Live))))
	b.must(b.apply(t.Context(), b.Write, old.unmet(p.candidateWishes(rollout.Live))))
	if unmet := b.look().unmet(p.candidateWishes(rollout.Live)); len(unmet) > 0 {
		t.Errorf("not as wished: %+v", unmet)
	}
}

func TestWideningPutsBridgesRight(t *testing.T) {
	p := aPlan()
	wide := p.wideWishes(rollout.Everyone)
	for _, tt := range []struct {
		name   string
		before func(b bench) // seen by the cache
		after  func(b bench) // and not seen
		theirs bool          // and stays so
	}{
		{name: "an ordinary one"},
		{name: "edited, and the cache shows it", before: func(b bench) {
			b.edit(theBridge, func(np *networkingv1.NetworkPolicy) { np.Spec.PodSelector = rollout.MatchNothing() })
		}},
		{name: "edited a moment ago", after: func(b bench) {
			b.edit(theBridge, func(np *networkingv1.NetworkPolicy) { np.Spec.PodSelector = rollout.MatchNothing() })
		}},
		{name: "without our label", before: func(b bench) {
			b.edit(theBridge, func(np *networkingv1.NetworkPolicy) { np.Labels = nil })
		}},
		{name: "deleted", before: func(b bench) { b.must(b.api.Delete(b.t.Context(), b.get(theBridge))) }},
		{name: "deleted a moment ago", after: func(b bench) { b.must(b.api.Delete(b.t.Context(), b.get(theBridge))) }},
		{name: "replaced by somebody's own", theirs: true, after: func(b bench) {
			b.must(b.api.Delete(b.t.Context(), b.get(theBridge)))
			b.must(b.api.Create(b.t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: theBridge}}))
			b.edit(theBridge, opened) // here every object begins at the same version
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.must(b.apply(t.Context(), b.Write, b.look().absent(append(p.bridgeWishes(rollout.Inert), p.candidateWishes(rollout.Live)...))))
			if tt.before != nil {
				tt.before(b)
			}
			w := b.look()
			if tt.after != nil {
				tt.after(b)
			}
			b.must(b.widen(t.Context(), w, wide))
			np := b.get(theBridge)
			if wide := p.key().Made(np) && equality.Semantic.DeepEqual(np.Spec, wide[0].spec); wide == tt.theirs {
				t.Errorf("wide: %v, now %+v", wide, np)
			}
		})
	}
}

func TestABridgeThatWasNeverNeededIsNotMade(t *testing.T) {
	b := newBench(t)
	b.must(b.widen(t.Context(), b.look(), aPlan().wideWishes(rollout.Everyone)))
	if n := len(b.look().policies); n > 0 {
		t.Errorf("%d policies after a rollback that had nothing to take back", n)
	}
}

func TestEditsOfOurPoliciesAreNamed(t *testing.T) {
	p := aPlan()
	for _, tt := range []struct {
		name string
		edit func(b bench)
		want string // empty: nothing to say
	}{
		{"nobody edits", func(bench) {}, ""},
		{"the run itself writes", func(b bench) {
			b.must(b.apply(b.t.Context(), b.Write, b.look().unmet(append(p.bridgeWishes(rollout.Inert), p.candidateWishes(rollout.Shadow)...))))
		}, ""},
		{"another spec", func(b bench) { b.edit(theCandidate, opened) }, "policy a/" + theCandidate + ", a candidate of this run, was changed by \"kubectl-edit\""},
		{"one that the run gives it too, by somebody else", func(b bench) {
			b.edit(theCandidate, func(np *networkingv1.NetworkPolicy) { np.Spec.PodSelector = rollout.MatchNothing() })
		}, `was changed by "kubectl-edit"`},
		{"a bridge deleted", func(b bench) { b.must(b.api.Delete(b.t.Context(), b.get(theBridge))) }, "policy a/" + theBridge + ", a bridge of this run, was deleted"},
		{"our label taken off", func(b bench) {
			b.edit(theCandidate, func(np *networkingv1.NetworkPolicy) { np.Labels = nil })
		}, "was deleted, or its label was"},
		{"a copy under another name", func(b bench) {
			np := b.get(theCandidate)
			b.must(b.api.Create(b.t.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "copy", Labels: np.Labels, Annotations: np.Annotations}, Spec: np.Spec}))
		}, "policy a/copy, which carries the label of run r-1 and was not made by this run, appeared"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			s := newSession(t.Context(), func() {})
			defer s.close()
			s.plan = p
			b.must(b.apply(t.Context(), b.Write, b.look().absent(append(p.bridgeWishes(rollout.Live), p.candidateWishes(rollout.Live)...))))
			if what := s.foreignChange(b.look(), rollout.State{Phase: v1alpha1.PhaseCanary}); what != "" {
				t.Fatalf("before anybody did anything: %s", what)
			}
			tt.edit(b)
			if got := s.foreignChange(b.look(), rollout.State{Phase: v1alpha1.PhaseCanary}); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTheReportIsWrittenOverTheRunsOwnOnly(t *testing.T) {
	run := &v1alpha1.PolicyRolloutRun{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "r-1", UID: "u"}}
	b := newBench(t)
	publish := func(r *record, run *v1alpha1.PolicyRolloutRun) error {
		_, err := r.publish(t.Context(), b.Write, b.api, run)
		return err
	}
	var one, other record
	b.must(publish(&one, run))
	b.must(publish(&other, run)) // an operator that was restarted
	b.must(publish(&one, run))
	var cm corev1.ConfigMap
	b.must(b.api.Get(t.Context(), publishedName(run), &cm))
	b.must(b.api.Delete(t.Context(), &cm))
	b.must(publish(&one, run))
	next := run.DeepCopy()
	next.UID = "another run of that name"
	if err := publish(new(record), next); !errors.As(err, new(*writer.NotOursError)) {
		t.Errorf("got %v, want a refusal to overwrite the report of a run that had the name before", err)
	}
}

func TestALabelGoesToThePodThatWasRead(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", UID: "first"}}
	b := newBench(t, pod)
	seen := b.look().pods[client.ObjectKeyFromObject(pod)]
	b.must(b.api.Delete(t.Context(), pod.DeepCopy()))
	b.must(b.api.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", UID: "second", Labels: map[string]string{"app": "x"}}}))
	value := "r-1"
	if err := b.Write.Relabel(t.Context(), seen, map[string]*string{v1alpha1.LabelEnforced: &value}, nil); err == nil {
		t.Error("a label meant for a pod that is gone went to its successor")
	}
}
