package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
)

// twinPort is where the twin listens.
const twinPort = 8080

// readinessGate is a condition that nobody sets, so that a probe pod never
// turns ready and no Service routes to it.
const readinessGate = "tightrope.dev/never-ready"

// planKey is the file of the plan in the agent's volume.
const planKey = "plan.json"

// ensureAgent makes one probe pod and its plan be there, and reports whether
// the pod runs. The ConfigMap is the pod's controller: a bare pod whose labels
// match a ReplicaSet would be adopted by it.
func (r *RunReconciler) ensureAgent(ctx context.Context, s *session, w *world, a agentSpec) (bool, error) {
	run, pod, digest := s.plan.key(), w.pods[a.name], a.plan.Digest()
	if pod != nil && s.written[a.name] == digest && s.kept(a.name).born != nil {
		return r.checkAgent(ctx, s, pod, a, digest)
	}
	raw, err := json.Marshal(a.plan)
	if err != nil {
		return false, fmt.Errorf("plan of probe pod %s: %w", a.name, err)
	}
	cm, err := r.ensurePlan(ctx, run, a, raw)
	if err != nil {
		return false, fmt.Errorf("plan of probe pod %s: %w", a.name, err)
	}
	s.written[a.name] = digest
	asked := r.agentPod(run, a, cm)
	switch {
	case pod == nil:
		return false, r.makePod(ctx, s, asked)
	case s.kept(a.name).born == nil:
		if a.node != "" && pod.Labels[v1alpha1.LabelProbe] == "" {
			delete(asked.Labels, v1alpha1.LabelProbe) // released before
		}
		return false, r.adopt(ctx, s, asked, pod)
	}
	return r.checkAgent(ctx, s, pod, a, digest)
}

// checkAgent reports whether a probe pod runs as it was made.
func (r *RunReconciler) checkAgent(ctx context.Context, s *session, pod *corev1.Pod, a agentSpec, digest string) (bool, error) {
	var own []string
	if a.node != "" {
		own = []string{v1alpha1.LabelProbe} // see releaseMarkers
	}
	if ok, err := r.vouch(ctx, s, pod, own...); err != nil || !ok {
		return false, err
	}
	switch {
	case finished(pod):
		s.kept(a.name).born = nil
		return false, r.deletePod(ctx, pod)
	case pod.Annotations[v1alpha1.AnnotationPlanDigest] != digest:
		return false, r.Write.Relabel(ctx, pod, nil, map[string]*string{v1alpha1.AnnotationPlanDigest: &digest})
	case pod.Status.Phase != corev1.PodRunning:
		return false, nil
	}
	s.welcome(r.Logs, a.name)
	return true, nil
}

// ensurePlan makes the ConfigMap of a probe pod hold its plan, and returns it
// with its UID: it owns the pod.
func (r *RunReconciler) ensurePlan(ctx context.Context, run runKey, a agentSpec, raw []byte) (*corev1.ConfigMap, error) {
	data := map[string]string{planKey: string(raw)}
	cm := &corev1.ConfigMap{}
	err := r.Live.Get(ctx, a.name, cm)
	switch {
	case apierrors.IsNotFound(err):
		cm = &corev1.ConfigMap{ObjectMeta: run.meta(a.name.Namespace, a.name.Name, roleProbe), Data: data}
		return cm, r.Write.Create(ctx, cm)
	case err != nil:
		return nil, err
	case !run.made(cm):
		return nil, &refusal{reasons: []string{notOurs("ConfigMap", cm).Error()}}
	case maps.Equal(cm.Data, data):
		return cm, nil
	}
	cm.Data = data
	return cm, r.Write.Update(ctx, cm)
}

