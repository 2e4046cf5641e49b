// Package scenarios rehearses. A scenario is a story in YAML: a platform of
// stand-in services, what must and must not be reachable on it, the policies to
// roll out, the fault that was planted in them, and how it has to end. The same
// engine that runs in production plays it, on a cluster that can be thrown away.
//
// A bad scenario has a base, the good one, and states only its fault, with the
// exceptions without which the controller refuses it:
//
//	zero-trust-ai-platform ──┬── gw-forgot-dns            minus the gateway's DNS rule
//	                         └── observability-blackout   minus the model's metrics rule
//
// tighten-what-is-there has a platform of its own, with policies that the rollout
// changes and removes. tightened-in-waves has such policies on the platform of
// zero-trust-ai-platform, in other namespaces, and goes in three waves.
package scenarios

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Kind of a scenario's document. Its apiVersion is that of v1alpha1, though no
// cluster ever stores one.
const Kind = "Scenario"

// Scenario is a story, loaded and checked. What a base states is already in it,
// and its fault is already applied.
type Scenario struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        Metadata `json:"metadata"`
	Spec            Spec     `json:"spec"`

	file string // as problems name it
	root string // name of the scenario that states topology and suite: the base, or this one
}

// Metadata names a scenario.
type Metadata struct {
	Name string `json:"name"`
	// Namespace that the suite and the rollout are created in. A scenario with a
	// base has its base's.
	Namespace string `json:"namespace,omitempty"`
}

// Spec is the story. A scenario with a base states title, description, fault,
// exceptions and expect, and nothing else.
type Spec struct {
	// Base is another scenario: a name of the library, or a path relative to this file.
	Base        string `json:"base,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// Topology to set up; nil means that the platform is there already.
	Topology *Topology                       `json:"topology,omitempty"`
	Suite    *v1alpha1.ConnectivitySuiteSpec `json:"suite,omitempty"`
	Rollout  *v1alpha1.PolicyRolloutSpec     `json:"rollout,omitempty"`
	// Fault is how the rollout differs from the base's.
	Fault *Fault `json:"fault,omitempty"`
	// Exceptions that the rollout has besides the base's: a planted fault is mostly
	// predicted, and the controller refuses it unless it is accepted.
	Exceptions []v1alpha1.Exception `json:"exceptions,omitempty"`
	Expect     *Expect              `json:"expect,omitempty"`
}

// Expect is how a scenario has to end.
type Expect struct {
	// Result is Committed, PartlyCommitted, RolledBack, RollbackFailed, Held, Inconclusive or Refused.
	Result string `json:"result"`
	// Cuts are names of paths, of which at least one must be reported cut; empty
	// means that this is not asked.
	Cuts []string `json:"cuts,omitempty"`
	// Stage in which a cut must have been found; empty means that this is not asked.
	Stage string `json:"stage,omitempty"`
	// Rule is text that the rule of a reported cut must contain; empty means that this is not asked.
	Rule string `json:"rule,omitempty"`
}

// File is where the scenario was read from, for messages.
func (s *Scenario) File() string { return s.file }

// Suite is the object to create. Scenarios of one base share its suite, name
// and all, so that they can run one after the other on one platform.
func (s *Scenario) Suite() *v1alpha1.ConnectivitySuite {
	return &v1alpha1.ConnectivitySuite{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ConnectivitySuite"},
		ObjectMeta: metav1.ObjectMeta{Name: s.root, Namespace: s.Metadata.Namespace},
		Spec:       *s.Spec.Suite.DeepCopy(),
	}
}

// Rollout is the object to create. It refers to the scenario's own suite.
func (s *Scenario) Rollout() *v1alpha1.PolicyRollout {
	spec := s.Spec.Rollout.DeepCopy()
	spec.Suites = []v1alpha1.SuiteRef{{Name: s.root}}
	return &v1alpha1.PolicyRollout{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PolicyRollout"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Metadata.Name, Namespace: s.Metadata.Namespace},
		Spec:       *spec,
	}
}
