package operator

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
)

// befalls makes something happen to the first line of one probe pod that comes after a
// while since it was armed, so many times, as long after each other. It goes by the clock,
// as soaks do: on a busy machine, fewer lines come in the same time.
type befalls struct {
	agent string // part of its name
	what  mishap
	after time.Duration
	times int64

	newest  atomic.Int64 // when it was armed, or happened last, in Unix nanoseconds; 0: it is not armed
	done    atomic.Int64 // times
	happens chan struct{}
}

func (b *befalls) arm() { b.newest.Store(time.Now().UnixNano()) }

// since is how long before at it happened last.
func (b *befalls) since(at time.Time) time.Duration { return at.Sub(time.Unix(0, b.newest.Load())) }

func (b *befalls) mishap(agent string, _ uint64) mishap {
	if b.newest.Load() == 0 || !strings.Contains(agent, b.agent) || b.done.Load() == b.times || b.since(time.Now()) < b.after {
		return nothing
	}
	b.arm()
	if b.done.Add(1) == 1 {
		close(b.happens)
	}
	return b.what
}

// What is not heard of a probe pod proves nothing, and accuses nobody: the soak of the
// stage starts anew, and the run goes on. A log that is only taken up again has told
// everything.
func TestWhatIsNotHeardOfAProbePodProvesNothing(t *testing.T) {
	const soak, into = 10 * time.Second, 2 * time.Second
	for name, tt := range map[string]struct {
		what  mishap
		times int64
		told  bool // the kubelet says that the container was started again
		lost  bool
	}{
		"the stream of its log ends":               {what: streamEnds, times: 1},
		"its log is rotated":                       {what: logRotated, times: 1, lost: true},
		"now and then a line is lost":              {what: lineLost, times: 3, lost: true},
		"it is started again":                      {what: startedAnew, times: 1, lost: true},
		"it is started again, as the kubelet says": {what: startedAnew, times: 1, told: true, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			// Well within the soak, also on a busy machine, and never twice in a second.
			b := &befalls{agent: "client-front", what: tt.what, after: into, times: tt.times, happens: make(chan struct{})}
			s.bent = bend{mishap: b.mishap}
			ro := s.rollout(s.good())
			ro.Spec.Stages[2].MinDuration = metav1.Duration{Duration: soak}
			s.begin(ro)
			s.reach("few")
			b.arm()
			if tt.told {
				select {
				case <-b.happens:
					s.tellOfRestart(b.agent)
				case <-s.ctx.Done():
					t.Fatal("the agent was never started again")
				}
			}
			rep := s.wantEnd(s.end(), v1alpha1.PhaseCommitted, "", "Committed")
			if len(rep.Cuts)+len(rep.Leaks) > 0 || b.done.Load() != tt.times {
				t.Errorf("cuts %v, leaks %v; it happened %d times, want %d", rep.Cuts, rep.Leaks, b.done.Load(), tt.times)
			}
			for _, p := range rep.Phases {
				if after := b.since(p.To); p.Name == "few" && tt.lost && after < soak {
					t.Errorf("the stage ended %v after it happened last, and soaks for %v", after, soak)
				}
			}
			if lost := s.lostLines(); (lost > 0) != tt.lost || lost > 100 {
				t.Errorf("the evidence tells of %d lost lines", lost)
			}
		})
	}
}

// tellOfRestart is the kubelet: the container of a probe pod runs again.
func (s *story) tellOfRestart(agent string) {
	s.t.Helper()
	pod := await(s, &corev1.PodList{}, "probe pod "+agent, func(p *corev1.Pod) bool {
		return strings.Contains(p.Name, agent) && len(p.Status.ContainerStatuses) > 0
	})
	patch := fmt.Sprintf(`{"status":{"containerStatuses":[{"name":%q,"restartCount":1,"containerID":"plane://%s-1"}]}}`, pod.Spec.Containers[0].Name, pod.UID)
	_, err := s.c.plane.kube.CoreV1().Pods(pod.Namespace).Patch(s.ctx, pod.Name, types.StrategicMergePatchType, []byte(patch), patchOptions, "status")
	s.must(err)
}

// lostLines are those that the evidence of the run says are missing.
func (s *story) lostLines() (n uint64) {
	s.t.Helper()
	run := s.until("that it is over", func(st *v1alpha1.PolicyRolloutRunStatus) bool { return st.Phase.Terminal() })
	chunks, _, err := readChunks(s.ctx, s.c.client, run)
	s.must(err)
	for _, c := range chunks {
		for _, e := range c.Entries {
			if e.Lost != nil {
				n += e.Lost.Lines
			}
		}
	}
	return n
}

// A path that is cut while the agent that tries it starts again is cut: the next lines
// say so, and the run is taken back.
func TestACutIsFoundByAnAgentThatWasStartedAgain(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	b := &befalls{agent: "client-front", what: startedAnew, times: 1, happens: make(chan struct{})}
	s.bent = bend{mishap: b.mishap}
	ro := s.rollout(s.good())
	ro.Spec.Stages[2].MinDuration = metav1.Duration{Duration: time.Minute}
	s.begin(ro)
	s.reach("few")
	b.arm()
	s.c.plane.bend(s.run(), bend{mishap: b.mishap, force: func(from, _ *corev1.Pod, got probes.Outcome) probes.Outcome {
		if from.Labels["app"] == "client" && s.c.plane.isolated(from) {
			return probes.TimedOut
		}
		return got
	}})
	rep := s.wantEnd(s.end(), v1alpha1.PhaseRolledBack, "Cut", "RolledBack")
	if len(rep.Cuts) == 0 || b.done.Load() != 1 {
		t.Errorf("cuts %v; the agent was started again %d times", rep.Cuts, b.done.Load())
	}
}
