package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConnectivitySuite is a named set of identities and of the paths that must,
// or must not, work between them and their targets.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=suite,categories=tightrope
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ConnectivitySuite struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ConnectivitySuiteSpec `json:"spec"`
}

// ConnectivitySuiteList is a list of suites.
//
// +kubebuilder:object:root=true
type ConnectivitySuiteList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ConnectivitySuite `json:"items"`
}

// ConnectivitySuiteSpec lists who talks (identities) and to whom (paths).
type ConnectivitySuiteSpec struct {
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Identities []Identity `json:"identities"`
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2048
	Paths []Path `json:"paths"`
}

// Identity is a workload as policies see it.
type Identity struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`
	// Labels that policies judge the workload by; its probe pods wear them.
	Labels map[string]string `json:"labels,omitempty"`
	// ServiceAccountName is worn only where something judges by it; empty means the namespace's default.
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// Expectation says whether a path must work or must not.
//
// +kubebuilder:validation:Enum=Allow;Deny
type Expectation string

// The expectations. There is no default: a path says what it expects.
const (
	ExpectAllow Expectation = "Allow"
	ExpectDeny  Expectation = "Deny"
)

// Via is how a target is addressed.
//
// +kubebuilder:validation:Enum=Service;PodIP
type Via string

// The ways to a target. Attempts by PodIP vote; attempts by Service detect
// total loss and a wrong port mapping.
const (
	ViaService Via = "Service"
	ViaPodIP   Via = "PodIP"
)

// Criticality says whether a path may stop a rollout.
//
// +kubebuilder:validation:Enum=Critical;Warning
type Criticality string

// The criticalities. Empty means Critical.
const (
	CriticalityCritical Criticality = "Critical"
	CriticalityWarning  Criticality = "Warning"
)

// Path is one connection that must, or must not, work.
type Path struct {
	// Name is shown to people; any text. It is escaped wherever it is printed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=120
	Name string `json:"name"`
	// From names an identity of the suite.
	// +kubebuilder:validation:MinLength=1
	From string `json:"from"`
	To   Target `json:"to"`
	// Via lists the ways to try; empty means Service and PodIP.
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	Via         []Via       `json:"via,omitempty"`
	Expect      Expectation `json:"expect"`
	Probe       Probe       `json:"probe,omitempty"`
	Witness     *Witness    `json:"witness,omitempty"`
	Criticality Criticality `json:"criticality,omitempty"`
}

// Target is what a path leads to.
type Target struct {
	Service ServiceTarget `json:"service"`
}

// ServiceTarget is a Service and one of its ports.
type ServiceTarget struct {
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Port is the Service's port, not the container's.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// Protocol of that port; empty means TCP.
	// +kubebuilder:validation:Enum=TCP;UDP
	Protocol string `json:"protocol,omitempty"`
}

// Witness is an identity that must get through to the target of a Deny path in
// the same window; without one, "blocked" would prove nothing.
type Witness struct {
	// +kubebuilder:validation:MinLength=1
	From string `json:"from"`
}
