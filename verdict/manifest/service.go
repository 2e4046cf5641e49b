package manifest

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// ServicePort is a port of a Service.
type ServicePort struct {
	Name       string
	Port       int32
	Protocol   corev1.Protocol    // never empty
	TargetPort intstr.IntOrString // never zero: where it is not stated it is Port
}

// On is the port of the pod that the Service's port leads to. It is false where
// the target port is a name that the pod does not declare with that protocol.
func (p ServicePort) On(pod *verdict.Pod) (int32, bool) {
	if p.TargetPort.Type == intstr.Int {
		return p.TargetPort.IntVal, true
	}
	for _, declared := range pod.Ports {
		if declared.Name == p.TargetPort.StrVal && declared.Protocol == p.Protocol {
			return declared.Number, true
		}
	}
	return 0, false
}

// services makes the Services of a set whose pods are known, and those that operators
// make.
func (s *Set) services(made []Typed[corev1.Service]) {
	byNamespace := map[string][]int{}
	for i, pod := range s.Pods {
		byNamespace[pod.Namespace] = append(byNamespace[pod.Namespace], i)
	}
	endpoints := s.endpoints()
	for _, typed := range slices.Concat(s.Objects.Services, made) {
		spec := &typed.Object.Spec
		service := Service{Source: typed.Source, Spec: spec, Headless: spec.ClusterIP == corev1.ClusterIPNone,
			Addresses: addressesOf(typed.Object), Endpoints: endpoints[typed.Namespace+"/"+typed.Name]}
		for _, port := range spec.Ports {
			service.Ports = append(service.Ports, servicePort(port))
		}
		if len(spec.Selector) > 0 && spec.Type != corev1.ServiceTypeExternalName {
			service.Selector = spec.Selector
			selector := labels.SelectorFromSet(spec.Selector)
			for _, i := range byNamespace[typed.Namespace] {
				if selector.Matches(labels.Set(s.Pods[i].Labels)) {
					service.Pods = append(service.Pods, i)
				}
			}
			if len(service.Pods) == 0 && !slices.ContainsFunc(made, func(o Typed[corev1.Service]) bool { return o.Object == typed.Object }) {
				s.note(typed.Where("spec.selector"), typed.String(), "selects no pod")
			}
		}
		s.Services = append(s.Services, service)
	}
	slices.SortStableFunc(s.Services, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func servicePort(port corev1.ServicePort) ServicePort {
	p := ServicePort{Name: port.Name, Port: port.Port, Protocol: cmp.Or(port.Protocol, corev1.ProtocolTCP), TargetPort: port.TargetPort}
	if p.TargetPort == (intstr.IntOrString{}) {
		p.TargetPort = intstr.FromInt32(port.Port)
	}
	return p
}
