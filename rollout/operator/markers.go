package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// markerLabel holds the number of the bridge that a marker stands for.
const markerLabel = "tightrope.dev/marker"

// maxMarkerNodes bounds the pods that markers cost. Nodes past it are waited for
// by time only, and the report says so.
const maxMarkerNodes = 32

// marker is a pod of ours on one node that a policy of ours isolates and one
// bridge selects: whether it gets through says whether that node's data plane
// has programmed what was last written to that bridge. Nodes program objects in
// no promised order, so between two writes that must not be seen in the wrong
// order, every node's markers have to show the first (protocol.md §3, barriers).
//
// A marker of an egress bridge is an agent that tries the twin; one of an
// ingress bridge is a twin that the control pod tries.
type marker struct {
	bridge int // index in Plan.Bridges
	node   string
}

func (m marker) String() string { return fmt.Sprintf("marker/%d/%s", m.bridge, m.node) }

// name is that of the marker's pod. Node names may be longer than fits.
func (p *Plan) markerName(m marker) types.NamespacedName {
	return types.NamespacedName{
		Namespace: p.Bridges[m.bridge].Namespace,
		Name:      plan.ObjectName(p.Run, roleMarker, m.bridge) + "-" + plan.SumOf(m.node)[:8],
	}
}

func (p *Plan) ingress(m marker) bool {
	return p.Bridges[m.bridge].Direction == networkingv1.PolicyTypeIngress
}

// markerNodes are the nodes of the pods that the change is about, by name.
func (p *Plan) markerNodes(w *world) []string {
	nodes := map[string]bool{}
	for _, pod := range w.selected(p) {
		if pod.Spec.NodeName != "" {
			nodes[pod.Spec.NodeName] = true
		}
	}
	return slices.Sorted(maps.Keys(nodes))
}

// markers are one per bridge and node.
func (p *Plan) markers(w *world) []marker {
	var out []marker
	nodes := p.markerNodes(w)
	for i := range p.Bridges {
		for _, node := range nodes[:min(len(nodes), maxMarkerNodes)] {
			out = append(out, marker{i, node})
		}
	}
	return out
}

// unmarked states how many nodes have no marker.
func (p *Plan) unmarked(w *world) []report.NotTested {
	over := len(p.markerNodes(w)) - maxMarkerNodes
	if over <= 0 || len(p.Bridges) == 0 {
		return nil
	}
	return []report.NotTested{{What: fmt.Sprintf("when bridges take effect on %d nodes", over),
		Reason: fmt.Sprintf("markers run on the first %d nodes only; the others are given twice the slowest time that was measured", maxMarkerNodes)}}
}

// markerWishes are the policies that isolate the markers, one per bridge.
func (p *Plan) markerWishes() []wish {
	var out []wish
	for i, b := range p.Bridges {
		only := metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelRun: p.Run, markerLabel: fmt.Sprint(i)}}
		out = append(out, wish{namespace: b.Namespace, name: plan.ObjectName(p.Run, roleMarker, i), role: roleMarker, run: p.key(),
			spec: networkingv1.NetworkPolicySpec{PodSelector: only, PolicyTypes: []networkingv1.PolicyType{b.Direction}}})
	}
	return out
}

// markerLabels are what a marker wears so that its bridge selects it, in the
// shadow stage too, until released.
func (p *Plan) markerLabels(m marker) map[string]string {
	sample, err := p.Bridges[m.bridge].Sample()
	if err != nil || sample == nil { // planning read the same selector
		sample = map[string]string{}
	}
	sample[markerLabel] = fmt.Sprint(m.bridge)
	return sample
}

// markerAgents are the markers of egress bridges. Their only attempt is the twin.
func (p *Plan) markerAgents(w *world, twin *corev1.Pod) []agentSpec {
	if twin == nil || twin.Status.PodIP == "" {
		return nil
	}
	var out []agentSpec
	for _, m := range p.markers(w) {
		if p.ingress(m) {
			continue
		}
		name := p.markerName(m)
		id := v1alpha1.Identity{Name: name.Name, Namespace: name.Namespace, Labels: p.markerLabels(m)}
		check := probes.Check{ID: m.String(), Type: "TCP", Protocol: "TCP", Host: twin.Status.PodIP, Port: pods.TwinPort}
		spec := p.agent(id, false, []probes.Check{check}, map[string]route{m.String(): {path: -1}})
		spec.name, spec.plan.Agent, spec.node = name, name.String(), m.node
		spec.plan.Interval = min(p.Interval, controlInterval)
		out = append(out, spec)
	}
	return out
}

// addMarkers makes the control pod try the markers of ingress bridges.
func (p *Plan) addMarkers(w *world, control *agentSpec) {
	for _, m := range p.markers(w) {
		pod := w.pods[p.markerName(m)]
		if !p.ingress(m) || pod == nil || pod.Status.PodIP == "" {
			continue
		}
		control.plan.Checks = append(control.plan.Checks, probes.Check{ID: m.String(), Type: "TCP", Protocol: "TCP", Host: pod.Status.PodIP, Port: pods.TwinPort})
		control.routes[m.String()] = route{path: -1, witness: true}
	}
}