// agentPod is a probe pod: judged by policies like the workload it stands for,
// noticed by nothing else (protocol.md §4). Our own labels come last: none that an
// identity has may hide the pod from its run.
func (r *RunReconciler) agentPod(run runKey, a agentSpec, owner *corev1.ConfigMap) *corev1.Pod {
	pod := r.basePod(run, roleProbe, a, owner)
	pod.Labels = merged(a.identity.Labels, pod.Labels)
	pod.Labels[v1alpha1.LabelIdentity] = a.identity.Name
	if a.identity.Name != controlIdentity {
		pod.Labels[v1alpha1.LabelProbe] = run.name
	}
	if a.front {
		pod.Labels[v1alpha1.LabelEnforced] = run.name
	}
	pod.Annotations[v1alpha1.AnnotationPlanDigest] = a.plan.Digest()
	pod.Spec.ServiceAccountName = a.identity.ServiceAccountName
	pod.Spec.Volumes = []corev1.Volume{{Name: "plan", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: owner.Name},
	}}}}
	c := &pod.Spec.Containers[0]
	c.Name, c.Image = "agent", r.AgentImage
	c.Args = []string{"--plan", "/etc/tightrope/" + planKey}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "plan", MountPath: "/etc/tightrope", ReadOnly: true}}
	return pod
}

// ensureTwin makes a pod that answers be there, and returns it; nil: not yet.
func (r *RunReconciler) ensureTwin(ctx context.Context, s *session, w *world, a agentSpec, labels map[string]string) (*corev1.Pod, error) {
	pod := w.pods[a.name]
	if pod != nil && s.kept(a.name).born != nil {
		// The enforcement check and releaseMarkers change these two.
		if ok, err := r.vouch(ctx, s, pod, v1alpha1.LabelEnforced, v1alpha1.LabelProbe); err != nil || !ok {
			return nil, err
		}
		if finished(pod) {
			s.kept(a.name).born = nil
			return nil, r.deletePod(ctx, pod)
		}
		return pod, nil
	}
	cm, err := r.ensurePlan(ctx, s.plan.key(), a, []byte("{}"))
	if err != nil {
		return nil, fmt.Errorf("plan of probe pod %s: %w", a.name, err)
	}
	asked := r.twinPod(s.plan.key(), a, cm)
	maps.Copy(asked.Labels, labels)
	if pod == nil {
		return nil, r.makePod(ctx, s, asked)
	}
	for _, key := range []string{v1alpha1.LabelEnforced, v1alpha1.LabelProbe} { // as they are now
		delete(asked.Labels, key)
	}
	return nil, r.adopt(ctx, s, asked, pod)
}

// twinPod answers on its port and does nothing else. One in Tightrope's own
// namespace lets preflight ask whether this cluster enforces anything at all.
func (r *RunReconciler) twinPod(run runKey, a agentSpec, owner *corev1.ConfigMap) *corev1.Pod {
	pod := r.basePod(run, roleCheck, a, owner)
	if a.node != "" {
		pod.Labels[v1alpha1.LabelProbe] = run.name
	}
	c := &pod.Spec.Containers[0]
	c.Name, c.Image = "twin", r.TwinImage
	c.Args = []string{"--listen", fmt.Sprintf("%d/TCP", twinPort)}
	return pod
}

func (r *RunReconciler) basePod(run runKey, role string, a agentSpec, owner *corev1.ConfigMap) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: run.meta(a.name.Namespace, a.name.Name, role),
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To[int64](1),
			ReadinessGates:                []corev1.PodReadinessGate{{ConditionType: readinessGate}},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532), RunAsGroup: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				ImagePullPolicy: corev1.PullIfNotPresent,
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
				// Some load balancers look at containers only: this one can never be ready either.
				ReadinessProbe: &corev1.Probe{
					ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}},
					PeriodSeconds: 300,
				},
			}},
		},
	}
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID, Controller: ptr.To(true),
	}}
	// Meshes leave it alone: a proxy of theirs would answer every connect. By
	// annotation, because a label could make some policy select another identity.
	pod.Annotations["sidecar.istio.io/inject"] = "false"
	pod.Annotations["linkerd.io/inject"] = "disabled"
	if a.node != "" { // a marker shows the state of its node, whoever else may not run there
		pod.Spec.NodeName = a.node
		pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	}
	return pod
}

// twinSpec names the twin and the empty plan that owns it.
func twinSpec(run string) agentSpec {
	return agentSpec{
		name: types.NamespacedName{Namespace: v1alpha1.SystemNamespace, Name: "tightrope-" + run + "-twin"},
		plan: probes.Plan{Run: run},
	}
}
