package strict

import (
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

const (
	maxGates     = 8  // of a stage, as the API has it
	maxApprovers = 10 // of a gate, likewise
)

// gates wants gates that can be told apart, each with what goes with its type.
func (f *Faults) gates(at string, gates []v1alpha1.Gate) {
	if len(gates) > maxGates {
		f.Add(at, "has %d gates: use at most %d", len(gates), maxGates)
	}
	seen := map[string]bool{}
	for i, gate := range gates {
		at := index(at, i)
		if seen[gate.Name] {
			f.Add(at+".name", "gate %s is listed twice", Show(gate.Name))
		}
		seen[gate.Name] = true
		if f.Name(at+".name", gate.Name) && len(gate.Name) > 40 {
			f.Add(at+".name", "%s has %d characters: use at most 40", Show(gate.Name), len(gate.Name))
		}
		switch {
		case gate.Type != v1alpha1.GateApproval:
			f.Add(at+".type", "%q is not %s, the only type of gate that there is", Show(string(gate.Type)), v1alpha1.GateApproval)
		case gate.Approval == nil:
			f.Add(at+".approval", "is missing: state it, such as approval: {count: 1}")
		case gate.Approval.Count < 0 || gate.Approval.Count > maxApprovers:
			f.Add(at+".approval.count", "%d is not a number of approvers: 1 to %d", gate.Approval.Count, maxApprovers)
		}
	}
}
