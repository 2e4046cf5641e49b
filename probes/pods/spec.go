package pods

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/probes"
)

// TwinPort is where a twin listens, for TCP.
const TwinPort = 8080

// Spec is one probe pod that is to be there.
type Spec struct {
	Name           types.NamespacedName
	Role           string            // of Tightrope's objects
	Labels         map[string]string // by which policies judge it; Tightrope's own come over them
	Marks          map[string]string // labels of Tightrope's own, over all others
	ServiceAccount string            // empty: the namespace's default
	Node           string            // where it must run; empty: anywhere
	Plan           *probes.Plan      // what an agent tries; nil: it is a twin, which answers on TwinPort
	Own            []string          // labels that its owner changes while it runs
}

// digest is that of an agent's plan; empty for a twin, which has none.
func (s Spec) digest() string {
	if s.Plan == nil {
		return ""
	}
	return s.Plan.Digest()
}

// Options say how the pods of a cluster must look. The zero value makes pods that
// the lab can run.
type Options struct {
	AgentImage   string                       // empty: tightrope.dev/agent
	TwinImage    string                       // empty: tightrope.dev/twin
	PullSecrets  []string                     // of every namespace that gets a probe pod; nobody reads them here
	NodeSelector map[string]string            // of the pods that may run anywhere
	Tolerations  []corev1.Toleration          // of the pods that may run anywhere
	Resources    *corev1.ResourceRequirements // nil: DefaultResources
	Lifetime     time.Duration                // after which the kubelet ends a pod, whatever became of its owner; 0: never
}

// DefaultResources are what a probe pod asks for: a namespace with a ResourceQuota
// refuses a pod that says nothing of them. An agent of a hundred checks uses a few
// thousandths of a processor; the limit leaves room for the burst that follows a
// change, because an attempt that waited for the processor says nothing.
func DefaultResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
	}
}

// Refusal says that a probe pod cannot be, and that to try again does not help.
type Refusal struct {
	Pod    types.NamespacedName
	Reason string
	Err    error // what the API server said; nil: it did not refuse
}

func (r *Refusal) Error() string { return r.Reason }

func (r *Refusal) Unwrap() error { return r.Err }

// IsRefused reports whether a probe pod cannot be.
func IsRefused(err error) bool { return errors.As(err, new(*Refusal)) }

func refused(pod types.NamespacedName, err error, format string, args ...any) *Refusal {
	return &Refusal{pod, fmt.Sprintf(format, args...), err}
}
