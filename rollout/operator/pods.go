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
// Those in the namespaces of others are made as the account of the rollout, those in
// Tightrope's own as ourselves.
func (r *RunReconciler) placer(p *Plan, namespace string) (*pods.Placer, error) {
	h, err := r.handsIn(p, namespace)
	if err != nil {
		return nil, err
	}
	return &pods.Placer{Owner: p.key(), Write: h.write, Live: r.Live, Logs: h.logs, Options: r.Pods}, nil
}

// ensureAgent makes one probe pod and its plan be there, and reports whether the
// pod runs.
func (r *RunReconciler) ensureAgent(ctx context.Context, s *session, w *world, a agentSpec) (bool, error) {
	placer, err := r.placer(s.plan, a.name.Namespace)
	if err != nil {
		return false, err
	}
	pod, err := placer.Ensure(ctx, s.pods, w.pods[a.name], a.pod(s.plan.key()))
	return pod != nil, refusedPod(err)
}

// ensureTwin makes a pod that answers be there, and returns it; nil: not yet.
func (r *RunReconciler) ensureTwin(ctx context.Context, s *session, w *world, a agentSpec, labels map[string]string) (*corev1.Pod, error) {
	placer, err := r.placer(s.plan, a.name.Namespace)
	if err != nil {
		return nil, err
	}
	pod, err := placer.Ensure(ctx, s.pods, w.pods[a.name], a.twin(s.plan.key(), labels))
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
