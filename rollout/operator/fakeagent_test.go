package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

// Follow implements LogReader: it is the agent that runs in the pod.
func (p *plane) Follow(ctx context.Context, pod types.NamespacedName) (io.ReadCloser, error) {
	if _, err := p.pods.Pods(pod.Namespace).Get(pod.Name); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError((&fakeAgent{plane: p, pod: pod, out: w}).serve(ctx)) }()
	return r, nil
}

// fakeAgent is one probe pod's process.
type fakeAgent struct {
	plane *plane
	pod   types.NamespacedName
	out   io.Writer
	seq   uint64
	last  map[string]*probes.Count

	plan    probes.Plan
	version string // of the ConfigMap it was read from
}

func (a *fakeAgent) serve(ctx context.Context) error {
	a.last = map[string]*probes.Count{}
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

func (a *fakeAgent) say(me *corev1.Pod, plan probes.Plan, from time.Time) error {
	a.seq++
	line := probes.Line{Agent: plan.Agent, Seq: a.seq, Digest: plan.Digest(), From: from, To: time.Now()}
	for _, c := range plan.Checks {
		got := a.plane.attempt(me, c, int(a.seq))
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
	raw, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(raw, '\n'))
	return err
}
