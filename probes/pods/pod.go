package pods

import (
	"cmp"
	"fmt"
	"maps"
	"math"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// RolePlan is the role of the ConfigMaps that hold plans and own probe pods.
const RolePlan = "probe"

// readinessGate is a condition that nobody sets, so that a probe pod never turns
// ready and no Service routes to it.
const readinessGate = "tightrope.dev/never-ready"

// pod is a probe pod: judged by policies like the workload it stands for, noticed
// by nothing else (docs/protocol.md §4). Our own labels come last: none that an
// identity has may hide the pod from its owner.
func (p *Placer) pod(spec Spec, owner *corev1.ConfigMap) *corev1.Pod {
	pod := p.bare(spec, owner)
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, pod.Labels)
	maps.Copy(labels, spec.Marks)
	pod.Labels = labels
	c := &pod.Spec.Containers[0]
	if spec.Plan == nil {
		c.Name, c.Image = "twin", cmp.Or(p.Options.TwinImage, "tightrope.dev/twin")
		c.Args = []string{"--listen", fmt.Sprintf("%d/TCP", TwinPort)}
		return pod
	}
	pod.Annotations[v1alpha1.AnnotationPlanDigest] = spec.digest()
	pod.Spec.Volumes = []corev1.Volume{{Name: "plan", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: owner.Name},
	}}}}
	c.Name, c.Image = "agent", cmp.Or(p.Options.AgentImage, "tightrope.dev/agent")
	c.Args = []string{"--plan", "/etc/tightrope/" + PlanKey}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "plan", MountPath: "/etc/tightrope", ReadOnly: true}}
	return pod
}

// bare is a probe pod that runs nothing yet.
func (p *Placer) bare(spec Spec, owner *corev1.ConfigMap) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: p.Owner.Meta(spec.Name.Namespace, spec.Name.Name, spec.Role),
		Spec: corev1.PodSpec{
			ServiceAccountName:            spec.ServiceAccount,
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To[int64](1),
			ReadinessGates:                []corev1.PodReadinessGate{{ConditionType: readinessGate}},
			SecurityContext: &corev1.PodSecurityContext{
				// No user: the images say which, and OpenShift gives each namespace users of
				// its own, and refuses any other.
				RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			NodeSelector: p.Options.NodeSelector,
			Tolerations:  p.Options.Tolerations,
			Containers:   []corev1.Container{p.container()},
		},
	}
	if life := p.Options.Lifetime; life > 0 {
		pod.Spec.ActiveDeadlineSeconds = ptr.To(int64(max(1, life.Seconds())))
	}
	for _, name := range p.Options.PullSecrets {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID, Controller: ptr.To(true),
	}}
	// Meshes leave it alone: a proxy of theirs would answer every connect. By
	// annotation, because a label could make some policy select another identity.
	pod.Annotations["sidecar.istio.io/inject"] = "false"
	pod.Annotations["linkerd.io/inject"] = "disabled"
	pod.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] = "true" // its owner would keep a node from being removed
	if spec.Node != "" {                                                       // it shows the state of its node, whoever else may not run there
		pod.Spec.NodeName, pod.Spec.NodeSelector = spec.Node, nil
		pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	}
	return pod
}

func (p *Placer) container() corev1.Container {
	resources := DefaultResources()
	if p.Options.Resources != nil {
		resources = *p.Options.Resources.DeepCopy()
	}
	return corev1.Container{
		ImagePullPolicy: corev1.PullIfNotPresent,
		Resources:       resources,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		// Some load balancers look at containers only: this one can never be ready
		// either. The kubelet does not probe before the delay is over, 68 years from
		// now, so that nobody's alerts fire on a probe that fails.
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:        corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(1)}},
			InitialDelaySeconds: math.MaxInt32,
		},
	}
}
