package evidence

import (
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
)

// Check is what one check of a row has shown at one moment, and what judging it read
// of the cluster. Facts that nobody asked for are left at their zero value, which
// proves nothing and accuses nobody. The zero Check was never reported.
type Check struct {
	Row   int    // index in the run's rows
	Agent string // the probe pod: namespace/name

	// What the attempts show; those since the mark began after the scope took effect.
	Last            probes.Outcome
	Streak          int // newest attempts in a row that agree with Last
	StreakSinceMark int
	Connected       int64 // since the mark
	Blocked         int64 // since the mark
	Stopped         int64 // of these, the ones that can prove a path closed
	Flags           Flags

	// What the cluster was.
	Open  string  // why a forbidden path may be open behind its Service; empty: it is not known to be
	Part  string  // which pod behind a Service the policies deny, and why; empty: none, or all
	Share float64 // of the ready pods behind the Service that the policies deny, 0 to 1
	Poor  string  // why the path has no vote after the change; asked before it
	Gone  string  // why nobody tries the row, in words; then the check stands for none
	Blame *Blame  // of a check that fails, that others have denied, or that gets through and must not
}

// Flags are facts that are true or not.
type Flags uint16

// The flags. What a fact means for a verdict is in Judge.
const (
	Fresh     Flags = 1 << iota // the newest word is young enough to prove anything
	Lasted                      // the newest streak is long, in attempts and in time
	Recent                      // the newest streak began soon after a write of ours
	Moved                       // the pod that it tries is not at that address any more
	Explained                   // the live policies deny it
	Down                        // the target is known to be down
	Answered                    // somebody else got through to the target
	Shared                      // attempts that nothing of ours selects fail alike
	Known                       // both its ends are there, so that the policies have a verdict
	Denied                      // and that is Deny
	Allowed                     // and that is Allow
	Witnessed                   // somebody got through to the same target by the same way
	Reopened                    // it got through since the look at these paths began
	Others                      // the live policies deny it, and without what others did they would not
)

// Is reports whether all of some facts are true.
func (c *Check) Is(f Flags) bool { return c.Flags&f == f }

// SharedNote says that a path fails together with what no policy of ours can have cut.
const SharedNote = "it fails, no policy denies it, and attempts that nothing of ours selects fail with it"

// Excuse says why the failures of a check tell nothing about the policies of a run,
// whatever else is known of them; empty: they may. A target that is down excuses no
// failure that the policies explain, because they may have brought it down.
func (c *Check) Excuse() string {
	switch {
	case c.Is(Moved):
		return "the target's address has changed, so a failure says nothing about the policy"
	case c.Is(Others):
		return "policies of others deny it, which says nothing about the candidates"
	case c.Is(Down) && !c.Is(Explained):
		return "the target is not ready, so a failure says nothing about the policy"
	}
	return ""
}

// Set makes a fact true if it is.
func (c *Check) Set(f Flags, is bool) {
	if is {
		c.Flags |= f
	}
}

// Blame says why an attempt ended as it must not.
type Blame struct {
	Cause   string   `json:"cause"`
	Rule    string   `json:"rule"`
	Target  string   `json:"target,omitempty"`
	Outcome string   `json:"outcome,omitempty"`
	Leak    string   `json:"leak,omitempty"`    // why it gets through
	Through []string `json:"through,omitempty"` // policies of others that a leak goes through
	Foreign string   `json:"foreign,omitempty"` // what others did, by which alone the policies deny the path; empty: they did nothing
}

// Look is the facts about the rows of a run at one moment.
type Look struct {
	Scope   rollout.Scope
	Settled bool   // the scope's writes have taken effect
	Unseen  bool   // nobody saw the paths work before the policies were there
	Whole   bool   // it speaks of every row; else of those alone that its checks name
	Place   string // what coverage is counted under; empty: it is not counted
	Name    string // of the step, for people
	Confirm int    // failures in a row that make a cut at the address of a pod
	Checks  []Check
}

// bound is more than any count of a check that works is compared with.
func (l *Look) bound() int { return Needed(l.Confirm, "Service") * UnexplainedFactor }

// Bounded is the look with the counts of checks that work cut down to what they are
// compared with: what a healthy check counts beyond that says nothing, and would
// cost most of the space that a look takes.
func (l Look) Bounded() Look {
	most := l.bound()
	checks := make([]Check, len(l.Checks))
	for i, c := range l.Checks {
		if c.Blocked == 0 || c.Connected == 0 {
			c.Connected = min(c.Connected, int64(most))
			c.Blocked, c.Stopped = min(c.Blocked, int64(most)), min(c.Stopped, int64(most))
		}
		c.Streak, c.StreakSinceMark = min(c.Streak, most), min(c.StreakSinceMark, most)
		checks[i] = c
	}
	l.Checks = checks
	return l
}
