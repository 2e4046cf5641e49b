package v1alpha1

// GateType is what opens a gate.
//
// +kubebuilder:validation:Enum=Approval
type GateType string

// GateApproval is opened by RolloutApprovals with action Proceed.
const GateApproval GateType = "Approval"

// Gate is what a run needs, beside the proof, before it leaves a stage. It is closed until
// something opens it.
//
// +kubebuilder:validation:XValidation:rule="(self.type == 'Approval') == has(self.approval)",message="state what goes with the type: approval with type Approval"
type Gate struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string   `json:"name"`
	Type GateType `json:"type"`
	// Approval goes with type Approval.
	Approval *ApprovalGate `json:"approval,omitempty"`
}

// ApprovalGate is opened by people.
type ApprovalGate struct {
	// Count of different approvers that have to let the run proceed.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Count int32 `json:"count,omitempty"`
}

// Approvers is how many different people have to open the gate; 0: people do not.
func (g Gate) Approvers() int {
	if g.Type != GateApproval {
		return 0
	}
	if g.Approval == nil {
		return 1
	}
	return max(1, int(g.Approval.Count))
}
