package probes

import "time"

// MaxLine is the longest line an agent may print, in bytes; a longer one is not
// of an agent of ours.
const MaxLine = 16 << 10

// Line is one line of an agent's standard output: what happened to its checks
// since they were last spoken of. Kubernetes keeps it; the operator follows it
// through the API server, so the policy under test cannot blind us.
//
// A check whose attempts agree with what is known is spoken of once a second, or
// after four attempts where that is earlier, but four times a second at most; a
// change is told at once.
type Line struct {
	Agent  string
	Boot   string    // names this run of the agent's process; another one is a restart
	Seq    uint64    // from 1, without a gap; a gap is lost coverage
	Digest string    // of the plan that was in force for the whole window
	From   time.Time // the window, on the agent's clock; it begins where the one
	To     time.Time // ended in which the least recently counted of its checks was counted last
	Error  string    // the plan could not be read; the one before stays in force
	Counts []Count
}

// Count is what happened to one check in the window of a line. Only attempts
// that ended in the window are in it.
type Count struct {
	ID       string
	Outcomes map[Outcome]int // how many attempts ended how
	Last     Outcome         // of the newest attempt, by its start, that has ended
	Streak   int             // newest attempts in a row that agree with Last on Connected (and on Blocked), in order of their start
	Since    time.Time       // start of the first attempt of that streak
	Newest   time.Time       // end of the newest attempt
	Status   int             // newest HTTP status or DNS response code; of a Stream, which connection it is, from 1
	Detail   string          // newest error text, bounded; with Reached, only that it connected and got no reply
}
