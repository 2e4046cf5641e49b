package operator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// history keeps what the API server held, revision by revision, of what decides about
// the pods of a story. It asks nobody else.
type history struct {
	s     *story
	stop  context.CancelFunc
	done  sync.WaitGroup
	begin uint64 // the newest revision that was there when it began

	mu     sync.Mutex
	events []revision
	newest map[string]string // by kind and key: the version that came last; none: it is gone
	broken bool              // a watch ended before the history did
}

// revision is one change of the API; at 0 it is what was there at first.
type revision struct {
	at     uint64
	event  watch.EventType
	object client.Object
}

// moments is one state of the API.
type moments struct {
	why      string
	policies []verdict.Policy
	labels   map[string]map[string]string // of workload pods, by namespace/name
}

// record begins a history: with what there is, and from that revision on with all that
// follows it.
func (s *story) record() *history {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.ctx)
	h := &history{s: s, stop: stop, newest: map[string]string{}}
	for _, ns := range s.namespaces() {
		for _, list := range []client.ObjectList{&networkingv1.NetworkPolicyList{}, &corev1.PodList{}} {
			s.must(s.c.client.List(ctx, list, client.InNamespace(ns)))
			h.begin = max(h.begin, number64(list.GetResourceVersion()))
			objects, err := meta.ExtractList(list)
			s.must(err)
			for _, o := range objects {
				h.saw(watch.Added, o.(client.Object), 0)
			}
			w, err := s.c.client.Watch(ctx, list, client.InNamespace(ns), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
			s.must(err)
			h.done.Go(func() {
				for e := range w.ResultChan() {
					if o, ok := e.Object.(client.Object); ok {
						h.saw(e.Type, o, number64(o.GetResourceVersion()))
					}
				}
				h.mu.Lock()
				defer h.mu.Unlock()
				h.broken = h.broken || ctx.Err() == nil
			})
			s.t.Cleanup(w.Stop)
		}
	}
	s.t.Cleanup(stop)
	return h
}

// number64 is a version as a number, which the revisions of etcd are.
func number64(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		panic(err) // no API server over etcd has others
	}
	return n
}

func keyOfPolicy(o client.Object) string { return o.GetNamespace() + "/" + o.GetName() }

func (h *history) saw(event watch.EventType, o client.Object, at uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, revision{at, event, o})
	key := fmt.Sprintf("%T %s", o, keyOfPolicy(o))
	if h.newest[key] = o.GetResourceVersion(); event == watch.Deleted {
		delete(h.newest, key)
	}
}

