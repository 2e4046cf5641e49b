package operator

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
)

// recording is one run on a cluster as the API server showed it: the lines of its
// probe pods, the objects that verdicts depend on, and the states of the run, in
// the order in which they came in.
type recording struct {
	Scenario string        `json:"scenario"`
	Busy     int           `json:"busy"` // processes that took the processors away meanwhile
	Result   string        `json:"result"`
	Message  string        `json:"message"`
	Plan     *Plan         `json:"plan"`
	Settle   time.Duration `json:"settle"` // the slowest effect of a policy that preflight measured
	Moments  []moment      `json:"moments"`
}

// moment is one thing that came in. Exactly one of the others is set.
type moment struct {
	At     int64          `json:"at"` // milliseconds since the recording began
	Heard  *heardLine     `json:"heard,omitempty"`
	Object *form          `json:"object,omitempty"`
	State  *rollout.State `json:"state,omitempty"`
}

func (m moment) came() time.Duration { return time.Duration(m.At) * time.Millisecond }

// split tells the lines from the rest.
func (r *recording) split() (lines, rest []moment) {
	for _, m := range r.Moments {
		if m.Heard != nil {
			lines = append(lines, m)
		} else {
			rest = append(rest, m)
		}
	}
	return lines, rest
}

// heardLine is a line of a probe pod.
type heardLine struct {
	Pod  types.NamespacedName `json:"pod"`
	Line json.RawMessage      `json:"line"`
}

// form is a new form of an object, or says that one is gone.
type form struct {
	Gone          bool                        `json:"gone,omitempty"`
	Namespace     *corev1.Namespace           `json:"namespace,omitempty"`
	Policy        *networkingv1.NetworkPolicy `json:"policy,omitempty"`
	Pod           *corev1.Pod                 `json:"pod,omitempty"`
	Service       *corev1.Service             `json:"service,omitempty"`
	EndpointSlice *discoveryv1.EndpointSlice  `json:"endpointSlice,omitempty"`
}

// lean is the object with what verdicts and the operator's judgement depend on;
// nil: nothing depends on such an object.
func lean(o client.Object) *form {
	switch o := o.DeepCopyObject().(type) {
	case *corev1.Namespace:
		o.ObjectMeta, o.Spec, o.Status = leanMeta(o.ObjectMeta), corev1.NamespaceSpec{}, corev1.NamespaceStatus{}
		return &form{Namespace: o}
	case *networkingv1.NetworkPolicy:
		o.ObjectMeta = leanMeta(o.ObjectMeta)
		return &form{Policy: o}
	case *corev1.Pod:
		return &form{Pod: leanPod(o)}
	case *corev1.Service:
		o.ObjectMeta = leanMeta(o.ObjectMeta)
		return &form{Service: o}
	case *discoveryv1.EndpointSlice:
		o.ObjectMeta = leanMeta(o.ObjectMeta)
		return &form{EndpointSlice: o}
	}
	return nil
}

// object is the one that the form is of.
func (f *form) object() client.Object {
	switch {
	case f.Namespace != nil:
		return f.Namespace
	case f.Policy != nil:
		return f.Policy
	case f.Pod != nil:
		return f.Pod
	case f.Service != nil:
		return f.Service
	}
	return f.EndpointSlice
}

func leanMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Labels: m.Labels, Annotations: m.Annotations, OwnerReferences: m.OwnerReferences, DeletionTimestamp: m.DeletionTimestamp}
}

func leanPod(p *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{ObjectMeta: leanMeta(p.ObjectMeta), Spec: corev1.PodSpec{NodeName: p.Spec.NodeName, HostNetwork: p.Spec.HostNetwork},
		Status: corev1.PodStatus{Phase: p.Status.Phase, HostIP: p.Status.HostIP, PodIP: p.Status.PodIP, PodIPs: p.Status.PodIPs}}
	for _, c := range p.Spec.Containers {
		out.Spec.Containers = append(out.Spec.Containers, corev1.Container{Name: c.Name, Ports: c.Ports})
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			out.Status.Conditions = []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return out
}

// content is an object without the version of it, to tell whether anything changed
// that is kept.
func (f *form) content() string {
	c := *f
	if c.Pod != nil {
		c.Pod = c.Pod.DeepCopy()
		c.Pod.ResourceVersion = ""
	}
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err) // what the API server sent always marshals
	}
	return string(raw)
}

// coarse is a line to the millisecond, without error texts: less than half as long.
func coarse(l probes.Line) probes.Line {
	l.From, l.To = l.From.UTC().Truncate(time.Millisecond), l.To.UTC().Truncate(time.Millisecond)
	counts := l.Counts
	l.Counts = nil
	for _, c := range counts {
		c.Since, c.Newest, c.Detail = c.Since.UTC().Truncate(time.Millisecond), c.Newest.UTC().Truncate(time.Millisecond), ""
		l.Counts = append(l.Counts, c)
	}
	return l
}

// trim leaves out what no judgement of a step rests on: what probe pods said before
// the baseline is observed, all that came after the run turned back, and what is in
// the plan for the report alone.
func (r *recording) trim() {
	// In milliseconds: what ledgers need to learn an agent's clock, and what shows
	// how the last decision came about.
	const before, after = 5000, 1000
	var observe, back int64
	for _, m := range r.Moments {
		if m.State == nil {
			continue
		}
		if m.State.Step == 0 && m.State.Phase == "Observe" {
			observe = m.At
		}
		if back == 0 && (m.State.Phase == "RollingBack" || m.State.Phase.Terminal()) {
			back = m.At
		}
	}
	var kept []moment
	for _, m := range r.Moments {
		if m.Heard != nil && m.At < observe-before || back > 0 && m.At > back+after {
			continue
		}
		kept = append(kept, m)
	}
	r.Moments = kept
	r.Plan.Exposures, r.Plan.Predicted = nil, nil
}

func (r *recording) save(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	zip, _ := gzip.NewWriterLevel(f, gzip.BestCompression) // the level is a valid one
	return errors.Join(json.NewEncoder(zip).Encode(r), zip.Close(), f.Close())
}

func loadRecording(name string) (*recording, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &recording{}
	if err := json.NewDecoder(zip).Decode(r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}
