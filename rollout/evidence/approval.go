package evidence

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// Approval is a RolloutApproval that counted when a decision was made.
type Approval struct {
	Name       string                  `json:"name"`
	UID        types.UID               `json:"uid"`
	Action     v1alpha1.ApprovalAction `json:"action"`
	Stage      string                  `json:"stage"`
	Gate       string                  `json:"gate,omitempty"`
	Approver   string                  `json:"approver"` // as the API server knew the user
	At         time.Time               `json:"at"`       // when it was created
	Reason     string                  `json:"reason,omitempty"`
	PlanDigest string                  `json:"planDigest"`
}

// Granted is what approvals that count let a run do in a step with these gates.
func Granted(gates []v1alpha1.Gate, counting []Approval) rollout.Approvals {
	var g rollout.Approvals
	for _, a := range counting {
		g.Promoted = g.Promoted || a.Action == v1alpha1.ActionPromote
		g.Resumed = g.Resumed || a.Action == v1alpha1.ActionResume
	}
	for _, gate := range gates {
		if n := gate.Approvers(); n > 0 && len(Approvers(counting, gate.Name)) >= n {
			if g.Open == nil {
				g.Open = map[string]bool{}
			}
			g.Open[gate.Name] = true
		}
	}
	return g
}

// Approvers are the different people whose approvals count towards a gate, sorted.
func Approvers(counting []Approval, gate string) []string {
	var who []string
	for _, a := range counting {
		if a.Action == v1alpha1.ActionProceed && a.Gate == gate {
			who = append(who, a.Approver)
		}
	}
	slices.Sort(who)
	return slices.Compact(who)
}
