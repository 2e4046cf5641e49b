package scenarios

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Topology is the platform that a scenario sets up: namespaces, stand-in
// workloads with their Services and the calls they make, and the policies that
// somebody put in force before the rollout.
type Topology struct {
	Namespaces []Namespace                `json:"namespaces"`
	Workloads  []Workload                 `json:"workloads"`
	Policies   []v1alpha1.CandidatePolicy `json:"policies,omitempty"`
}

// Namespace is one to create.
type Namespace struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
}

// Workload is a Deployment of stand-ins.
type Workload struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Labels of its pods; empty means app: <name>.
	Labels map[string]string `json:"labels,omitempty"`
	// Profile of the catalog: ports, health paths and behaviour.
	Profile  string    `json:"profile"`
	Replicas int32     `json:"replicas,omitempty"` // 0 means 1
	Services []Service `json:"services,omitempty"`
	Calls    []Call    `json:"calls,omitempty"`
}

// Service is one that leads to the workload's pods.
type Service struct {
	Name     string        `json:"name"`
	Headless bool          `json:"headless,omitempty"` // its name resolves to every pod
	Ports    []ServicePort `json:"ports"`
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Name       string `json:"name"`
	Port       int32  `json:"port"`                 // of the Service
	TargetPort int32  `json:"targetPort,omitempty"` // of the pods, one of the profile's; 0 means Port
	Protocol   string `json:"protocol,omitempty"`   // TCP or UDP; empty means TCP
}

// Call is something the workload asks of another one, by Service name.
type Call struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Port      int32  `json:"port"`    // of the Service
	Request   string `json:"request"` // one that the called profile knows
}

// podLabels are the labels of the workload's pods, never empty.
func (w Workload) podLabels() map[string]string {
	if len(w.Labels) > 0 {
		return w.Labels
	}
	return map[string]string{"app": w.Name}
}

func (p ServicePort) target() int32 {
	if p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Port
}

func (p ServicePort) protocol() corev1.Protocol {
	if p.Protocol != "" {
		return corev1.Protocol(p.Protocol)
	}
	return corev1.ProtocolTCP
}

// service finds a Service and its workload; ok is false if there is none.
func (t *Topology) service(namespace, name string) (Workload, Service, bool) {
	for _, w := range t.Workloads {
		for _, s := range w.Services {
			if w.Namespace == namespace && s.Name == name {
				return w, s, true
			}
		}
	}
	return Workload{}, Service{}, false
}

func (t *Topology) hasNamespace(name string) bool {
	return slices.ContainsFunc(t.Namespaces, func(n Namespace) bool { return n.Name == name })
}

// namespaces lists the names, sorted.
func (t *Topology) namespaces() []string {
	names := []string{}
	for _, n := range t.Namespaces {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

// port finds a port of the Service by number and protocol.
func (s Service) port(number int32, protocol string) (ServicePort, bool) {
	if protocol == "" {
		protocol = string(corev1.ProtocolTCP)
	}
	for _, p := range s.Ports {
		if p.Port == number && string(p.protocol()) == protocol {
			return p, true
		}
	}
	return ServicePort{}, false
}

// serviceNames lists the names of all Services, sorted, without repetition.
func (t *Topology) serviceNames() []string {
	names := []string{}
	for _, w := range t.Workloads {
		for _, s := range w.Services {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
