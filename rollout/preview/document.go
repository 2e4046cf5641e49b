package preview

import (
	"encoding/json"
	"slices"

	"github.com/tightrope-dev/tightrope/verdict/lint"
)

// Document is a Preview for other programs. Lists are never null.
type Document struct {
	Rollout    string           `json:"rollout"` // namespace/name
	Digest     string           `json:"digest"`  // of what is decided, sha256:…: status.planDigest of a run
	Pods       int              `json:"pods"`    // that were judged
	Result     string           `json:"result" jsonschema:"enum=clean,enum=unclear,enum=breaks,enum=refused"`
	Controller string           `json:"controller" jsonschema:"enum=refuse,enum=hold,enum=try"` // what it would do
	Paths      []PathDocument   `json:"paths"`                                                  // of the suites, the worst first
	Changes    Changes          `json:"changes"`
	Tested     Tested           `json:"tested"`
	Policies   []PolicyDocument `json:"policies"` // the candidates
	Replaced   []string         `json:"replaced"` // policies that exist with another spec: namespace/name
	Bridges    []BridgeDocument `json:"bridges"`
	Steps      []StepDocument   `json:"steps"`
	During     During           `json:"during"`
	Refusals   []string         `json:"refusals"` // why the rollout would not be tried
	Unseen     []string         `json:"unseen"`   // what the controller's preflight looks at and plan could not; empty without --live
	Findings   []lint.Finding   `json:"findings"` // mistakes in the candidates: errors and warnings
	Notes      []string         `json:"notes"`    // what was assumed, and what is odd and stops nothing
}

// PathDocument is a path of a suite.
type PathDocument struct {
	Name     string `json:"name"`
	Expect   string `json:"expect" jsonschema:"enum=Allow,enum=Deny"`
	Critical bool   `json:"critical"` // false: criticality Warning, so that it stops nothing
	Finding  string `json:"finding" jsonschema:"enum=inconclusive,enum=holds,enum=cut,enum=leak"`
	Now      string `json:"now" jsonschema:"enum=Allow,enum=Deny,enum=Unknown"`  // without the candidates
	Then     string `json:"then" jsonschema:"enum=Allow,enum=Deny,enum=Unknown"` // with them
	Rule     string `json:"rule"`                                                // that decides then, or why nothing is known
	Accepted string `json:"accepted,omitempty"`                                  // reason of the exception for this cut
	Repair   string `json:"repair,omitempty"`                                    // what to add so that it is not cut
}

// Changes is the blast radius: connections between pods on declared ports.
type Changes struct {
	Opened        int              `json:"opened"` // pairs of pods and a port
	Closed        int              `json:"closed"`
	BecameUnknown int              `json:"becameUnknown"`
	BecameKnown   int              `json:"becameKnown"`
	Workloads     int              `json:"workloads"` // at either end of a change in the list
	LeftOff       int              `json:"leftOff"`   // connections that no entry of the list stands for
	List          []ChangeDocument `json:"list"`      // what somebody uses first
}

// ChangeDocument is a change between two workloads on a port.
type ChangeDocument struct {
	From       string `json:"from"` // namespace/name of the workload
	To         string `json:"to"`
	Port       string `json:"port"` // 443/TCP
	Change     string `json:"change" jsonschema:"enum=opened,enum=closed,enum=became unknown,enum=became known"`
	Use        string `json:"use" jsonschema:"enum=required,enum=served,enum=forbidden,enum=declared"` // what is known of who uses it
	Before     string `json:"before" jsonschema:"enum=Allow,enum=Deny,enum=Unknown"`
	After      string `json:"after" jsonschema:"enum=Allow,enum=Deny,enum=Unknown"`
	BeforeRule string `json:"beforeRule"`
	AfterRule  string `json:"afterRule"`
	Pairs      int    `json:"pairs"` // of pods
}

// Tested is how much of the candidates the paths of the suites exercise.
type Tested struct {
	Rules      Share        `json:"rules"`
	Denials    Share        `json:"denials"`
	Untested   []string     `json:"untested"`
	Untestable []Untestable `json:"untestable"` // between the pods at hand
}

// Share is a part of a total.
type Share struct {
	Covered int `json:"covered"`
	Total   int `json:"total"`
}

// Untestable is a rule or a denial that no connection between the pods exercises.
type Untestable struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// PolicyDocument is a candidate and whom it selects.
type PolicyDocument struct {
	Policy    string             `json:"policy"`  // namespace/name
	InForce   bool               `json:"inForce"` // it is there already, with an equal spec
	Isolates  []string           `json:"isolates" jsonschema:"enum=egress,enum=ingress"`
	Pods      int                `json:"pods"`
	Workloads []WorkloadDocument `json:"workloads"`
}

