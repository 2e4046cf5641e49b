package operator

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/pods"
)

// placer makes and checks the probe pods of a run.
func (r *RunReconciler) placer(run runKey) *pods.Placer {
	return &pods.Placer{Owner: run, Write: r.Write, Live: r.Live, Logs: r.Logs, Options: r.Pods}
}

// ensureAgent makes one probe pod and its plan be there, and reports whether the
// pod runs.
func (r *RunReconciler) ensureAgent(ctx context.Context, s *session, w *world, a agentSpec) (bool, error) {
	run := s.plan.key()
	pod, err := r.placer(run).Ensure(ctx, s.pods, w.pods[a.name], a.pod(run))
	return pod != nil, refusedPod(err)
}

// ensureTwin makes a pod that answers be there, and returns it; nil: not yet.
func (r *RunReconciler) ensureTwin(ctx context.Context, s *session, w *world, a agentSpec, labels map[string]string) (*corev1.Pod, error) {
	run := s.plan.key()
	pod, err := r.placer(run).Ensure(ctx, s.pods, w.pods[a.name], a.twin(run, labels))
	return pod, refusedPod(err)
}

// refusedPod makes the refusal of a probe pod one of the run.
func refusedPod(err error) error {
	if no, ok := errors.AsType[*pods.Refusal](err); ok {
		return &refusal{reasons: []string{no.Reason}}
	}
	return err
}

// pod is the probe pod of an agent.
func (a agentSpec) pod(run runKey) pods.Spec {
	spec := pods.Spec{
		Name: a.name, Role: roleProbe, Labels: a.identity.Labels, ServiceAccount: a.identity.ServiceAccountName,
		Node: a.node, Plan: &a.plan, Marks: map[string]string{v1alpha1.LabelIdentity: a.identity.Name},
	}
	if a.identity.Name != controlIdentity {
		spec.Marks[v1alpha1.LabelProbe] = run.Name
	}
	if a.front {
		spec.Marks[v1alpha1.LabelEnforced] = run.Name
	}
	if a.node != "" {
		spec.Own = []string{v1alpha1.LabelProbe} // see releaseMarkers
	}
	return spec
}

// twin is the pod that answers, in Tightrope's own namespace for preflight to ask
// whether this cluster enforces anything at all, or on a node as its marker.
func (a agentSpec) twin(run runKey, labels map[string]string) pods.Spec {
	spec := pods.Spec{
		Name: a.name, Role: roleCheck, Labels: labels, Node: a.node, Marks: map[string]string{},
		Own: []string{v1alpha1.LabelEnforced, v1alpha1.LabelProbe}, // see the enforcement check and releaseMarkers
	}
	if a.node != "" {
		spec.Marks[v1alpha1.LabelProbe] = run.Name
	}
	return spec
}

// twinSpec names the twin and the empty plan that owns it.
func twinSpec(run string) agentSpec {
	return agentSpec{
		name: types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "tightrope-" + run + "-twin"},
		plan: probes.Plan{Run: run},
	}
}
