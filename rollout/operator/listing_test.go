package operator

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// hidden is a policy that isolates pods, and that no cache of a behind shows.
const hidden = "quarantine"

// behind is a run whose cache is behind the API server.
type behind struct {
	*RunReconciler
	t   *testing.T
	s   *session
	run *v1alpha1.PolicyRolloutRun

	mu     sync.Mutex // of what follows: policies are written side by side
	wrote  []string   // names of policies and pods
	listed int        // how often policies were, from the API server
	broken error      // what such a list says
	old    *v1alpha1.PolicyRolloutRun
}

func newBehind(t *testing.T, at v1alpha1.Phase, scope rollout.Scope) *behind {
	b := &behind{t: t, run: aRun(at, v1alpha1.IntentRun)}
	note := func(o client.Object) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch o.(type) {
		case *networkingv1.NetworkPolicy, *corev1.Pod:
			b.wrote = append(b.wrote, o.GetName())
		}
	}
	b.RunReconciler, b.s = runningOver(t, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, pod := o.(*corev1.Pod); !pod { // probe pods come whatever is known
				note(o)
			}
			return c.Create(ctx, o, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			note(o)
			return c.Update(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			note(o)
			return c.Patch(ctx, o, p, opts...)
		},
	}, b.run)
	b.s.plan.Steps = []rollout.StepPlan{{Name: "here", Phase: at, Scope: scope}}
	api := b.Live.(client.WithWatch)
	b.Live = interceptor.NewClient(api, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, ok := l.(*networkingv1.NetworkPolicyList); ok {
			if b.listed++; b.broken != nil {
				return b.broken
			}
		}
		return c.List(ctx, l, opts...)
	}})
	b.Reader = interceptor.NewClient(api, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, l, opts...)
			if policies, ok := l.(*networkingv1.NetworkPolicyList); ok {
				var shown []networkingv1.NetworkPolicy
				for _, np := range policies.Items {
					if np.Name != hidden {
						shown = append(shown, np)
					}
				}
				policies.Items = shown
			}
			return err
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if run, ok := o.(*v1alpha1.PolicyRolloutRun); ok && b.old != nil {
				b.old.DeepCopyInto(run)
				return nil
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	return b
}

// pass makes one pass, and waits for what it asked the API server.
func (b *behind) pass() error {
	_, err := b.Reconcile(b.t.Context(), ctrl.Request{NamespacedName: b.s.of})
	if b.s.listing != nil {
		<-b.s.listing.done
	}
	if err := b.Live.Get(b.t.Context(), b.s.of, b.run); err != nil {
		b.t.Fatal(err)
	}
	return err
}

// written are the policies and pods that were written since it was asked last.
func (b *behind) written() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.wrote
	b.wrote = nil
	return all
}

func (b *behind) isolate() {
	b.t.Helper()
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: hidden},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "bad"}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}}}
	if err := b.Live.(client.Client).Create(b.t.Context(), np); err != nil {
		b.t.Fatal(err)
	}
	b.written() // that was not the run
}

var tighteningActs = []struct {
	phase v1alpha1.Phase
	scope rollout.Scope
}{
	{v1alpha1.PhaseCanary, rollout.ProbePods}, {v1alpha1.PhaseCanary, rollout.Bridged}, {v1alpha1.PhaseCanary, rollout.Few},
	{v1alpha1.PhaseEnforce, rollout.Everyone}, {v1alpha1.PhaseCommitting, rollout.Everyone},
}

// Somebody isolates a pod, and the watch hangs: the API server tells of it before the
// run writes anything that tightens, and the way back leaves that pod alone.
func TestAForeignPolicyThatNoCacheShowsIsSeenBeforeTightening(t *testing.T) {
	for _, tt := range tighteningActs {
		t.Run(string(tt.phase)+" "+tt.scope.String(), func(t *testing.T) {
			b := newBehind(t, tt.phase, tt.scope)
			b.isolate()
			for range 2 {
				_ = b.pass() // the evidence of a decision is tried again
			}
			if wrote := b.written(); len(wrote) > 0 {
				t.Fatalf("wrote %v before it was known what is there", wrote)
			}
			for b.run.Status.Phase != v1alpha1.PhaseRollingBack && t.Context().Err() == nil {
				_ = b.pass()
			}
			if b.run.Status.Cause != "Foreign" || !strings.Contains(b.run.Status.Message, "policy a/quarantine appeared while the rollout was under way") {
				t.Errorf("ended %s", describe(b.run))
			}
			w, err := b.look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range b.s.wide(stateOf(b.run), b.s.strangers(w)) {
				if selects(&x.spec.PodSelector, map[string]string{"app": "bad", v1alpha1.LabelProbe: "r-1"}) {
					t.Errorf("%s opens the pod that is isolated: %v", x.name, x.spec.PodSelector)
				}
			}
		})
	}
}