// WorkloadDocument is a workload and how many of its pods a policy selects.
type WorkloadDocument struct {
	Workload string `json:"workload"` // namespace/name
	Pods     int    `json:"pods"`
}

// BridgeDocument is a policy that keeps pods at their baseline during the rollout.
type BridgeDocument struct {
	Namespace string `json:"namespace"`
	Direction string `json:"direction" jsonschema:"enum=Egress,enum=Ingress"`
	// Selector is a LabelSelector of Kubernetes; empty: every pod of the namespace.
	Selector json.RawMessage `json:"selector"`
}

// StepDocument is one step of the rollout.
type StepDocument struct {
	Name               string `json:"name"`
	Phase              string `json:"phase" jsonschema:"enum=Observe,enum=Canary,enum=Enforce"`
	Scope              string `json:"scope"`              // whom the candidates select, in words
	MaxPods            string `json:"maxPods"`            // of a workload, where the step enforces a few pods
	Soak               string `json:"soak"`               // how long nothing may be cut or leak, as 30s
	MinCoveragePercent int32  `json:"minCoveragePercent"` // 0 means 100
	// Gates must be open, beside the proof, before the rollout leaves the step.
	Gates []GateDocument `json:"gates"`
}

// GateDocument is a gate of a step.
type GateDocument struct {
	Name      string `json:"name"`
	Type      string `json:"type" jsonschema:"enum=Approval"`
	Approvers int    `json:"approvers"` // how many different people have to open it
}

// During is what does not hold in every combination of the states (baseline,
// bridged, enforced) of a source and its target.
type During struct {
	Failures         []FailureDocument  `json:"failures"`  // required paths
	Exposures        []ExposureDocument `json:"exposures"` // open for a while, closed before and after
	ExposuresLeftOff int                `json:"exposuresLeftOff"`
	Waves            []WaveDocument     `json:"waves"` // each goes through the steps and commits before the next begins; none if no order avoids every exposure
}

// FailureDocument is a required path that some combination does not allow.
type FailureDocument struct {
	Path    string `json:"path"`
	From    string `json:"from"`
	To      string `json:"to"`
	Port    string `json:"port"` // 443/TCP
	Verdict string `json:"verdict" jsonschema:"enum=Deny,enum=Unknown"`
	Rule    string `json:"rule"`
}

// ExposureDocument is a connection that is open for a while.
type ExposureDocument struct {
	From  string `json:"from"` // namespace/name of a pod
	To    string `json:"to"`
	Port  string `json:"port"`  // 443/TCP
	Avoid string `json:"avoid"` // which end to enforce first
}

// Document is the preview for other programs.
func (p Preview) Document() Document {
	c := p.Summary.Changes
	d := Document{
		Rollout: p.Rollout, Digest: p.Digest, Pods: p.Pods, Result: p.Result().String(), Controller: p.Controller.String(),
		Changes: Changes{Opened: c.Opened, Closed: c.Closed, BecameUnknown: c.BecameUnknown, BecameKnown: c.BecameKnown,
			Workloads: concerned(p.Impacts), LeftOff: c.LeftOff, List: mapped(p.Impacts, changeDocument)},
		Paths: mapped(p.Paths, pathDocument), Tested: p.testedDocument(), Replaced: list(p.Summary.Removed), Refusals: list(p.Refusals()), Unseen: list(p.Unseen),
		Findings: list(p.Findings), Notes: list(slices.Concat(p.Assumed, p.Notes)), During: p.duringDocument(),
	}
	d.orderDocument(p)
	return d
}

// list is the list, and never null.
func list[T any](all []T) []T { return append([]T{}, all...) }

func mapped[T, U any](all []T, form func(T) U) []U {
	out := make([]U, 0, len(all))
	for _, one := range all {
		out = append(out, form(one))
	}
	return out
}

func pathDocument(p Path) PathDocument {
	return PathDocument{Name: p.Name, Expect: string(p.Expect), Critical: !p.Warning, Finding: p.Finding.String(),
		Now: p.Now.String(), Then: p.Then.String(), Rule: p.Rule, Accepted: p.Accepted, Repair: p.Repair}
}

func changeDocument(i Impact) ChangeDocument {
	return ChangeDocument{From: i.From, To: i.To, Port: portOf(i.Change), Change: i.Kind().String(), Use: i.Use.String(),
		Before: i.Before.String(), After: i.After.String(), BeforeRule: i.BeforeRule, AfterRule: i.AfterRule, Pairs: i.Pairs}
}

// WaveDocument is policies that are enforced and committed together.
type WaveDocument struct {
	Name     string   `json:"name"`
	Policies []string `json:"policies"` // namespace/name
}