// worlds ends the history once it has come to what is there now, and returns its states
// in the order of their revisions.
func (h *history) worlds() []moments {
	h.s.t.Helper()
	for !h.complete() {
		if h.s.ctx.Err() != nil {
			h.s.t.Fatal("the history never came to what is there")
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.mu.Lock()
	broken := h.broken
	h.mu.Unlock()
	h.stop()
	h.done.Wait()
	if broken {
		h.s.t.Fatal("a watch ended too early: revisions are missing")
	}
	slices.SortStableFunc(h.events, func(a, b revision) int { return cmp.Compare(a.at, b.at) })
	now, all := moments{labels: map[string]map[string]string{}}, []moments(nil)
	policies := map[string]*networkingv1.NetworkPolicy{}
	for i, e := range h.events {
		if !now.take(policies, e) || e.at <= h.begin && i+1 < len(h.events) && h.events[i+1].at <= h.begin {
			continue // nothing that decides, or not yet all that was there at first
		}
		next := moments{why: now.why, labels: maps.Clone(now.labels)}
		for _, key := range slices.Sorted(maps.Keys(policies)) {
			next.policies = append(next.policies, verdict.PolicyOf(policies[key]))
		}
		all = append(all, next)
	}
	return all
}

// complete reports whether the history has come to what the API server holds now.
func (h *history) complete() bool {
	h.s.t.Helper()
	now := map[string]string{}
	for _, ns := range h.s.namespaces() {
		for _, list := range []client.ObjectList{&networkingv1.NetworkPolicyList{}, &corev1.PodList{}} {
			h.s.must(h.s.c.client.List(h.s.ctx, list, client.InNamespace(ns)))
			objects, err := meta.ExtractList(list)
			h.s.must(err)
			for _, o := range objects {
				now[fmt.Sprintf("%T %s", o, keyOfPolicy(o.(client.Object)))] = o.(client.Object).GetResourceVersion()
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Equal(now, h.newest)
}

// take makes a state the one after a revision, and reports whether it differs.
func (m *moments) take(policies map[string]*networkingv1.NetworkPolicy, e revision) bool {
	key := keyOfPolicy(e.object)
	switch o := e.object.(type) {
	case *networkingv1.NetworkPolicy:
		m.why = fmt.Sprintf("%s %s %s", e.event, key, metav1.FormatLabelSelector(&o.Spec.PodSelector))
		if policies[key] = o; e.event == watch.Deleted {
			delete(policies, key)
		}
	case *corev1.Pod:
		if o.Labels[v1alpha1.LabelRole] != "" || e.event != watch.Deleted && maps.Equal(m.labels[key], o.Labels) {
			return false
		}
		m.why = fmt.Sprintf("%s pod %s %v", e.event, key, o.Labels)
		if m.labels[key] = o.Labels; e.event == watch.Deleted {
			delete(m.labels, key)
		}
	}
	return true
}

// reaches is what a pod may reach, or be reached by, in one direction: a letter for
// each other pod and port.
func (h *history) reaches(policies []verdict.Policy, labels map[string]map[string]string, name string, d networkingv1.PolicyType) string {
	return reachOf(h.compiled(policies), labels, name, d)
}

func (h *history) compiled(policies []verdict.Policy) *verdict.Snapshot {
	w := verdict.World{Namespaces: map[string]map[string]string{}, Policies: policies}
	for _, ns := range h.s.namespaces() {
		w.Namespaces[ns] = map[string]string{corev1.LabelMetadataName: ns}
	}
	return verdict.Compile(w, nil)
}

func reachOf(live *verdict.Snapshot, labels map[string]map[string]string, key string, d networkingv1.PolicyType) string {
	pod := func(key string) *verdict.Pod {
		ns, name, _ := strings.Cut(key, "/")
		return &verdict.Pod{Namespace: ns, Name: name, Labels: labels[key]}
	}
	var b strings.Builder
	for _, peer := range slices.Sorted(maps.Keys(labels)) {
		for _, port := range []int32{8080, 9090, 1} {
			c := verdict.Conn{From: verdict.End{Pod: pod(key)}, To: verdict.End{Pod: pod(peer)}, Port: port, Protocol: corev1.ProtocolTCP}
			side := live.Judge(c).Egress
			if d == networkingv1.PolicyTypeIngress {
				c.From, c.To = c.To, c.From
				side = live.Judge(c).Ingress
			}
			b.WriteString(side.Decision.String()[:1])
		}
	}
	return b.String()
}

// seenStates counts, over revisions, pods and directions, the states that are told from
// the other two.
type seenStates struct{ base, either, candidate int }

// wantThreeStates wants every pod, in each direction and at every revision, to be at
// what was allowed before, at what the candidates allow, or at either together. Where
// several policies that come, change or go select a pod, a restore writes them one by
// one: then it may be between two of these, at more than one and less than both together.
func (h *history) wantThreeStates(before []networkingv1.NetworkPolicy, after []verdict.Policy) (n seenStates) {
	h.s.t.Helper()
	var base []verdict.Policy
	for _, np := range before {
		base = append(base, verdict.PolicyOf(&np))
	}
	seen := map[string]bool{}
	worlds, was, is := h.worlds(), h.compiled(base), h.compiled(after)
	for _, m := range worlds {
		live := h.compiled(m.policies)
		for name, labels := range m.labels {
			if len(labels) == 0 {
				continue
			}
			for _, d := range []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress} {
				was, is, now := reachOf(was, m.labels, name, d), reachOf(is, m.labels, name, d), reachOf(live, m.labels, name, d)
				either := []byte(was)
				for i := range is {
					if is[i] == 'A' {
						either[i] = 'A'
					}
				}
				seen[now] = true
				n.count(was, string(either), is, now)
				between := several(base, after, name, labels, d) && covers(string(either), now) && (covers(now, was) || covers(now, is))
				if now != was && now != is && now != string(either) && !between {
					h.s.t.Errorf("after %s, pod %s is in no state for %s: %s; before %s, after %s", m.why, name, d, now, was, is)
				}
			}
		}
	}
	if len(seen) < 2 {
		h.s.t.Errorf("only %d states were seen in %d revisions: nothing was looked at", len(seen), len(worlds))
	}
	h.s.t.Logf("%d revisions: %+v", len(worlds), n)
	return n
}

// several reports whether more than one policy that comes, or more than one that goes or
// changes, selects a pod in a direction.
func several(before, after []verdict.Policy, key string, labels map[string]string, d networkingv1.PolicyType) bool {
	selecting := func(some, others []verdict.Policy) (n int) {
		for _, p := range some {
			stays := slices.ContainsFunc(others, func(q verdict.Policy) bool { return q.Key() == p.Key() && plan.SumOf(q.Spec) == plan.SumOf(p.Spec) })
			n += one(!stays && strings.HasPrefix(key, p.Namespace+"/") && slices.Contains(p.Spec.PolicyTypes, d) && selects(&p.Spec.PodSelector, labels))
		}
		return n
	}
	return selecting(before, after) > 1 || selecting(after, before) > 1
}

// covers reports whether all that is allowed in one state is allowed in another.
func covers(wide, narrow string) bool {
	for i := range narrow {
		if narrow[i] == 'A' && wide[i] != 'A' {
			return false
		}
	}
	return true
}

func (n *seenStates) count(was, either, is, now string) {
	switch now {
	case was:
		n.base += one(was != either && was != is)
	case is:
		n.candidate += one(is != either)
	case either:
		n.either++
	}
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// after are the policies once the change is committed.
func after(before []networkingv1.NetworkPolicy, ro *v1alpha1.PolicyRollout) []verdict.Policy {
	var out []verdict.Policy
	for _, np := range before {
		key := keyOfPolicy(&np)
		goes := slices.ContainsFunc(ro.Spec.Policies.Remove, func(r v1alpha1.PolicyRef) bool { return r.Key() == key }) ||
			slices.ContainsFunc(ro.Spec.Policies.Inline, func(c v1alpha1.CandidatePolicy) bool { return c.Namespace+"/"+c.Name == key })
		if !goes {
			out = append(out, verdict.PolicyOf(&np))
		}
	}
	for _, c := range ro.Spec.Policies.Inline {
		out = append(out, verdict.Policy{Namespace: c.Namespace, Name: c.Name, Spec: verdict.Defaulted(c.Spec)})
	}
	return out
}
