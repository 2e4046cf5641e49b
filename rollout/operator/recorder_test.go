package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

// recorder watches one run on a cluster: it follows the probe pods as the operator
// does, and keeps every change of what verdicts depend on.
type recorder struct {
	client client.WithWatch
	logs   pods.LogReader
	began  time.Time
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu        sync.Mutex
	rec       recording
	record    record
	contents  map[string]string // by kind and name, as kept last
	followers map[types.UID]*pods.Follower
	failed    error // why the plan could not be read; nil: it could, or was not asked for
}

// startRecorder records from now on, until end.
func startRecorder(ctx context.Context, c client.WithWatch, logs pods.LogReader) *recorder {
	ctx, stop := context.WithCancel(ctx)
	r := &recorder{client: c, logs: logs, began: time.Now(), stop: stop, contents: map[string]string{}, followers: map[types.UID]*pods.Follower{}}
	for _, list := range []client.ObjectList{&corev1.NamespaceList{}, &networkingv1.NetworkPolicyList{}, &corev1.PodList{},
		&corev1.ServiceList{}, &discoveryv1.EndpointSliceList{}, &v1alpha1.PolicyRolloutRunList{}} {
		r.done.Go(func() { r.watch(ctx, list) })
	}
	return r
}

// watch passes on what becomes of the objects of a kind. A kind that is not served
// yet is asked for again.
func (r *recorder) watch(ctx context.Context, list client.ObjectList) {
	for ctx.Err() == nil {
		if w, err := r.client.Watch(ctx, list); err == nil {
			for e := range w.ResultChan() {
				if o, ok := e.Object.(client.Object); ok {
					r.saw(ctx, o, e.Type == watch.Deleted)
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (r *recorder) saw(ctx context.Context, o client.Object, gone bool) {
	at := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if run, ok := o.(*v1alpha1.PolicyRolloutRun); ok {
		r.sawRun(ctx, run, at)
		return
	}
	x := lean(o)
	if x == nil {
		return
	}
	x.Gone = gone
	key, content := fmt.Sprintf("%T %s", o, client.ObjectKeyFromObject(o)), x.content()
	if r.contents[key] == content {
		return
	}
	r.contents[key] = content
	r.add(at, moment{Object: x})
	if x.Pod != nil && x.Pod.Labels[v1alpha1.LabelRun] != "" && x.Pod.Spec.Containers[0].Name == "agent" && x.Pod.Status.Phase == corev1.PodRunning && r.followers[x.Pod.UID] == nil {
		name := client.ObjectKeyFromObject(x.Pod)
		r.followers[x.Pod.UID] = pods.Follow(ctx, r.logs, name, func(l probes.Line, at time.Time) { r.hear(name, l, at) })
	}
}

// sawRun notes a state of the run and, once it is armed, its plan.
func (r *recorder) sawRun(ctx context.Context, run *v1alpha1.PolicyRolloutRun, at time.Time) {
	state := stateOf(run)
	if armedWith(run) != "" && r.rec.Plan == nil {
		r.rec.Plan, r.failed = loadPlan(ctx, r.client, run.Name, armedWith(run))
	}
	if r.rec.Plan != nil && !state.Phase.Terminal() {
		if err := r.record.load(ctx, r.client, run); err != nil {
			r.failed = err
		}
		r.rec.Settle = max(r.rec.Settle, r.record.State.Settle)
	}
	for _, m := range r.rec.Moments {
		if m.State != nil && *m.State == state {
			return
		}
	}
	r.add(at, moment{State: &state})
}

func (r *recorder) hear(pod types.NamespacedName, l probes.Line, at time.Time) {
	raw, err := json.Marshal(coarse(l))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.add(at, moment{Heard: &heardLine{pod, raw}})
	}
}

func (r *recorder) add(at time.Time, m moment) {
	m.At = at.Sub(r.began).Milliseconds()
	r.rec.Moments = append(r.rec.Moments, m)
}

// end stops recording and returns what was recorded.
func (r *recorder) end() (*recording, error) {
	r.stop()
	r.done.Wait()
	for _, f := range r.followers {
		f.Close()
	}
	switch {
	case r.failed != nil:
		return nil, r.failed
	case r.rec.Plan == nil:
		return nil, errors.New("the run was never armed, so it has no plan")
	}
	slices.SortStableFunc(r.rec.Moments, func(a, b moment) int { return cmp.Compare(a.At, b.At) })
	r.rec.trim()
	return &r.rec, nil
}
