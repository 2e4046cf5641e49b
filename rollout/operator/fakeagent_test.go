package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

// mishap is what befalls a line of a probe pod.
type mishap uint8

const (
	nothing     mishap = iota
	streamEnds         // who follows the log has to take it up again, and misses nothing
	logRotated         // as well, and what the log held until then is gone
	lineLost           // it never comes
	startedAnew        // the agent ends, and another process begins with its first line
)

// linesRead is how many lines are read again of a log that is taken up again, and
// linesGone how many a rotation takes away that nobody has read.
const (
	linesRead = 8
	linesGone = 3
)

// countsOfLine keeps a line within what an agent may print.
const countsOfLine = 60

// process is what the process in a probe pod knows, whoever follows its log.
type process struct {
	mu   sync.Mutex
	boot string
	seq  uint64
	last map[string]*probes.Count
	tail [][]byte // the newest lines of its log
}

func newProcess() *process { return &process{last: map[string]*probes.Count{}} }

// Follow implements LogReader: it is the agent that runs in the pod.
func (p *plane) Follow(ctx context.Context, pod types.NamespacedName) (io.ReadCloser, error) {
	is, err := p.pods.Pods(pod.Namespace).Get(pod.Name)
	if err != nil {
		return nil, err
	}
	proc := newProcess()
	if p.bendOf(is.Labels[v1alpha1.LabelRun]).mishap != nil {
		known, _ := p.processes.LoadOrStore(is.UID, proc)
		proc = known.(*process)
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError((&fakeAgent{process: proc, plane: p, pod: pod, out: w}).serve(ctx)) }()
	return r, nil
}

// fakeAgent is one probe pod's process, with its log.
type fakeAgent struct {
	*process
	plane *plane
	pod   types.NamespacedName
	out   io.Writer

	plan    probes.Plan
	version string // of the ConfigMap it was read from
}

func (a *fakeAgent) serve(ctx context.Context) error {
	a.mu.Lock()
	tail := slices.Clone(a.tail)
	a.mu.Unlock()
	for _, raw := range tail {
		if _, err := a.out.Write(raw); err != nil {
			return err
		}
	}
	every := 20 * time.Millisecond
	for {
		from := time.Now()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
		me, err := a.plane.pods.Pods(a.pod.Namespace).Get(a.pod.Name)
		if err != nil {
			return io.EOF // deleted: its log ends
		}
		cm, err := a.plane.plans.ConfigMaps(a.pod.Namespace).Get(a.pod.Name)
		if err != nil || me.Status.PodIP == "" || a.plane.bendOf(me.Labels[v1alpha1.LabelRun]).silent {
			continue
		}
		if a.version != cm.ResourceVersion {
			if a.plan, err = probes.ParsePlan([]byte(cm.Data[pods.PlanKey])); err != nil {
				return fmt.Errorf("agent %s: %w", a.pod, err)
			}
			a.version = cm.ResourceVersion
		}
		if a.plan.Interval > 0 {
			every = a.plan.Interval
		}
		if err := a.say(me, a.plan, from); err != nil {
			return err
		}
	}
}

// say tries every check once and tells of it, in as many lines as that takes.
func (a *fakeAgent) say(me *corev1.Pod, plan probes.Plan, from time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := probes.Line{Agent: plan.Agent, Boot: a.boot, Digest: plan.Digest(), From: from, To: time.Now()}
	for _, c := range plan.Checks {
		if len(line.Counts) == countsOfLine {
			if err := a.print(me, line); err != nil {
				return err
			}
			line.Counts = nil
		}
		got := a.plane.attempt(me, c, int(a.seq+1))
		n := a.last[c.ID]
		if n == nil || n.Last.Connected() != got.Connected() {
			n = &probes.Count{ID: c.ID, Since: from}
			a.last[c.ID] = n
		}
		n.Last, n.Newest = got, line.To
		n.Streak++
		n.Outcomes = map[probes.Outcome]int{got: 1}
		line.Counts = append(line.Counts, *n)
	}
	return a.print(me, line)
}

// print writes a line, or what a mishap leaves of it.
func (a *fakeAgent) print(me *corev1.Pod, line probes.Line) error {
	a.seq++
	line.Seq = a.seq
	raw, err := json.Marshal(line)
	if err != nil {
		return err
	}
	mishaps, what := a.plane.bendOf(me.Labels[v1alpha1.LabelRun]).mishap, nothing
	if mishaps != nil {
		what = mishaps(a.pod.String(), a.seq)
	}
	switch what {
	case lineLost:
		return nil
	case startedAnew:
		a.boot, a.seq, a.last, a.tail = a.boot+"again", 0, map[string]*probes.Count{}, nil
		return io.EOF
	case logRotated:
		a.seq, a.tail = a.seq+linesGone, nil
		return io.EOF
	}
	raw = append(raw, '\n')
	if mishaps != nil {
		a.tail = append(a.tail[max(0, len(a.tail)+1-linesRead):], raw)
	}
	if _, err = a.out.Write(raw); err == nil && what == streamEnds {
		return io.EOF
	}
	return err
}
