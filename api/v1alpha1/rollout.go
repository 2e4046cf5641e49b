package v1alpha1

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PolicyRollout says which policies to roll out, what must stay reachable, and
// in which stages. It is owned by its author (often Git); the controller never
// writes its spec. Each generation is tried once, as a PolicyRolloutRun for each wave, and again
// only when somebody asks for it: see AnnotationRetry.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=tightrope
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.status.stage`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Run",type=string,JSONPath=`.status.currentRunRef.name`,priority=1
// +kubebuilder:printcolumn:name="Committed",type=string,JSONPath=`.status.committedRunRef.name`,priority=1
type PolicyRollout struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PolicyRolloutSpec   `json:"spec"`
	Status PolicyRolloutStatus `json:"status,omitempty"`
}

// PolicyRolloutList is a list of rollouts.
//
// +kubebuilder:object:root=true
type PolicyRolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PolicyRollout `json:"items"`
}

// PolicyRolloutSpec is the author's intent.
type PolicyRolloutSpec struct {
	// ServiceAccountName names a service account of the rollout's namespace. Everything that a run
	// puts up or tightens is written as that account: the API server allows what the account may do,
	// and nothing else. Only taking back is done by the controller. Whoever creates the rollout, or
	// changes its spec, must be allowed to impersonate the account. Empty: the controller writes as
	// itself, which only a single-tenant installation does.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	Policies PolicySource `json:"policies"`
	// Suites in the rollout's own namespace.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Suites []SuiteRef `json:"suites"`
	// ProtectedNamespaces are never written to; kube-system and Tightrope's own always are protected.
	// +listType=set
	ProtectedNamespaces []string `json:"protectedNamespaces,omitempty"`
	// Waves cut the rollout into parts, each of which commits before the next begins.
	Waves Waves `json:"waves,omitempty"`
	// RollbackScope says how far a rollback goes once earlier waves are committed; empty means Wave.
	// +kubebuilder:validation:XValidation:rule="self != 'All'",message="All is not served: a rollback restores what the last committed wave has left; to take committed waves back, roll out the policies that were there before"
	RollbackScope RollbackScope `json:"rollbackScope,omitempty"`
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Stages   []Stage  `json:"stages"`
	Analysis Analysis `json:"analysis,omitempty"`
	// InconclusiveDeadline is how long a live change may go unseen before it is rolled back; zero means 60s.
	InconclusiveDeadline metav1.Duration `json:"inconclusiveDeadline,omitempty"`
	// Exceptions are what the author accepts, one by one. Without one, a predicted cut stops the run
	// before it starts, and a critical path that does not work before the change ends it inconclusive.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Exceptions []Exception `json:"exceptions,omitempty"`
	// HistoryLimit is how many runs that are over are kept, with their reports, beside the
	// current one and the committed one; nil means 10.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	HistoryLimit *int32 `json:"historyLimit,omitempty"`
}

// Waves say how a rollout is cut up. Each wave goes through the stages, commits, and is what the
// next one finds there; a wave that fails leaves the earlier ones in force.
//
// +kubebuilder:validation:XValidation:rule="!has(self.first) || has(self.by) && self.by == 'Namespace'",message="first names namespaces: it goes with by: Namespace"
type Waves struct {
	// By is what makes a wave; empty means None.
	By WaveBy `json:"by,omitempty"`
	// First names the namespaces that come first, in this order; the others follow by name. An order
	// that keeps something from being open for a while, which nothing allows, comes before either.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	First []string `json:"first,omitempty"`
}

// WaveBy is what makes a wave.
//
// +kubebuilder:validation:Enum=None;Namespace
type WaveBy string

// What makes a wave.
const (
	// WaveByNone makes waves only where one end of a connection must be enforced before the other.
	WaveByNone WaveBy = "None"
	// WaveByNamespace makes a wave of each namespace whose policies change.
	WaveByNamespace WaveBy = "Namespace"
)

// RollbackScope is how far a rollback goes once earlier waves are committed.
//
// +kubebuilder:validation:Enum=Wave;All
type RollbackScope string

// How far a rollback goes.
const (
	// RollbackWave restores what the last committed wave has left.
	RollbackWave RollbackScope = "Wave"
	// RollbackAll would restore what was there before the first wave. It is refused: see ADR 48.
	RollbackAll RollbackScope = "All"
)

// PartlyCommitted is the result of a rollout of which some waves are committed and stay in
// force, and the one after them is not.
const PartlyCommitted = "PartlyCommitted"

// WaveStatus is a wave of a rollout.
type WaveStatus struct {
	// Name of the wave: its namespace, or a number.
	Name string `json:"name"`
	// Phase of its run; empty: it has none so far. What is Committed stays in force.
	Phase Phase `json:"phase,omitempty"`
	// Run is the name of its run.
	Run string `json:"run,omitempty"`
}

// ExceptionType is what an exception accepts.
//
// +kubebuilder:validation:Enum=PredictedCut;UnqualifiedPath;Unisolation;SuspendedSync
type ExceptionType string

// The types of exceptions.
const (
	// ExceptionPredictedCut lets a run start although the candidates would cut the path.
	// It changes nothing once the path is cut for real: that rolls back.
	ExceptionPredictedCut ExceptionType = "PredictedCut"
	// ExceptionUnqualifiedPath lets a run go on although the path did not work before the change.
	// The path then has no vote, and the report says so.
	ExceptionUnqualifiedPath ExceptionType = "UnqualifiedPath"
	// ExceptionUnisolation lets pods be left without isolation in a direction: a policy that
	// isolates them goes, and none that stays or comes does.
	ExceptionUnisolation ExceptionType = "Unisolation"
	// ExceptionSuspendedSync says that the tool that applies a policy does not do so while the
	// rollout lasts, so that the rollout may change it.
	ExceptionSuspendedSync ExceptionType = "SuspendedSync"
)

// Exception is one thing that the author of a rollout accepts, and why.
//
// +kubebuilder:validation:XValidation:rule="(self.type in ['PredictedCut', 'UnqualifiedPath']) == has(self.path)",message="path goes with the types PredictedCut and UnqualifiedPath"
// +kubebuilder:validation:XValidation:rule="(self.type == 'SuspendedSync') == has(self.policy)",message="policy goes with the type SuspendedSync"
// +kubebuilder:validation:XValidation:rule="self.type == 'Unisolation' ? has(self.__namespace__) && has(self.podSelector) && has(self.direction) : !has(self.__namespace__) && !has(self.podSelector) && !has(self.direction)",message="namespace, podSelector and direction go with the type Unisolation"
type Exception struct {
	Type ExceptionType `json:"type"`
	// Path is the name of a path of the suites: of PredictedCut and UnqualifiedPath.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=120
	Path string `json:"path,omitempty"`
	// Policy is the namespace/name of the policy that a tool applies: of SuspendedSync.
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^[^/]+/[^/]+$`
	Policy string `json:"policy,omitempty"`
	// Namespace, PodSelector and Direction say which pods may be left without isolation: of
	// Unisolation.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace   string                `json:"namespace,omitempty"`
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
	// +kubebuilder:validation:Enum=Ingress;Egress
	Direction networkingv1.PolicyType `json:"direction,omitempty"`
	// Reason is for the reader of the report.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`
}