// What cannot be listed is not known, and nothing is tightened blindly: the run waits.
func TestARunThatCannotListTightensNothing(t *testing.T) {
	for _, tt := range tighteningActs {
		t.Run(string(tt.phase)+" "+tt.scope.String(), func(t *testing.T) {
			b := newBehind(t, tt.phase, tt.scope)
			b.broken = errors.New("etcdserver: request timed out")
			var err error
			for range 4 {
				if err = errors.Join(err, b.pass()); err != nil && !strings.Contains(b.s.hindrance, "etcdserver") {
					t.Errorf("while it is asked anew, what a deadline would say of it is %q", b.s.hindrance)
				}
			}
			if wrote := b.written(); len(wrote) > 0 || err == nil || !strings.Contains(err.Error(), "writes nothing before the cluster is known: policies of namespace a: etcdserver") {
				t.Errorf("wrote %v; error %v", wrote, err)
			}
			if b.run.Status.Phase != tt.phase {
				t.Errorf("moved to %s", describe(b.run))
			}
			b.broken = nil
			for len(b.written()) == 0 && t.Context().Err() == nil {
				err = b.pass()
			}
			if b.s.hindrance != "" {
				t.Errorf("it wrote, with error %v, and is still kept by %q", err, b.s.hindrance)
			}
		})
	}
}

