package probes

import "time"

// MaxLine is the longest line an agent may print, in bytes; a longer one is not
// of an agent of ours.
const MaxLine = 16 << 10

// Line is one line of an agent's standard output: everything that happened to
// its checks since the line before. Kubernetes keeps it; the operator follows it
// through the API server, so the policy under test cannot blind us.
type Line struct {
	Agent  string    `json:"agent"`
	Boot   string    `json:"boot,omitempty"`  // names this run of the agent's process; another one is a restart
	Seq    uint64    `json:"seq"`             // from 1, without a gap; a gap is lost coverage
	Digest string    `json:"digest"`          // of the plan that was in force for the whole window
	From   time.Time `json:"from"`            // the window, on the agent's clock; it begins where the one
	To     time.Time `json:"to"`              // ended in which the least recently counted of its checks was counted last
	Error  string    `json:"error,omitempty"` // the plan could not be read; the one before stays in force
	Counts []Count   `json:"counts,omitempty"`
}

// Count is what happened to one check in the window of a line. Only attempts
// that ended in the window are in it.
type Count struct {
	ID       string          `json:"id"`
	Outcomes map[Outcome]int `json:"outcomes"`         // how many attempts ended how
	Last     Outcome         `json:"last"`             // of the newest attempt, by its start, that has ended
	Streak   int             `json:"streak"`           // newest attempts in a row that agree with Last on Connected (and on Blocked), in order of their start
	Since    time.Time       `json:"since"`            // start of the first attempt of that streak
	Newest   time.Time       `json:"newest"`           // end of the newest attempt
	Status   int             `json:"status,omitempty"` // newest HTTP status or DNS response code
	Detail   string          `json:"detail,omitempty"` // newest error text, bounded; with Reached, only that it connected and got no reply
}
