package operator

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

var ciliumPolicies = schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: "ciliumnetworkpolicies"}

// fed is a mirror that is fed with policies of other kinds.
type fed struct {
	*mirror
	t       *testing.T
	client  *fake.FakeDynamicClient
	kinds   *OtherKinds
	watches chan struct{} // one for each watch that began
	refused error         // what a watch ends with at once; nil: it does not
}

func newFed(t *testing.T, refused error, objects ...runtime.Object) *fed {
	f := &fed{t: t, watches: make(chan struct{}, 10), refused: refused, mirror: emptyMirror()}
	f.kinds, f.client = fakeKinds(&fakeDiscovery{}, objects...)
	f.client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		defer func() { f.watches <- struct{}{} }()
		if f.refused != nil {
			return true, nil, f.refused
		}
		w, err := f.client.Tracker().Watch(a.GetResource(), a.GetNamespace())
		return true, w, err
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.kinds.feed(ctx, f.mirror) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f
}

// run follows the mirror for a run in a namespace; the channel has one while it was woken.
func (f *fed) run(name, namespace string) chan struct{} {
	woken := make(chan struct{}, 1)
	f.follow(types.NamespacedName{Name: name}, []string{namespace}, func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	return woken
}

// waitFor waits for what is told to come soon.
func waitFor(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10 s", what)
	}
}

func (f *fed) do(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fed) shown(namespace string) int {
	f.t.Helper()
	w, err := f.look()
	f.do(err)
	return len(w.others[namespace])
}

// Nothing is asked of the API server while no run follows, and one watch serves them all.
func TestOtherKindsAreWatchedWhileARunFollows(t *testing.T) {
	f := newFed(t, nil, ciliumIn("shop"))
	if got := f.shown("shop"); got != 0 || len(f.client.Actions()) != 0 {
		t.Fatalf("%d policies are shown, and %d requests were made, though no run follows", got, len(f.client.Actions()))
	}
	shop, bank := f.run("one", "shop"), f.run("two", "bank")
	waitFor(t, "watch", f.watches)
	waitFor(t, "news of the policy that was there", shop)
	if got := f.shown("shop"); got != 1 {
		t.Errorf("%d policies are shown, want the one that was there", got)
	}

	policies := f.client.Resource(ciliumPolicies)
	quarantine := ciliumIn("bank")
	_, err := policies.Namespace("bank").Create(t.Context(), quarantine, metav1.CreateOptions{})
	f.do(err)
	waitFor(t, "news of a policy that appeared", bank)
	if got := f.shown("bank"); got != 1 || len(shop) > 0 {
		t.Errorf("%d policies are shown, and a run elsewhere was woken: %v", got, len(shop) > 0)
	}

	quarantine.Object["status"] = fields{"conditions": []any{}}
	_, err = policies.Namespace("bank").Update(t.Context(), quarantine, metav1.UpdateOptions{})
	f.do(err)
	f.do(policies.Namespace("shop").Delete(t.Context(), "x", metav1.DeleteOptions{}))
	waitFor(t, "news of a policy that is gone", shop) // and of the status before it
	if got := f.shown("shop"); got != 0 || len(bank) > 0 {
		t.Errorf("%d policies are shown, and a status was news: %v", got, len(bank) > 0)
	}
	if f.follow(types.NamespacedName{Name: "one"}, nil, nil); f.shown("bank") != 1 {
		t.Error("nothing is shown to the run that is left")
	}
	f.follow(types.NamespacedName{Name: "two"}, nil, nil)
	for deadline := time.Now().Add(10 * time.Second); f.shown("bank") > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a policy is shown 10 s after the last run was over")
		}
	}
	asked := map[string]int{}
	for _, a := range f.client.Actions() {
		asked[a.GetVerb()]++
	}
	if asked["list"] != 1 || asked["watch"] != 1 {
		t.Errorf("requests %v, want one list and one watch for all runs", asked)
	}
}

// A policy of the cluster may be of every run.
func TestAPolicyOfTheClusterWakesEveryRun(t *testing.T) {
	f := newFed(t, nil)
	shop, bank := f.run("one", "shop"), f.run("two", "bank")
	f.putOther(otherOf(t, object("cilium.io/v2", "CiliumClusterwideNetworkPolicy", "{name: x}", `spec: {endpointSelector: {}, ingress: [{}]}`)))
	waitFor(t, "news", shop)
	waitFor(t, "news", bank)
}

// logged collects what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// A kind that may be listed and not watched is named once, and asked for no more.
func TestAKindThatMayNotBeWatchedIsLeftToTheLists(t *testing.T) {
	var l logged
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&l, nil)))
	defer slog.SetDefault(was)
	f := newFed(t, apierrors.NewForbidden(ciliumPolicies.GroupResource(), "", errors.New("no rule")), ciliumIn("shop"))
	f.run("one", "shop")
	waitFor(t, "watch", f.watches)
	for deadline := time.Now().Add(10 * time.Second); f.shown("shop") > 0 || l.count("cannot be watched") == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d policies are shown of what may not be watched; said %d times", f.shown("shop"), l.count("cannot be watched"))
		}
	}
	if !f.kinds.first(otherKind{}) || f.kinds.first(otherKind{ciliumPolicies, "CiliumNetworkPolicy", true}) {
		t.Error("what was said of one kind is said again, or of another not")
	}
	if said := l.count("resource=ciliumnetworkpolicies.cilium.io"); said != 1 {
		t.Errorf("said %d times which kind it is, want once", said)
	}
	if got, err := f.kinds.list(t.Context(), []string{"shop"}); err != nil || len(got.found) != 1 {
		t.Errorf("listed %d, error %v; want the policy", len(got.found), err)
	}
}

