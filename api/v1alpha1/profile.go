package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ProfileName is the name of the one EnforcementProfile that a cluster has.
const ProfileName = "cluster"

// EnforcementProfile is how a cluster enforces policies, as tightrope doctor measured
// it last. Rollouts read from it how long to wait for the effect of a write. It never
// proves that the cluster enforces now: every rollout looks for itself. It is void
// once a node, the network plugin's image or its configuration is another.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=tightrope
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'cluster'",message="a cluster has one profile, and its name is cluster"
// +kubebuilder:printcolumn:name="Ingress",type=string,JSONPath=`.status.enforces.ingress`
// +kubebuilder:printcolumn:name="Egress",type=string,JSONPath=`.status.enforces.egress`
// +kubebuilder:printcolumn:name="Settle",type=string,JSONPath=`.status.settle.p99`
// +kubebuilder:printcolumn:name="Established",type=string,JSONPath=`.status.established`
// +kubebuilder:printcolumn:name="Deny",type=string,JSONPath=`.status.deny`
// +kubebuilder:printcolumn:name="Current",type=string,JSONPath=`.status.conditions[?(@.type=="Current")].status`
// +kubebuilder:printcolumn:name="Measured",type=date,JSONPath=`.status.measuredAt`
type EnforcementProfile struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Status EnforcementProfileStatus `json:"status,omitempty"`
}

// EnforcementProfileList is a list of profiles.
//
// +kubebuilder:object:root=true
type EnforcementProfileList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EnforcementProfile `json:"items"`
}

// Answer is what is known of a yes-or-no question. Empty means Unknown.
//
// +kubebuilder:validation:Enum=Yes;No;Unknown
type Answer string

// The answers.
const (
	Yes     Answer = "Yes"
	No      Answer = "No"
	Unknown Answer = "Unknown"
)

// ConditionCurrent is True while the cluster is the one that was measured, and False
// once a run found that it is not; its reason says what is another.
const ConditionCurrent = "Current"

// Why a profile is void.
const (
	ReasonNodesChanged         = "NodesChanged"
	ReasonPluginChanged        = "PluginChanged"
	ReasonConfigurationChanged = "ConfigurationChanged"
)

// EnforcementProfileStatus is what was measured.
type EnforcementProfileStatus struct {
	MeasuredAt metav1.Time   `json:"measuredAt,omitempty"`
	Enforces   EnforcedWhere `json:"enforces,omitempty"`
	Settle     SettleTimes   `json:"settle,omitempty"`
	// Established says what becomes of a connection that is open when a policy comes to deny it.
	// +kubebuilder:validation:Enum=Survive;Cut;Mixed;Unknown
	Established string `json:"established,omitempty"`
	// Deny says what the client of a denied connection sees.
	// +kubebuilder:validation:Enum=Drop;Reject;Mixed;Unknown
	Deny string `json:"deny,omitempty"`
	// Nodes are those that were measured.
	// +kubebuilder:validation:MaxItems=64
	Nodes []NodeProfile `json:"nodes,omitempty"`
	// PolicyKinds are the kinds of policies, besides NetworkPolicy, that the API server serves.
	// +kubebuilder:validation:MaxItems=64
	PolicyKinds []PolicyKindProfile `json:"policyKinds,omitempty"`
	// Writes says which forms of write act, and how fast.
	// +kubebuilder:validation:MaxItems=16
	Writes []WriteProfile `json:"writes,omitempty"`
	// Identity is of the cluster that was measured.
	Identity ClusterIdentity `json:"identity,omitempty"`
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// EnforcedWhere says for each direction whether every node that was measured enforces it.
type EnforcedWhere struct {
	Ingress Answer `json:"ingress,omitempty"`
	Egress  Answer `json:"egress,omitempty"`
}

// SettleTimes are how long what is written to a policy takes to act, over all nodes,
// directions and rounds.
type SettleTimes struct {
	P50 metav1.Duration `json:"p50,omitempty"`
	P99 metav1.Duration `json:"p99,omitempty"`
}

// NodeProfile is how one node enforces policies.
type NodeProfile struct {
	Name     string          `json:"name"`
	Enforces EnforcedWhere   `json:"enforces,omitempty"`
	Slowest  metav1.Duration `json:"slowest,omitempty"` // effect of what was written to a policy
}

// PolicyKindProfile is a kind of policies that the API server serves.
type PolicyKindProfile struct {
	Kind  string `json:"kind"`
	Group string `json:"group"`
	// Understood says whether a rollout reads which pods a policy of the kind selects.
	Understood Answer `json:"understood,omitempty"`
}

// WriteProfile is how one form of write acts.
type WriteProfile struct {
	// +kubebuilder:validation:Enum=Create;Delete;Select;Deselect;Label;Unlabel
	Form string `json:"form"`
	// Acts says whether every pod that was tried followed.
	Acts    Answer          `json:"acts,omitempty"`
	Slowest metav1.Duration `json:"slowest,omitempty"`
}

// ClusterIdentity tells one state of a cluster's data plane from another, by digests.
type ClusterIdentity struct {
	Nodes         string `json:"nodes,omitempty"`         // their UIDs, kernels, kubelets and container runtimes
	Plugin        string `json:"plugin,omitempty"`        // images of the network plugin
	Configuration string `json:"configuration,omitempty"` // of the plugin: its DaemonSets and their ConfigMaps
	// Plugins names the DaemonSets that are taken for the network plugin; none: it is not
	// known, and then only a change of the nodes is seen.
	// +kubebuilder:validation:MaxItems=64
	Plugins []string `json:"plugins,omitempty"`
}
