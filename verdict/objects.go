package verdict

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// PolicyOf reads an object. The spec is shared, not copied.
func PolicyOf(np *networkingv1.NetworkPolicy) Policy {
	return Policy{Namespace: np.Namespace, Name: np.Name, Spec: np.Spec}
}

// PodOf reads an object. Ports are those of containers and of init containers
// that stay (sidecars); an address that does not parse is left out. Labels are
// shared, not copied.
func PodOf(p *corev1.Pod) Pod {
	pod := Pod{
		Namespace: p.Namespace, Name: p.Name, Labels: p.Labels,
		HostNetwork: p.Spec.HostNetwork, Node: p.Spec.NodeName,
	}
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			pod.IPs = append(pod.IPs, a)
		}
	}
	if a, err := netip.ParseAddr(p.Status.PodIP); err == nil && len(pod.IPs) == 0 {
		pod.IPs = append(pod.IPs, a)
	}
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			pod.Ports = append(pod.Ports, portsOf(c)...)
		}
	}
	for _, c := range p.Spec.Containers {
		pod.Ports = append(pod.Ports, portsOf(c)...)
	}
	return pod
}

func portsOf(c corev1.Container) []Port {
	var ports []Port
	for _, p := range c.Ports {
		ports = append(ports, Port{Name: p.Name, Number: p.ContainerPort, Protocol: p.Protocol})
	}
	return ports
}
