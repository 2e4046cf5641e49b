package report

import (
	"fmt"
	"time"
)

// SchemaVersion of report.json. A reader refuses a major version it does not know.
const SchemaVersion = "tightrope.dev/report/v1alpha1"

// Report is what a run proved, and what it did not. It is all data: every other
// format is made from it, and it can be made again from what the run recorded.
type Report struct {
	SchemaVersion string   `json:"schemaVersion"`
	Scenario      string   `json:"scenario,omitempty"`
	Kind          string   `json:"kind,omitempty"` // KindVerify; empty: of a rollout
	Run           string   `json:"run"`
	Rollout       string   `json:"rollout"`
	Wave          *Wave    `json:"wave,omitempty"` // that the run made; none: the whole rollout
	Cluster       string   `json:"cluster,omitempty"`
	Result        string   `json:"result"`             // Committed, PartlyCommitted, RolledBack, RollbackFailed, Held, Inconclusive, Refused; of verify: Verified, Violated, Inconclusive
	Expected      string   `json:"expected,omitempty"` // the result a scenario expects; empty outside a scenario
	Unmet         []string `json:"unmet,omitempty"`    // what a scenario expected besides and did not get
	Cause         string   `json:"cause,omitempty"`
	// Message is a sentence for a person; what to do about it may follow on more lines.
	Message         string       `json:"message"`
	Started         time.Time    `json:"started"`
	Ended           time.Time    `json:"ended"`
	Phases          []Phase      `json:"phases"`
	Paths           []Path       `json:"paths"`
	Cuts            []Cut        `json:"cuts"`
	Leaks           []Cut        `json:"leaks"`
	Coverage        Coverage     `json:"coverage"`
	Predicted       []Prediction `json:"predicted"`
	Exposures       []Exposure   `json:"exposures"`
	TemporaryAccess []Access     `json:"temporaryAccess"`
	Policies        []Policy     `json:"policies"`
	NotTested       []NotTested  `json:"notTested"`
	// Approvals that counted when the run went on or back.
	Approvals []Approval `json:"approvals,omitempty"`
	// Timings says where the run knew from how long to wait for the effect of a write.
	Timings string `json:"timings,omitempty"`
}

// Wave is a part of a rollout, which commits before the next begins.
type Wave struct {
	Name   string `json:"name"`   // its namespace, or a number
	Number int    `json:"number"` // from 1
	Of     int    `json:"of"`
}

// String says which wave it is, for people; empty: there is one only.
func (w *Wave) String() string {
	if w == nil {
		return ""
	}
	return fmt.Sprintf("%d of %d (%s)", w.Number, w.Of, w.Name)
}

// KindVerify is the kind of a report of paths that were tried without a rollout.
const KindVerify = "Verify"

// wanted is the result that is good where no scenario expects another one.
func (r *Report) wanted() string {
	if r.Kind == KindVerify {
		return "Verified"
	}
	return "Committed"
}

// Phase is one stretch of the run. To is zero while it lasts.
type Phase struct {
	Name    string    `json:"name"` // a stage's name; or preflight, expand, commit, rollback, pause, approval: in brackets where a stage is called so too
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Outcome string    `json:"outcome"` // Passed, Cut, Leak, Silent, Aborted, Failed, Refused, Paused, Resumed, Running
	Scope   string    `json:"scope,omitempty"`
}

// Approval is what somebody let the run do.
type Approval struct {
	Name       string    `json:"name"` // of the RolloutApproval
	UID        string    `json:"uid"`
	Action     string    `json:"action"` // Proceed, Promote, Resume
	Stage      string    `json:"stage"`
	Gate       string    `json:"gate,omitempty"`
	Approver   string    `json:"approver"` // as the API server knew the user
	At         time.Time `json:"at"`
	Reason     string    `json:"reason,omitempty"`
	PlanDigest string    `json:"planDigest"` // of the plan that was approved
}