// Accepts is the reason why the author accepts something of a type for a path;
// empty: no exception does.
func (s *PolicyRolloutSpec) Accepts(t ExceptionType, path string) string {
	for _, e := range s.Exceptions {
		if e.Type == t && e.Path == path {
			return e.Reason
		}
	}
	return ""
}

// OfPath reports whether the exception is about a path of the suites.
func (e Exception) OfPath() bool {
	return e.Type != ExceptionUnisolation && e.Type != ExceptionSuspendedSync
}

// Suspended is the reason why the tool that applies a policy is not in the rollout's way;
// empty: its author does not say so.
func (s *PolicyRolloutSpec) Suspended(policy string) string {
	for _, e := range s.Exceptions {
		if e.Type == ExceptionSuspendedSync && e.Policy == policy {
			return e.Reason
		}
	}
	return ""
}

// PolicySource is what is rolled out. A candidate with the namespace and name of a policy that is
// there changes that policy.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.inline) && has(self.configMapRef))",message="set one of inline and configMapRef, not both"
// +kubebuilder:validation:XValidation:rule="has(self.inline) || has(self.configMapRef) || has(self.remove)",message="set inline, configMapRef or remove: there is nothing to roll out"
type PolicySource struct {
	// +kubebuilder:validation:MaxItems=500
	Inline []CandidatePolicy `json:"inline,omitempty"`
	// ConfigMapRef names a ConfigMap in the rollout's namespace; each value is a YAML stream of NetworkPolicies.
	ConfigMapRef *ConfigMapRef `json:"configMapRef,omitempty"`
	// Remove names policies that are to go. One that is not there is no work.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Remove []PolicyRef `json:"remove,omitempty"`
}

