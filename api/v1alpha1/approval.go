package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RolloutApproval lets one run take one step forward, in the name of a person. To create one is
// the right to do so. It is never changed: who thinks better of it deletes it, which counts for
// as long as the run has not gone on. tightrope rollout approve makes one of what the run is now.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=tightrope
// +kubebuilder:printcolumn:name="Run",type=string,JSONPath=`.spec.runRef.name`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.stage`
// +kubebuilder:printcolumn:name="Gate",type=string,JSONPath=`.spec.gate`
// +kubebuilder:printcolumn:name="Approver",type=string,JSONPath=`.spec.approver`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expiresAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`,priority=1
type RolloutApproval struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an approval cannot be changed: delete it, and make another"
	Spec RolloutApprovalSpec `json:"spec"`
}

// RolloutApprovalList is a list of approvals.
//
// +kubebuilder:object:root=true
type RolloutApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RolloutApproval `json:"items"`
}

// ApprovalAction is what an approval lets a run do.
//
// +kubebuilder:validation:Enum=Proceed;Promote;Resume
type ApprovalAction string

// The actions. None of them replaces a proof.
const (
	// ActionProceed counts towards opening a gate of type Approval.
	ActionProceed ApprovalAction = "Proceed"
	// ActionPromote leaves out what is left of the stage's minDuration. Every required path must be
	// proved all the same, and every gate be open.
	ActionPromote ApprovalAction = "Promote"
	// ActionResume puts a run that is held because of a leak back into its stage once the leak is
	// gone and every required path is proved, without waiting for minDuration first.
	ActionResume ApprovalAction = "Resume"
)

// RolloutApprovalSpec says what is approved, and by whom. It counts only while the run is what
// it says: the same run, with the same plan, in the same visit of the same stage.
//
// +kubebuilder:validation:XValidation:rule="(self.action == 'Proceed') == has(self.gate)",message="gate goes with the action Proceed"
type RolloutApprovalSpec struct {
	// RunRef names the run, in the approval's namespace.
	RunRef RunRef         `json:"runRef"`
	Action ApprovalAction `json:"action"`
	// Stage that the run is in, as status.stage of the run says.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Stage string `json:"stage"`
	// StageSince is when the run entered it, as status.stageSince of the run says: an approval
	// for one visit of a stage opens nothing in a later one.
	StageSince metav1.MicroTime `json:"stageSince"`
	// Gate of the stage that Proceed opens.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Gate string `json:"gate,omitempty"`
	// PlanDigest of the plan that the approver has seen, as status.planDigest of the run says.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=80
	PlanDigest string `json:"planDigest"`
	// Approver is the name of the user who creates the object; admission denies any other.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Approver string `json:"approver"`
	// Reason is for the reader of the report.
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// ExpiresAt is when it counts no more.
	ExpiresAt metav1.Time `json:"expiresAt"`
}

// ConditionWaitingForApproval is true on a run whose stage is proved and whose gates are not all
// open. Its message says who has to do what, and which approvals do not count and why.
const ConditionWaitingForApproval = "WaitingForApproval"
