package operator

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// lag is a data plane on which what is written acts only later. A new pod is judged by
// the labels that it came with. nil is one on which everything acts at once.
type lag struct {
	policy, label time.Duration

	mu    sync.Mutex
	pods  map[types.UID][]spell[corev1.Pod]
	known map[string]map[types.UID][]spell[networkingv1.NetworkPolicy] // by namespace
}

// spell is an object as it was since then; nil: it was gone.
type spell[T any] struct {
	since time.Time
	is    *T
}

// then adds what an object is now, and forgets what cannot act any more.
func then[T any](past []spell[T], now time.Time, is *T, wait time.Duration) []spell[T] {
	if n := len(past); n == 0 || past[n-1].is != is {
		past = append(past, spell[T]{now, is})
	}
	for len(past) > 1 && now.Sub(past[1].since) >= wait {
		past = past[1:]
	}
	return past
}

func (l *lag) pod(pod *corev1.Pod) *corev1.Pod {
	if l == nil {
		return pod
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	past := l.pods[pod.UID]
	if n := len(past); n > 0 && maps.Equal(past[n-1].is.Labels, pod.Labels) {
		past[n-1].is = pod // only its labels are late
	}
	past = then(past, time.Now(), pod, l.label)
	l.pods[pod.UID] = past
	return past[0].is
}

func (l *lag) policies(namespace string, now []*networkingv1.NetworkPolicy) []*networkingv1.NetworkPolicy {
	if l == nil {
		return now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.known[namespace]
	if known == nil {
		known = map[types.UID][]spell[networkingv1.NetworkPolicy]{}
		l.known[namespace] = known
	}
	there := map[types.UID]*networkingv1.NetworkPolicy{}
	for _, np := range now {
		there[np.UID] = np
		if known[np.UID] == nil {
			known[np.UID] = []spell[networkingv1.NetworkPolicy]{{}} // it was not there
		}
	}
	var out []*networkingv1.NetworkPolicy
	for uid, past := range known {
		if known[uid] = then(past, time.Now(), there[uid], l.policy); known[uid][0].is != nil {
			out = append(out, known[uid][0].is)
		}
	}
	return slices.SortedFunc(slices.Values(out), func(a, b *networkingv1.NetworkPolicy) int { return strings.Compare(a.Name, b.Name) })
}

// slowly makes the cluster of a story one on which policies act after 7 s and labels
// after 40 s, as some are, and gives the story the time for that.
func slowly(t *testing.T) *story {
	t.Helper()
	if os.Getenv("TIGHTROPE_TEST_ALL") == "" {
		t.Skip("TIGHTROPE_TEST_ALL is not set: a rollout on a slow cluster takes minutes")
	}
	t.Parallel()
	s := newStory(t)
	ctx, stop := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(stop)
	s.ctx = ctx
	s.bent.slow = &lag{policy: 7 * time.Second, label: 40 * time.Second, pods: map[types.UID][]spell[corev1.Pod]{},
		known: map[string]map[types.UID][]spell[networkingv1.NetworkPolicy]{}}
	return s
}

func TestAGoodSetCommitsOnASlowCluster(t *testing.T) {
	s := slowly(t)
	s.begin(s.rollout(s.good()))
	rep := s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
	if len(rep.Cuts)+len(rep.Leaks) > 0 || !strings.Contains(rep.Timings, "has no EnforcementProfile") {
		t.Errorf("cuts %v, leaks %v, timings %q", rep.Cuts, rep.Leaks, rep.Timings)
	}
}

func TestACutIsTakenBackOnASlowCluster(t *testing.T) {
	s := slowly(t)
	bad := s.good()
	bad[0] = s.policy("client-egress", map[string]string{"app": "client"}, networkingv1.PolicyTypeEgress, "server", 9999)
	s.begin(s.accepting(bad))
	s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Cut", "RolledBack")
}