// PolicyRef names a policy.
type PolicyRef struct {
	// Kind of the policy; empty means NetworkPolicy.
	// +kubebuilder:validation:Enum=NetworkPolicy
	Kind string `json:"kind,omitempty"`
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// Key is namespace/name.
func (r PolicyRef) Key() string { return r.Namespace + "/" + r.Name }

// ConfigMapRef names a ConfigMap.
type ConfigMapRef struct {
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Digest of what the ConfigMap holds, as tightrope rollout digest prints it. A run refuses one that
	// holds anything else when it plans. Empty: whatever it holds then, which only a single-tenant
	// installation does.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`
}

// CandidatePolicy is a NetworkPolicy to roll out.
type CandidatePolicy struct {
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Labels that the policy has from the commit on. Those that a policy of that name has beside
	// them stay.
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations, as Labels.
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string              `json:"annotations,omitempty"`
	Spec        networkingv1.NetworkPolicySpec `json:"spec"`
}

// Manifest is the candidate as an object of the API.
func (c CandidatePolicy) Manifest() *networkingv1.NetworkPolicy {
	c = *c.DeepCopy()
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name, Labels: c.Labels, Annotations: c.Annotations},
		Spec:       c.Spec,
	}
}

// SuiteRef names a ConnectivitySuite.
type SuiteRef struct {
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Digest of the suite's spec, as tightrope rollout digest prints it. A run refuses a suite that
	// says anything else when it plans. Empty: whatever it says then, which only a single-tenant
	// installation does.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`
}

// StageMode is what a stage does.
//
// +kubebuilder:validation:Enum=Observe;Shadow;Canary;Enforce
type StageMode string

// The stage modes.
const (
	ModeObserve StageMode = "Observe" // nothing is applied
	ModeShadow  StageMode = "Shadow"  // the real data plane judges our own pods, and no production pod
	ModeCanary  StageMode = "Canary"  // a few pods are enforced
	ModeEnforce StageMode = "Enforce" // all pods are enforced
)

// Stage is one step towards enforcement, with the proof it demands. The rule about maxPods also
// refuses an older rollout's scope.probePodsOnly: the API server prunes that field, and without
// the rule a canary of production pods would be left of it.
//
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Canary') == (has(self.scope) && has(self.scope.maxPods))",message="a Canary stage states scope.maxPods, such as 10%, and no other stage has a scope; what was mode: Canary with scope.probePodsOnly is mode: Shadow without a scope"
type Stage struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string    `json:"name"`
	Mode StageMode `json:"mode"`
	// Scope of a Canary stage.
	Scope Scope `json:"scope,omitempty"`
	// MinDuration is how long no path may have been cut or leaking since the scope took effect.
	MinDuration metav1.Duration `json:"minDuration,omitempty"`
	// MinCoveragePercent of the cells that need enough conclusive samples; zero means 100.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MinCoveragePercent int32 `json:"minCoveragePercent,omitempty"`
	// Gates must all be open, beside the proof, before the run leaves the stage.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Gates []Gate `json:"gates,omitempty"`
}

// Scope says which pods a canary stage enforces.
type Scope struct {
	// MaxPods per workload, a number or a percentage rounded up; at least one. Every Canary stage states it.
	MaxPods *intstr.IntOrString `json:"maxPods,omitempty"`
}

// Analysis tunes the probes.
type Analysis struct {
	// Interval between attempts of one path; zero means 250ms.
	Interval metav1.Duration `json:"interval,omitempty"`
	// Timeout of one attempt; zero means 250ms.
	Timeout metav1.Duration `json:"timeout,omitempty"`
	// FalseRollbackBudget is the expected number of false rollbacks per hour of rollout over all paths,
	// as a decimal such as "1e-6"; empty means that.
	FalseRollbackBudget string `json:"falseRollbackBudget,omitempty"`
}

// PolicyRolloutStatus is a summary of the current run.
type PolicyRolloutStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// CurrentRunRef names the run that tries the observed generation; none: there is none.
	CurrentRunRef *RunRef `json:"currentRunRef,omitempty"`
	// CommittedRunRef names the last run of this rollout that was committed.
	CommittedRunRef *RunRef `json:"committedRunRef,omitempty"`
	Phase           Phase   `json:"phase,omitempty"`
	// Stage that the current run is in.
	Stage string `json:"stage,omitempty"`
	// Result is that of the last run, once no other follows it; PartlyCommitted where that one was
	// not committed and an earlier wave of the same generation is.
	Result string `json:"result,omitempty"`
	// Waves of the observed generation, in their order; empty where there is only one. What is
	// Committed stays in force, whatever becomes of the others.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Waves []WaveStatus `json:"waves,omitempty"`
	// Message of the current run, for a person.
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
