package dataplane

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// roundLog reads the agent's log: it counts rounds, and fails the test on errors
// unless the test expects them.
type roundLog struct {
	slog.Handler
	n *testNode
}

func (l roundLog) Enabled(context.Context, slog.Level) bool { return true }
func (l roundLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l roundLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == roundDone {
		l.n.rounds <- struct{}{}
	}
	if r.Level >= slog.LevelError {
		r.Attrs(func(a slog.Attr) bool { l.n.t.Errorf("agent: %s: %s", r.Message, a); return true })
	}
	return nil
}

// settle returns when a round that began after the call is done.
func (n *testNode) settle() {
	for range 2 { // the first may have been under way
		for len(n.rounds) > 0 {
			<-n.rounds
		}
		n.agent.changed()
		select {
		case <-n.rounds:
		case <-time.After(5 * time.Second):
			n.t.Fatal("the agent did not program for 5 s")
		}
	}
}

// roundAfter waits for a round that ends after that moment, by which a delay of the
// data plane is over. The agent has it by itself: nothing is changed.
func (n *testNode) roundAfter(over time.Time) {
	n.t.Helper()
	for limit := time.After(time.Until(over) + 10*time.Second); ; {
		select {
		case <-n.rounds:
			if time.Now().After(over) {
				return
			}
		case <-limit:
			n.t.Fatal("the agent did not program when the delay was over")
		}
	}
}

// apply writes the policy and returns when the table holds it.
func (n *testNode) apply(p *networkingv1.NetworkPolicy) {
	n.t.Helper()
	api := n.api.NetworkingV1().NetworkPolicies(p.Namespace)
	if _, err := api.Update(n.t.Context(), p, metav1.UpdateOptions{}); err != nil {
		_, err = api.Create(n.t.Context(), p, metav1.CreateOptions{})
		must(n.t, err)
	}
	lister := n.agent.watch.factory.Networking().V1().NetworkPolicies().Lister()
	n.await(func() bool {
		have, err := lister.NetworkPolicies(p.Namespace).Get(p.Name)
		return err == nil && reflect.DeepEqual(have.Spec, p.Spec)
	})
}

// await polls the agent's copies, which offer no event of their own, then
// waits for the round that uses them. A copy is there before its watcher is told,
// so all objects are noted again.
func (n *testNode) await(seen func() bool) {
	n.t.Helper()
	for end := time.Now().Add(5 * time.Second); !seen(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatal("the agent did not see the object for 5 s")
		}
	}
	n.noteAll()
	n.settle()
}

func (n *testNode) noteAll() {
	f := n.agent.watch.factory
	for k, informer := range map[kind]cache.SharedIndexInformer{
		pods: f.Core().V1().Pods().Informer(), namespaces: f.Core().V1().Namespaces().Informer(),
		policies: f.Networking().V1().NetworkPolicies().Informer(), services: f.Core().V1().Services().Informer(),
		endpoints: f.Discovery().V1().EndpointSlices().Informer(),
	} {
		for _, o := range informer.GetStore().List() {
			n.agent.watch.tell(k, o)
		}
	}
	n.mu.Lock() // of what is gone
	told := maps.Clone(n.told)
	n.mu.Unlock()
	for ch := range told {
		n.agent.note(ch)
	}
}
