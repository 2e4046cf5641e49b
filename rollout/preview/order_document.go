package preview

import (
	"encoding/json"
	"fmt"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

func (p Preview) testedDocument() Tested {
	t := p.Summary.Tested
	d := Tested{Rules: Share{t.Rules.Covered, t.Rules.Total}, Denials: Share{t.Denials.Covered, t.Denials.Total},
		Untested: list(t.Missing), Untestable: []Untestable{}}
	for _, u := range t.Unreachable {
		d.Untestable = append(d.Untestable, Untestable{u.What, u.Why})
	}
	return d
}

// orderDocument fills in whom the rollout takes in which order.
func (d *Document) orderDocument(p Preview) {
	d.Policies = mapped(p.Summary.Selected, func(s rollout.Selection) PolicyDocument {
		return PolicyDocument{Policy: s.Policy, InForce: s.InForce, Isolates: list(s.Isolates), Pods: s.Pods,
			Workloads: mapped(s.Workloads, func(s rollout.Share) WorkloadDocument { return WorkloadDocument{s.Workload, s.Pods} })}
	})
	d.Bridges = mapped(p.Summary.Bridges, func(b rollout.Bridge) BridgeDocument {
		selector, err := json.Marshal(b.Selector)
		if err != nil {
			panic(err) // plain data always marshals
		}
		return BridgeDocument{Namespace: b.Namespace, Direction: string(b.Direction), Selector: selector}
	})
	d.Steps = mapped(p.Steps, func(s rollout.StepPlan) StepDocument {
		return StepDocument{Name: s.Name, Phase: string(s.Phase), Scope: s.Scope.String(), MaxPods: s.MaxPods.String(),
			Soak: s.Gate.Soak.String(), MinCoveragePercent: s.Gate.MinCoveragePercent,
			Gates: mapped(s.Gates, func(g v1alpha1.Gate) GateDocument { return GateDocument{g.Name, string(g.Type), g.Approvers()} })}
	})
}

func (p Preview) duringDocument() During {
	proof := p.Summary.Proof
	return During{
		Failures: mapped(proof.Failures, func(f rollout.Failure) FailureDocument {
			c := f.Edge.Conn
			return FailureDocument{Path: f.Edge.Path, From: c.From.String(), To: c.To.String(), Port: fmt.Sprintf("%d/%s", c.Port, c.Protocol),
				Verdict: f.Decision.String(), Rule: f.Rule}
		}),
		Exposures: mapped(proof.Exposures, func(e rollout.Exposure) ExposureDocument {
			return ExposureDocument{From: e.From.Key(), To: e.To.Key(), Port: exposedPort(e.Port), Avoid: e.First.String()}
		}),
		ExposuresLeftOff: proof.ExposuresLeftOff, Waves: mapped(proof.Waves, func(w rollout.Wave) WaveDocument { return WaveDocument{w.Name, list(w.Policies)} }),
	}
}

func exposedPort(p verdict.Port) string { return fmt.Sprintf("%d/%s", p.Number, p.Protocol) }
