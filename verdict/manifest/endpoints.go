package manifest

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Endpoint is an address that a Service leads to by an EndpointSlice, or by the
// older Endpoints.
type Endpoint struct {
	IP    netip.Addr
	Ports map[string]int32 // by the name of the Service's port; a number that is not stated is 0
}

// Backend is where connections to a Service's port end.
type Backend struct {
	Pod  int        // index in Set.Pods; -1: an address that no pod here has
	IP   netip.Addr // of no pod; else zero
	Port int32
}

// Backends lists where a port of the Service leads: to the pods that it selects,
// else to its endpoints. It is empty where the input shows neither.
func (s *Set) Backends(service *Service, port ServicePort) []Backend {
	var all []Backend
	for _, i := range service.Pods {
		if number, ok := port.On(&s.Pods[i]); ok {
			all = append(all, Backend{Pod: i, Port: number})
		}
	}
	if len(service.Pods) > 0 {
		return all
	}
	for _, e := range service.Endpoints {
		number, ok := e.Ports[port.Name]
		if !ok {
			continue
		}
		if number == 0 && port.TargetPort.Type == intstr.Int {
			number = port.TargetPort.IntVal
		}
		b := Backend{Pod: slices.IndexFunc(s.Pods, isAt(e.IP)), IP: e.IP, Port: number}
		if b.Pod >= 0 {
			b.IP = netip.Addr{}
		}
		if number > 0 && !slices.Contains(all, b) {
			all = append(all, b)
		}
	}
	return all
}

// At finds the Service that has the address, for clients inside the cluster: its
// cluster IP, an external IP, or a load balancer's that data planes take for it.
func (s *Set) At(ip netip.Addr) *Service {
	i := slices.IndexFunc(s.Services, func(service Service) bool { return slices.Contains(service.Addresses, ip) })
	if i < 0 {
		return nil
	}
	return &s.Services[i]
}

// addressesOf are the addresses of a Service. That of a load balancer whose mode
// is Proxy is its own: connections leave the cluster.
func addressesOf(o *corev1.Service) []netip.Addr {
	texts := append([]string{o.Spec.ClusterIP}, o.Spec.ClusterIPs...)
	texts = append(append(texts, o.Spec.ExternalIPs...), o.Spec.LoadBalancerIP)
	for _, in := range o.Status.LoadBalancer.Ingress {
		if in.IPMode == nil || *in.IPMode != corev1.LoadBalancerIPModeProxy {
			texts = append(texts, in.IP)
		}
	}
	var all []netip.Addr
	for _, text := range texts {
		if ip, err := netip.ParseAddr(text); err == nil && !slices.Contains(all, ip.Unmap()) {
			all = append(all, ip.Unmap())
		}
	}
	return all
}

// endpoints are those of each Service, by namespace/name.
func (s *Set) endpoints() map[string][]Endpoint {
	all := map[string][]Endpoint{}
	for _, slice := range s.Objects.EndpointSlices {
		key := slice.Namespace + "/" + slice.Object.Labels[discoveryv1.LabelServiceName]
		ports := map[string]int32{}
		for _, p := range slice.Object.Ports {
			ports[deref(p.Name)] = deref(p.Port)
		}
		for _, e := range slice.Object.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, text := range e.Addresses {
				if ip, err := netip.ParseAddr(text); err == nil { // else the name of a host
					all[key] = append(all[key], Endpoint{ip.Unmap(), ports})
				}
			}
		}
	}
	for _, old := range s.Objects.Endpoints {
		key := old.Namespace + "/" + old.Name
		if len(all[key]) > 0 {
			continue // the API server mirrors them in EndpointSlices
		}
		for _, subset := range old.Object.Subsets {
			ports := map[string]int32{}
			for _, p := range subset.Ports {
				ports[p.Name] = p.Port
			}
			for _, a := range subset.Addresses {
				if ip, err := netip.ParseAddr(a.IP); err == nil {
					all[key] = append(all[key], Endpoint{ip.Unmap(), ports})
				}
			}
		}
	}
	return all
}

func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