// A kind that the cluster did not serve at first is watched once it does.
func TestAKindThatIsInstalledLaterIsWatched(t *testing.T) {
	f := newFed(t, nil, ciliumIn("shop"))
	later := &laterDiscovery{}
	f.kinds.discovery = later
	shop := f.run("one", "shop")
	for later.asked() == 0 {
		time.Sleep(time.Millisecond)
	}
	if f.shown("shop") > 0 {
		t.Fatal("a kind that is not served is shown")
	}
	later.serve()
	f.kinds.forget()
	f.mirror.others.turn() // as after a minute
	waitFor(t, "watch", f.watches)
	waitFor(t, "news", shop)
}

// laterDiscovery serves nothing until it is told to.
type laterDiscovery struct {
	mu     sync.Mutex
	n      int
	served bool
}

func (d *laterDiscovery) ServerPreferredResourcesWithContext(ctx context.Context) ([]*metav1.APIResourceList, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n++; !d.served {
		return nil, nil
	}
	return (&fakeDiscovery{}).ServerPreferredResourcesWithContext(ctx)
}

func (d *laterDiscovery) asked() int { d.mu.Lock(); defer d.mu.Unlock(); return d.n }

func (d *laterDiscovery) serve() { d.mu.Lock(); defer d.mu.Unlock(); d.served = true }

// A policy of another kind ends a soak as one that is listed ends a tightening, and
// nothing of the run selects its pods any more.
func TestAPolicyOfAnotherKindEndsASoakAndIsLeftAlone(t *testing.T) {
	s := newSession(t.Context(), func() {})
	defer s.close()
	s.plan = aPlan()
	s.plan.Candidates[0].Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	bad := `spec: {endpointSelector: {matchLabels: {app: bad}}, egress: [{}]}`
	for _, tt := range []struct {
		name, policy string
		opens        bool
	}{
		{"in the namespace", object("cilium.io/v2", "CiliumNetworkPolicy", "{namespace: a, name: x}", bad), true},
		{"in another one", object("cilium.io/v2", "CiliumNetworkPolicy", "{namespace: b, name: x}", bad), false},
		{"of the cluster", object("cilium.io/v2", "CiliumClusterwideNetworkPolicy", "{name: x}", bad), true},
		{"in the other direction", object("cilium.io/v2", "CiliumNetworkPolicy", "{namespace: a, name: x}", `spec: {endpointSelector: {}, ingress: [{}]}`), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := otherOf(t, tt.policy)
			w := &world{others: map[string][]otherPolicy{p.namespace: {p}}}
			what := s.foreignChange(w, rollout.State{Phase: v1alpha1.PhaseEnforce})
			if (what != "") != tt.opens || tt.opens && !strings.Contains(what, p.String()+" may select pods that a bridge opens: namespace a, Egress") {
				t.Errorf("said %q, want it to be named: %v", what, tt.opens)
			}
			for _, x := range sparing(append(s.plan.candidateWishes(rollout.Live), s.plan.wideWishes(rollout.Everyone)...), s.strangers(w), s.plan.Run) {
				sel := x.spec.PodSelector
				if selects(&sel, map[string]string{"app": "bad"}) == tt.opens {
					t.Errorf("%s %s selects the pod: %v", x.role, x.name, tt.opens)
				}
				if !selects(&sel, map[string]string{"app": "good"}) {
					t.Errorf("%s %s leaves out a pod that the policy does not select", x.role, x.name)
				}
			}
		})
	}
}

// What the API server lists and no watch shows yet is left alone by the rollback, too.
func TestWhatIsListedOfOtherKindsIsLeftAlone(t *testing.T) {
	b := newBehind(t, v1alpha1.PhaseEnforce, rollout.Everyone)
	b.s.plan.Bridges = []plan.Bridge{{Bridge: rollout.Bridge{Namespace: "a", Direction: networkingv1.PolicyTypeIngress}, Object: "tightrope-r-1-bridge-0"}}
	b.Others, _ = fakeKinds(&fakeDiscovery{}, ciliumIn("a"))
	b.s.saw(b.run)
	w, err := b.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.mayTighten(b.s, w, stateOf(b.run)); err != nil {
		t.Fatal(err)
	}
	<-b.s.listing.done
	if may, err := b.mayTighten(b.s, w, stateOf(b.run)); may || err != nil || !strings.Contains(b.s.appeared, "CiliumNetworkPolicy a/x") {
		t.Errorf("may %v, error %v, appeared %q", may, err, b.s.appeared)
	}
	if left := b.s.strangers(w); len(left) != 1 || left[0].Namespace != "a" {
		t.Errorf("left alone: %+v, want the pods of the policy", left)
	}
}