// A person aborts, and the cache shows the run from before: it is read anew.
func TestAnAbortThatNoCacheShowsIsSeenBeforeTightening(t *testing.T) {
	b := newBehind(t, v1alpha1.PhaseEnforce, rollout.Everyone)
	now := &v1alpha1.PolicyRolloutRun{}
	if err := b.Live.Get(t.Context(), b.s.of, now); err != nil {
		t.Fatal(err)
	}
	b.old, b.s.version = now.DeepCopy(), now.ResourceVersion
	now.Spec.Intent = v1alpha1.IntentAbort
	if err := b.Write.Update(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for b.run.Status.Phase != v1alpha1.PhaseRollingBack && t.Context().Err() == nil {
		_ = b.pass()
		if wrote := b.written(); len(wrote) > 0 && b.run.Status.Phase != v1alpha1.PhaseRollingBack {
			t.Fatalf("wrote %v", wrote)
		}
	}
	if b.run.Status.Cause != "Aborted" {
		t.Errorf("ended %s", describe(b.run))
	}
}

// The commit point is recorded on what the API server has, too.
func TestACommitWaitsForTheList(t *testing.T) {
	decided := turn{at: rollout.State{Phase: v1alpha1.PhaseCommitting}, next: rollout.State{Phase: v1alpha1.PhaseCommitted}}
	for _, foreign := range []bool{false, true} {
		b := newBehind(t, v1alpha1.PhaseCommitting, rollout.Everyone)
		b.s.enter(place{kind: commit})
		b.s.version = b.run.ResourceVersion
		if foreign {
			b.isolate()
		}
		w, err := b.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first, second := decided, decided
		if waits, err := b.waitToCommit(b.s, w, &first); !waits || first.next != decided.at || err != nil {
			t.Errorf("decided %v, error %v before anything was listed", first.next, err)
		}
		<-b.s.listing.done
		if waits, err := b.waitToCommit(b.s, w, &second); waits != foreign || err != nil || (b.s.appeared != "") != foreign {
			t.Errorf("foreign %v: waits %v, appeared %q, error %v", foreign, waits, b.s.appeared, err)
		}
	}
}

// A commit that nobody can tell is right to make ends at the deadline, as one without
// proof does: it holds no namespace for ever.
func TestACommitThatCannotBeListedIsTakenBackInTheEnd(t *testing.T) {
	b := newBehind(t, v1alpha1.PhaseCommitting, rollout.Everyone)
	b.s.enter(place{kind: commit})
	b.broken = errors.New("conversion webhook failed")
	w, err := b.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := stateOf(b.run)
	for range 2 {
		decided := turn{at: at, next: rollout.State{Phase: v1alpha1.PhaseCommitted}}
		if waits, _ := b.waitToCommit(b.s, w, &decided); !waits || b.s.unsure.IsZero() {
			t.Fatalf("waits %v, since %v", waits, b.s.unsure)
		}
		if b.s.listing != nil { // what failed is asked anew
			<-b.s.listing.done
		}
	}
	if got, _ := b.turn(t.Context(), b.run, b.s, w, at); got.next != at {
		t.Fatalf("decided %+v at once", got.next)
	}
	b.s.unsure = time.Now().Add(-b.s.plan.Limits.Inconclusive - time.Second)
	got, _ := b.turn(t.Context(), b.run, b.s, w, at)
	if want := (rollout.State{Phase: v1alpha1.PhaseRollingBack, Cause: rollout.CauseSilent}); got.next != want {
		t.Errorf("decided %+v on %+v, want %+v", got.next, got.evidence, want)
	}
}

// A list of another kind takes long: the policies are listed after it, and are not old
// when a write rests on them.
func TestPoliciesAreListedLast(t *testing.T) {
	b := newBehind(t, v1alpha1.PhaseEnforce, rollout.Everyone)
	b.s.plan.Bridges = append(b.s.plan.Bridges, plan.Bridge{Bridge: rollout.Bridge{Namespace: "a"}})
	var before int
	b.Others, _ = fakeKinds(&fakeDiscovery{})
	b.Others.discovery = asking{b.Others.discovery, func() { before = b.listed }}
	w, err := b.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.mayTighten(b.s, w, stateOf(b.run)); err != nil {
		t.Fatal(err)
	}
	if <-b.s.listing.done; before != 0 || b.listed != 1 || b.s.listing.err != nil {
		t.Errorf("%d lists of policies before those of other kinds, %d in all: %v", before, b.listed, b.s.listing.err)
	}
}

// asking is a discovery that tells when it is asked.
type asking struct {
	discovers
	told func()
}

// discovers is what tells which kinds a cluster serves.
type discovers interface {
	ServerPreferredResourcesWithContext(context.Context) ([]*metav1.APIResourceList, error)
}

func (a asking) ServerPreferredResourcesWithContext(ctx context.Context) ([]*metav1.APIResourceList, error) {
	a.told()
	return a.discovers.ServerPreferredResourcesWithContext(ctx)
}

// A write rests on nothing old, and a run that writes nothing asks for nothing.
func TestWhatWasListedServesForASecondAndIsAskedForByWritesOnly(t *testing.T) {
	b := newBehind(t, v1alpha1.PhaseEnforce, rollout.Everyone)
	for b.s.acked.IsZero() && t.Context().Err() == nil {
		_ = b.pass()
	}
	if b.listed == 0 || len(b.written()) == 0 {
		t.Fatalf("listed %d times for what was written", b.listed)
	}
	b.listed = 0
	for range 20 {
		_ = b.pass()
	}
	if b.listed > 0 || len(b.written()) > 0 {
		t.Errorf("a quiet run listed policies %d times", b.listed)
	}
	w, err := b.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := rollout.State{Phase: v1alpha1.PhaseEnforce}
	ask := func() bool {
		may, err := b.mayTighten(b.s, w, at)
		if err != nil {
			t.Fatal(err)
		}
		<-b.s.listing.done
		return may
	}
	b.s.listing = nil
	if ask() || !ask() || !ask() {
		t.Error("what the API server has just listed is not believed")
	}
	b.s.listing.at = time.Now().Add(-2 * listedWithin)
	if ask() || !ask() {
		t.Error("what it listed long ago is believed, or what it says anew is not")
	}
	if b.listed != 2 {
		t.Errorf("listed %d times, want 2", b.listed)
	}
}
