package manifest

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// ServicePort is a port of a Service. A zero TargetPort is the same number as Port.
type ServicePort struct {
	Name       string
	Port       int32
	Protocol   corev1.Protocol // never empty
	TargetPort intstr.IntOrString
}

// On is the port of the pod that the Service's port leads to. It is false where
// the target port is a name that the pod does not declare with that protocol.
func (p ServicePort) On(pod *verdict.Pod) (int32, bool) { return 0, false }
