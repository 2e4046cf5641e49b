package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/verdict"
)

// history keeps what the API server held, revision by revision, of what decides about
// the pods of a story. It asks nobody else.
type history struct {
	s    *story
	stop context.CancelFunc
	done sync.WaitGroup

	mu       sync.Mutex
	policies map[string]*networkingv1.NetworkPolicy
	labels   map[string]map[string]string // of workload pods
	worlds   []moments
}

// moments is one state of the API.
type moments struct {
	why      string
	policies []verdict.Policy
	labels   map[string]map[string]string
}

// record begins a history.
func (s *story) record() *history {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.ctx)
	h := &history{s: s, stop: stop, policies: map[string]*networkingv1.NetworkPolicy{}, labels: map[string]map[string]string{}}
	for _, np := range s.policies() {
		h.policies[np.Name] = &np
	}
	for _, list := range []client.ObjectList{&networkingv1.NetworkPolicyList{}, &corev1.PodList{}} {
		w, err := s.c.client.Watch(ctx, list, client.InNamespace(s.ns))
		if err != nil {
			s.t.Fatal(err)
		}
		h.done.Go(func() {
			for e := range w.ResultChan() {
				h.saw(e.Object, string(e.Type))
			}
		})
		s.t.Cleanup(w.Stop)
	}
	s.t.Cleanup(stop)
	return h
}

func (h *history) saw(o any, event string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	why := ""
	switch o := o.(type) {
	case *networkingv1.NetworkPolicy:
		why = fmt.Sprintf("%s %s %s", event, o.Name, labelText(o.Spec.PodSelector))
		if h.policies[o.Name] = o; event == "DELETED" {
			delete(h.policies, o.Name)
		}
	case *corev1.Pod:
		if o.Labels[v1alpha1.LabelRole] != "" || maps.Equal(h.labels[o.Name], o.Labels) {
			return
		}
		why = fmt.Sprintf("%s pod %s %v", event, o.Name, o.Labels)
		h.labels[o.Name] = o.Labels
	}
	m := moments{why: why, labels: maps.Clone(h.labels)}
	for _, name := range slices.Sorted(maps.Keys(h.policies)) {
		m.policies = append(m.policies, verdict.PolicyOf(h.policies[name]))
	}
	h.worlds = append(h.worlds, m)
}

func labelText(s metav1.LabelSelector) string { return metav1.FormatLabelSelector(&s) }

// reaches is what a pod may reach, or be reached by, in one direction: a letter for
// each other pod and port.
func (h *history) reaches(policies []verdict.Policy, labels map[string]map[string]string, name string, d networkingv1.PolicyType) string {
	pod := func(name string) *verdict.Pod {
		return &verdict.Pod{Namespace: h.s.ns, Name: name, Labels: labels[name]}
	}
	live := verdict.Compile(verdict.World{Namespaces: map[string]map[string]string{h.s.ns: {}}, Policies: policies}, nil)
	var b strings.Builder
	for _, peer := range slices.Sorted(maps.Keys(labels)) {
		for _, port := range []int32{8080, 9090, 1} {
			c := verdict.Conn{From: verdict.End{Pod: pod(name)}, To: verdict.End{Pod: pod(peer)}, Port: port, Protocol: corev1.ProtocolTCP}
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

// wantThreeStates wants every pod, in each direction and at every revision, to be at
// what was allowed before, at what the candidates allow, or at either together.
func (h *history) wantThreeStates(before []networkingv1.NetworkPolicy, after []verdict.Policy) {
	h.s.t.Helper()
	h.stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	var base []verdict.Policy
	for _, np := range before {
		base = append(base, verdict.PolicyOf(&np))
	}
	seen := map[string]bool{}
	for _, m := range h.worlds {
		for name, labels := range m.labels {
			if len(labels) == 0 {
				continue
			}
			for _, d := range []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress} {
				was, is, now := h.reaches(base, m.labels, name, d), h.reaches(after, m.labels, name, d), h.reaches(m.policies, m.labels, name, d)
				either := []byte(was)
				for i := range is {
					if is[i] == 'A' {
						either[i] = 'A'
					}
				}
				switch now {
				case was, is, string(either):
					seen[now] = true
				default:
					h.s.t.Errorf("after %s, pod %s is in no state for %s: %s; before %s, after %s", m.why, name, d, now, was, is)
				}
			}
		}
	}
	if len(seen) < 2 {
		h.s.t.Errorf("only %d states were seen in %d revisions: nothing was looked at", len(seen), len(h.worlds))
	}
}

// after are the policies once the change is committed.
func after(before []networkingv1.NetworkPolicy, ro *v1alpha1.PolicyRollout) []verdict.Policy {
	var out []verdict.Policy
	for _, np := range before {
		goes := slices.ContainsFunc(ro.Spec.Policies.Remove, func(r v1alpha1.PolicyRef) bool { return r.Name == np.Name }) ||
			slices.ContainsFunc(ro.Spec.Policies.Inline, func(c v1alpha1.CandidatePolicy) bool { return c.Name == np.Name })
		if !goes {
			out = append(out, verdict.PolicyOf(&np))
		}
	}
	for _, c := range ro.Spec.Policies.Inline {
		out = append(out, verdict.Policy{Namespace: c.Namespace, Name: c.Name, Spec: verdict.Defaulted(c.Spec)})
	}
	return out
}
