package manifest

import (
	"net/netip"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/api/strict"
)

// The checks hold objects against the API server's validation as far as it
// matters for verdicts: selectors, labels, ports and addresses.

func checkNetworkPolicy(p *networkingv1.NetworkPolicy) strict.Faults {
	return append(strict.CheckMarks("metadata", p.Labels, p.Annotations), strict.CheckPolicy("spec", p.Spec)...)
}

func checkClusterPolicy(p *v1alpha2.ClusterNetworkPolicy) strict.Faults {
	return strict.CheckClusterPolicy("spec", p.Spec)
}

func checkNamespace(ns *corev1.Namespace) strict.Faults {
	f := strict.Faults{}
	if label, ok := ns.Labels[corev1.LabelMetadataName]; ok && label != ns.Name {
		f.Add("metadata.labels["+corev1.LabelMetadataName+"]", "%q: the API server sets it to the namespace's name, %q", strict.Show(label), strict.Show(ns.Name))
	}
	return f
}

func checkPod(p *corev1.Pod) strict.Faults {
	f := checkPodSpec("spec", &p.Spec)
	for i, ip := range p.Status.PodIPs {
		if _, err := netip.ParseAddr(ip.IP); err != nil {
			f.Add(index("status.podIPs", i)+".ip", "%q is not an address", strict.Show(ip.IP))
		}
	}
	if _, err := netip.ParseAddr(p.Status.PodIP); p.Status.PodIP != "" && err != nil {
		f.Add("status.podIP", "%q is not an address", strict.Show(p.Status.PodIP))
	}
	return f
}

func checkPodSpec(at string, spec *corev1.PodSpec) strict.Faults {
	f := strict.Faults{}
	if len(spec.Containers) == 0 {
		f.Add(at+".containers", "is missing: a pod has at least one container")
	}
	for i, c := range spec.InitContainers {
		checkContainer(&f, index(at+".initContainers", i), c)
	}
	for i, c := range spec.Containers {
		checkContainer(&f, index(at+".containers", i), c)
	}
	return f
}

func checkContainer(f *strict.Faults, at string, c corev1.Container) {
	names := map[string]bool{}
	for i, port := range c.Ports {
		at := index(at+".ports", i)
		f.Port(at+".containerPort", port.ContainerPort)
		if port.Protocol != "" {
			f.Protocol(at+".protocol", port.Protocol)
		}
		switch {
		case port.Name == "":
		case len(validation.IsValidPortName(port.Name)) > 0:
			f.Add(at+".name", "%q is not the name of a port: at most 15 lower-case letters, digits and dashes, with a letter among them", strict.Show(port.Name))
		case names[port.Name]:
			f.Add(at+".name", "%q is the name of another port of this container", port.Name)
		}
		names[port.Name] = true
	}
}

func checkDeployment(d *appsv1.Deployment) strict.Faults {
	return checkReplicated(d.Spec.Replicas, d.Spec.Selector, &d.Spec.Template)
}

func checkStatefulSet(s *appsv1.StatefulSet) strict.Faults {
	return checkReplicated(s.Spec.Replicas, s.Spec.Selector, &s.Spec.Template)
}

func checkReplicaSet(s *appsv1.ReplicaSet) strict.Faults {
	return checkReplicated(s.Spec.Replicas, s.Spec.Selector, &s.Spec.Template)
}

func checkDaemonSet(s *appsv1.DaemonSet) strict.Faults {
	return checkReplicated(nil, s.Spec.Selector, &s.Spec.Template)
}

func checkReplicated(replicas *int32, s *metav1.LabelSelector, template *corev1.PodTemplateSpec) strict.Faults {
	f := checkTemplate("spec.template", template)
	if replicas != nil && *replicas < 0 {
		f.Add("spec.replicas", "%d is negative", *replicas)
	}
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		f.Add("spec.selector", "is missing or empty: say which pods are its own")
		return f
	}
	before := len(f)
	f.Selector("spec.selector", s)
	if len(f) > before {
		return f
	}
	if selector, err := metav1.LabelSelectorAsSelector(s); err == nil && !selector.Matches(labels.Set(template.Labels)) {
		f.Add("spec.selector", "does not select the pods of spec.template, so the API server refuses it: their labels are %s", strict.Show(labels.Set(template.Labels).String()))
	}
	return f
}

func checkTemplate(at string, template *corev1.PodTemplateSpec) strict.Faults {
	f := checkPodSpec(at+".spec", &template.Spec)
	f.Labels(at+".metadata.labels", template.Labels)
	return f
}

// checkController allows a selector that is absent: it is the template's labels.
func checkController(c *corev1.ReplicationController) strict.Faults {
	f := strict.Faults{}
	if c.Spec.Replicas != nil && *c.Spec.Replicas < 0 {
		f.Add("spec.replicas", "%d is negative", *c.Spec.Replicas)
	}
	if c.Spec.Template == nil {
		f.Add("spec.template", "is missing")
		return f
	}
	f = append(f, checkTemplate("spec.template", c.Spec.Template)...)
	if !labels.SelectorFromSet(c.Spec.Selector).Matches(labels.Set(c.Spec.Template.Labels)) {
		f.Add("spec.selector", "does not select the pods of spec.template, so the API server refuses it")
	}
	return f
}

func checkJob(j *batchv1.Job) strict.Faults { return checkJobSpec("spec", &j.Spec) }

func checkCronJob(c *batchv1.CronJob) strict.Faults {
	return checkJobSpec("spec.jobTemplate.spec", &c.Spec.JobTemplate.Spec)
}

func checkJobSpec(at string, spec *batchv1.JobSpec) strict.Faults {
	f := checkTemplate(at+".template", &spec.Template)
	if spec.Parallelism != nil && *spec.Parallelism < 0 {
		f.Add(at+".parallelism", "%d is negative", *spec.Parallelism)
	}
	return f
}

func checkService(s *corev1.Service) strict.Faults {
	f := strict.Faults{}
	f.Labels("spec.selector", s.Spec.Selector)
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return f
	}
	if len(s.Spec.Ports) == 0 && s.Spec.ClusterIP != corev1.ClusterIPNone {
		f.Add("spec.ports", "is missing: a Service has at least one port")
	}
	for i, port := range s.Spec.Ports {
		at := index("spec.ports", i)
		f.Port(at+".port", port.Port)
		if port.Protocol != "" {
			f.Protocol(at+".protocol", port.Protocol)
		}
		checkTargetPort(&f, at+".targetPort", port.TargetPort)
		same := func(other corev1.ServicePort) bool { return other.Name == port.Name }
		switch {
		case port.Name == "" && len(s.Spec.Ports) > 1:
			f.Add(at+".name", "is missing: where there are several ports, each has a name")
		case port.Name != "" && len(validation.IsDNS1123Label(port.Name)) > 0:
			f.Add(at+".name", "%q is not the name of a port", strict.Show(port.Name))
		case slices.ContainsFunc(s.Spec.Ports[:i], same):
			f.Add(at+".name", "%q is the name of another port of this Service", port.Name)
		}
	}
	return f
}

func checkTargetPort(f *strict.Faults, at string, target intstr.IntOrString) {
	switch {
	case target == intstr.IntOrString{}: // the same as port
	case target.Type == intstr.Int:
		f.Port(at, target.IntVal)
	case len(validation.IsValidPortName(target.StrVal)) > 0:
		f.Add(at, "%q is not the name of a container's port; a number goes without quotes", strict.Show(target.StrVal))
	}
}
