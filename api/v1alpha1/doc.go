// Package v1alpha1 names the things Tightrope works with, as Kubernetes
// objects: what must be reachable (ConnectivitySuite), what to roll out and how
// (PolicyRollout), and one attempt at it (PolicyRolloutRun). It holds types and
// validation markers only; deep copies and CRDs are generated from it.
//
// +kubebuilder:object:generate=true
// +groupName=tightrope.dev
package v1alpha1
