package evidence

import (
	"encoding/json"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// Entry is one thing that a run wrote down, and when, on the controller's clock. One
// of its fields is set, and no other.
type Entry struct {
	At      time.Time `json:"at"`
	Begin   *Begin    `json:"begin,omitempty"`
	Look    *Look     `json:"look,omitempty"`
	Counts  *Counts   `json:"counts,omitempty"`
	Turn    *Turn     `json:"turn,omitempty"`
	Gap     *Gap      `json:"gap,omitempty"`
	Stamp   *Stamp    `json:"stamp,omitempty"`
	Write   *Write    `json:"write,omitempty"`
	Lost    *Lost     `json:"lost,omitempty"`
	Timings *string   `json:"timings,omitempty"` // where the run knew from how long to wait
	// Memory is what a restarted controller goes on from. It proves nothing.
	Memory json.RawMessage `json:"memory,omitempty"`
}

// Begin is what a run is about, as its plan has it. One that comes later begins anew:
// the run was planned again.
type Begin struct {
	Run       string             `json:"run"`
	Rollout   string             `json:"rollout"`        // namespace/name
	Wave      *Wave              `json:"wave,omitempty"` // that the run makes; none: the whole rollout
	Steps     []rollout.StepPlan `json:"steps"`
	Rows      []Row              `json:"rows"`
	Policies  []Policy           `json:"policies"`
	Predicted []Prediction       `json:"predicted"`
	Exposures []Exposure         `json:"exposures"`
	NotTested []NotTested        `json:"notTested"`
	Access    []Access           `json:"access"`
}

// Wave is a part of a rollout.
type Wave struct {
	Name   string `json:"name"`
	Number int    `json:"number"` // from 1
	Of     int    `json:"of"`
}

// Policy is a candidate, or a policy that goes.
type Policy struct {
	Name   string `json:"name"`             // namespace/name
	SHA256 string `json:"sha256"`           // of its spec; empty: it goes
	Before string `json:"before,omitempty"` // of the spec that it had; empty: it was not there
}

// Prediction is a path whose verdict the candidates would change against the suite.
type Prediction struct {
	Path     string `json:"path"`
	Finding  string `json:"finding"`
	Rule     string `json:"rule"`
	Accepted string `json:"accepted,omitempty"`
}

// Exposure is an edge that only a mix of the states of pods allows.
type Exposure struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Port  string `json:"port"`
	Phase string `json:"phase,omitempty"`
}

// NotTested is something that the run says nothing about.
type NotTested struct {
	What   string `json:"what"`
	Phase  string `json:"phase,omitempty"`
	Reason string `json:"reason"`
}

// Access is reach that probe pods have.
type Access struct {
	Identity  string   `json:"identity"`
	Namespace string   `json:"namespace"`
	Pods      []string `json:"pods"`
}

// Counts are the attempts of a window, by row and agent. Those without any are left out.
type Counts struct {
	Rows []Count
}

// Count is the attempts of a row by one agent in a window.
type Count struct {
	Row      int
	Agent    string // namespace/name of the probe pod
	Attempts int64
	Failures int64     // that ended other than expected while they could vote
	First    time.Time // the first attempt ever; zero: an earlier window has it
	Last     time.Time // the newest; on the agent's clock, in whole milliseconds, as First is
}

// Turn is a decision and what it rests on.
type Turn struct {
	At       rollout.State    `json:"from"`
	Next     rollout.State    `json:"next"`
	Evidence rollout.Evidence `json:"evidence"`
	Limits   rollout.Limits   `json:"limits"`
	Intent   v1alpha1.Intent  `json:"intent,omitempty"`
	Look     *Look            `json:"look,omitempty"`  // nil: there was nobody to see anything
	Blind    bool             `json:"blind,omitempty"` // the plan was lost
	Message  string           `json:"message"`
	LossRate float64          `json:"lossRate,omitempty"` // of attempts that should succeed, where the time before the change ends
	Cuts     []Cut            `json:"cuts,omitempty"`     // found with the decision
	// Approvals that counted. Evidence has what they come to.
	Approvals []Approval `json:"approvals,omitempty"`
}

// Cut is a row that the decision is for. Latencies are milliseconds; nil: not known.
type Cut struct {
	Row    int      `json:"row"`
	Detect *float64 `json:"detect,omitempty"`
	Decide *float64 `json:"decide,omitempty"`
	Broken string   `json:"broken,omitempty"` // how Detect is known
}

// Stamp dates what became of cuts, in milliseconds.
type Stamp struct {
	Row     int      `json:"row"` // -1: of every cut
	Detect  *float64 `json:"detect,omitempty"`
	Broken  string   `json:"broken,omitempty"`
	Restore *float64 `json:"restore,omitempty"`
	Recover *float64 `json:"recover,omitempty"`
}

// Write is a write of ours that may take a path away, or gives paths back.
type Write struct {
	What   string    `json:"what"`
	Issued time.Time `json:"issued"` // the entry's own time is when it was acknowledged
}

// Lost is coverage that is lost: nobody knows what an agent saw. Soak starts anew.
type Lost struct {
	Agent string `json:"agent"`
	Lines uint64 `json:"lines"` // that never came; a restart of the agent is one at least
}

// Toggles reports whether a decision only pauses a run or lets it go on.
func (t *Turn) Toggles() bool {
	return t.At.Phase == t.Next.Phase && t.At.Step == t.Next.Step &&
		(t.At.Cause == rollout.CausePaused) != (t.Next.Cause == rollout.CausePaused) && (t.At.Cause == "" || t.Next.Cause == "")
}

// Gap is a decision that only the run's status tells of: the controller was stopped
// before it had written down what the decision rests on.
type Gap struct {
	Next    rollout.State `json:"next"`
	Message string        `json:"message"`
}