// Finding is what the attempts of a path prove. The zero value proves nothing.
type Finding string

// The findings, as readers of report.json see them.
const (
	Inconclusive Finding = "Inconclusive"
	Holds        Finding = "Holds"
	CutFinding   Finding = "Cut"
	Leak         Finding = "Leak"
)

// Path is one row of the matrix: one path by one way.
type Path struct {
	Name      string    `json:"name"`
	From      Workload  `json:"from"`
	To        Service   `json:"to"`
	Port      int32     `json:"port"`
	Protocol  string    `json:"protocol"`
	Via       string    `json:"via"`
	Expect    string    `json:"expect"` // Allow or Deny
	Finding   Finding   `json:"finding"`
	Attempts  int64     `json:"attempts"`
	Failures  int64     `json:"failures"` // attempts that ended other than expected while they could vote
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
	Rule      string    `json:"rule,omitempty"`
	Note      string    `json:"note,omitempty"` // why a finding is inconclusive, or what the witness was
}

// Workload is the source of a path.
type Workload struct {
	Namespace string `json:"namespace"`
	Identity  string `json:"identity"`
}

// Service is the target of a path.
type Service struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// Cut is a path that must work and did not, or (in leaks) the opposite.
type Cut struct {
	Path      string    `json:"path"`
	Via       string    `json:"via,omitempty"`
	Phase     string    `json:"phase"`
	Cause     string    `json:"cause"` // DNS, Policy, TargetDown, Unexplained
	Rule      string    `json:"rule"`
	Target    string    `json:"target,omitempty"` // the pod that was tried
	Outcome   string    `json:"outcome,omitempty"`
	At        time.Time `json:"at"`
	Latencies Latencies `json:"latencies"`
}

// Latencies of a cut, in milliseconds; each counts from the end of the one
// before (protocol.md §6). Nil means that this point was not reached.
type Latencies struct {
	Detect  *float64 `json:"detect"`  // path broken → deciding sample received
	Decide  *float64 `json:"decide"`  // → rollback recorded
	Restore *float64 `json:"restore"` // → last bridge write acknowledged
	Recover *float64 `json:"recover"` // → first good attempt after it
	// Broken says how the moment of breaking is known: BrokenByDrop or BrokenByWrite.
	Broken string `json:"broken,omitempty"`
}

// How the moment at which a path broke is known.
const (
	BrokenByDrop  = "the data plane dropped the path's first packet"
	BrokenByWrite = "the tightening write was acknowledged"
)

// Coverage counts cells: path × way × live phase.
type Coverage struct {
	Required int `json:"required"`
	Proved   int `json:"proved"` // cells with enough conclusive samples
}

// Prediction is a path whose verdict the candidate would change against the suite.
type Prediction struct {
	Path    string `json:"path"`
	Finding string `json:"finding"` // Cut or Leak
	Rule    string `json:"rule"`
	// Accepted is the reason of the exception that accepts a predicted cut; empty: there is none.
	Accepted string `json:"accepted,omitempty"`
}

// Exposure is an edge that neither baseline nor candidate allows, but some mix of pod states does.
type Exposure struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Port  string `json:"port"`
	Phase string `json:"phase,omitempty"`
}

// Access is reach that probe pods had while the run lasted.
type Access struct {
	Identity  string    `json:"identity"`
	Namespace string    `json:"namespace"`
	Pods      []string  `json:"pods"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
}

// Policy is a candidate as it was rolled out, or a policy that went.
type Policy struct {
	Name   string `json:"name"`             // namespace/name
	SHA256 string `json:"sha256"`           // of its spec; empty: the rollout removes it
	Before string `json:"before,omitempty"` // SHA-256 of the spec that it had before the rollout; empty: it was not there
}

// NotTested is something this run says nothing about.
type NotTested struct {
	What   string `json:"what"`
	Phase  string `json:"phase,omitempty"`
	Reason string `json:"reason"`
}