// ensureMarkerTwins makes the markers of ingress bridges be there, and reports
// whether all have an address.
func (r *RunReconciler) ensureMarkerTwins(ctx context.Context, s *session, w *world) (bool, error) {
	all := true
	for _, m := range s.plan.markers(w) {
		if !s.plan.ingress(m) {
			continue
		}
		spec := agentSpec{name: s.plan.markerName(m), node: m.node, plan: probes.Plan{Run: s.plan.Run}}
		pod, err := r.ensureTwin(ctx, s, w, spec, s.plan.markerLabels(m))
		if err != nil {
			return false, err
		}
		all = all && pod != nil && pod.Status.PodIP != ""
	}
	return all, nil
}

// releaseMarkers takes the probe label off the markers, so that only a bridge
// that selects production selects them too: what they showed of the shadow
// stage must not stand for the next. It reports whether it had to write.
func (r *RunReconciler) releaseMarkers(ctx context.Context, s *session, w *world) (bool, error) {
	write, err := r.forward(s.plan)
	if err != nil {
		return false, err
	}
	wrote := false
	for _, m := range s.plan.markers(w) {
		pod := w.pods[s.plan.markerName(m)]
		if pod == nil || pod.Labels[v1alpha1.LabelProbe] == "" {
			continue
		}
		if err := write.Relabel(ctx, pod, map[string]*string{v1alpha1.LabelProbe: nil}, nil); err != nil {
			return wrote, fmt.Errorf("release marker %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		wrote = true
	}
	return wrote, nil
}

// lagging names a marker that does not show what the live policies say of it;
// empty: every node has programmed what was written before the last mark.
func (s *session) lagging(w *world) string {
	live := s.live(w)
	for _, m := range s.plan.markers(w) {
		if want := s.plan.wantOf(w, live, m); !s.shows(m, want) {
			b := s.plan.Bridges[m.bridge]
			return fmt.Sprintf("node %s does not show what was written to the policies of %s for %s", m.node, b.Namespace, strings.ToLower(string(b.Direction)))
		}
	}
	return ""
}

// wantOf is the verdict of the live policies on the marker's only flow; Unknown
// while one of its ends is not there.
func (p *Plan) wantOf(w *world, live *verdict.Snapshot, m marker) verdict.Decision {
	from, to := w.pods[p.markerName(m)], w.pods[twinSpec(p.Run).name]
	if p.ingress(m) {
		from, to = w.pods[p.controlName()], w.pods[p.markerName(m)]
	}
	if from == nil || to == nil || from.Status.PodIP == "" || to.Status.PodIP == "" {
		return verdict.Unknown
	}
	return live.Judge(connect(verdictPod(from), verdictPod(to), pods.TwinPort, "TCP")).Decision
}

// shows reports whether the newest attempts of a marker's flow agree with want.
func (s *session) shows(m marker, want verdict.Decision) bool {
	name := s.plan.markerName(m)
	if s.plan.ingress(m) {
		name = s.plan.controlName()
	}
	st, ok := s.pods.State(name, m.String())
	if !ok {
		return false
	}
	switch want {
	case verdict.Allow:
		return st.ShowsAllow()
	case verdict.Deny:
		return st.ShowsDeny()
	}
	return false
}

// isolateMarkers writes the markers' policies at the end of preflight, and
// reports whether every node shows that they took effect. One that does not
// would not show a bridge either, so nothing is rolled out over it.
func (r *RunReconciler) isolateMarkers(ctx context.Context, s *session, w *world) (bool, error) {
	write, err := r.forward(s.plan)
	if err != nil {
		return false, err
	}
	if unmet := w.unmet(s.plan.markerWishes()); len(unmet) > 0 {
		if err := r.apply(ctx, write, unmet); err != nil {
			return false, err
		}
		s.isolatedAt = time.Now()
		s.pods.Mark(s.isolatedAt)
		return false, nil
	}
	if s.late = s.lagging(w); s.late == "" {
		return true, nil
	}
	if within := s.actsWithin(false); !s.isolatedAt.IsZero() && time.Since(s.isolatedAt) > within {
		return false, &refusal{reasons: []string{fmt.Sprintf("%v after a policy of ours was written, %s: look at the network plugin of that node; no rollback could be promised there", within, s.late)}}
	}
	return false, nil
}

// shown reports whether every node shows what was written and acknowledged at
// at: by its markers, and where there is none, by twice the slowest effect that
// such a write is known to have.
func (s *session) shown(w *world, at time.Time, slowest time.Duration) bool {
	if s.late = s.lagging(w); s.late != "" {
		return false
	}
	marked := len(s.plan.markers(w)) > 0 && len(s.plan.unmarked(w)) == 0
	return marked || time.Since(at) >= 2*slowest
}
