package evidence

import (
	"cmp"
	"fmt"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
)

// Judged is what a look says of one row. The zero Judged is a row that nobody
// tries: it proves nothing. Checks are told by their place in the look, from 1; 0
// is none.
type Judged struct {
	Tried, Required, Proved bool
	Due, Holds              bool // the path is to be as expected by now, and is: also one that has no vote
	Works                   bool // before the change: often enough to vote after it
	Undecided               bool // fails, and whose trouble that is shows later
	Note                    string
	Cut, Leak               int
	Failing                 int // too few failures to decide on, but the live policies explain them
	Shared                  int // fails, no policy denies it, and attempts that nothing of ours selects fail with it
}

// Qualified are the rows that worked before the change; nil: not known, so that
// every row has a vote.
type Qualified map[int]bool

func (q Qualified) has(row int) bool { return q == nil || q[row] }

// Judge says what a look proves, row by row. It walks the rows and not the checks
// there are: a path that nobody tries any more is a path without proof. Of a look
// that is not whole the rows that it does not name are the zero Judged.
func (l *Look) Judge(rows []Row, q Qualified) []Judged {
	out := make([]Judged, len(rows))
	for i := range l.Checks {
		c := &l.Checks[i]
		if c.Row < 0 || c.Row >= len(rows) {
			continue // of no row of this run
		}
		j, row := &out[c.Row], rows[c.Row]
		if c.Gone != "" {
			l.judgeUntried(c, row, j, q)
			continue
		}
		if !j.Tried {
			j.Tried, j.Proved, j.Works = true, true, true
		}
		if row.Allow() {
			l.judgeAllow(i, row, j, q)
		} else {
			l.judgeDeny(i, row, j)
		}
		j.Due = j.Due || l.due(c, row)
	}
	for i := range out {
		j := &out[i]
		j.Due = j.Due || j.Required
		j.Holds = j.Proved && j.Due
		j.Proved = j.Proved && j.Required
	}
	return out
}

// due reports whether a path is to be as expected already: a forbidden one works until
// policies deny it.
func (l *Look) due(c *Check, row Row) bool {
	return l.Scope.Live() && (row.Allow() || l.Scope == rollout.Everyone || c.Is(Denied))
}

// judgeUntried judges a row that no check tries: it needs proof and has none.
func (l *Look) judgeUntried(c *Check, row Row, j *Judged, q Qualified) {
	switch {
	case row.Advisory, !row.Allow() && !l.Scope.Live(), row.Allow() && l.Scope.Live() && !q.has(c.Row):
		return
	case row.Allow() && row.MayFail && l.Scope == rollout.Nobody:
		return
	}
	j.Required, j.Note = true, c.Gone
}

func (l *Look) judgeAllow(i int, row Row, j *Judged, q Qualified) {
	c := &l.Checks[i]
	if !q.has(c.Row) && l.Scope.Live() {
		j.Proved, j.Note = false, "did not work before the change, so it has no vote"
		return
	}
	j.Required = !row.Advisory
	if l.Scope == rollout.Nobody {
		// Before the change the question is which paths work: only those may vote later.
		j.Required = j.Required && (j.Works || !row.MayFail)
		if c.Poor != "" {
			j.Works, j.Proved, j.Note = false, false, c.Poor
			j.Required = j.Required && !row.MayFail
		}
		return
	}
	if !c.Is(Fresh) || !c.Last.Connected() || c.Connected < MinSamples || c.flaps() {
		j.Proved = false
	}
	l.judgePartly(i, row, j)
	if c.Last.Blocked() && !row.Advisory && j.Cut == 0 {
		l.judgeFailure(i, row, j)
	}
}

// judgeFailure says whose trouble the failures of a path are. Those that the
// live policies deny are theirs, and nothing excuses them: not a target that is
// down, because a policy may have brought it down. Those that policies of others deny
// alone are not ours to take back, and prove nothing. Any others must last, because
// a target that restarts and a node that is busy fail too; then they are a cut
// as well, because a data plane may differ from the specification, unless paths
// that nothing of ours selects fail alike.
func (l *Look) judgeFailure(i int, row Row, j *Judged) {
	c := &l.Checks[i]
	switch explained, excuse := c.Is(Explained), c.Excuse(); {
	case excuse != "":
		j.Note = excuse
	case explained && c.Streak >= Needed(l.Confirm, row.Via):
		j.Cut = i + 1
	case explained:
		j.Failing, j.Undecided = i+1, true
	case l.Unseen && !c.Is(Answered):
		j.Note = "it fails, no policy denies it, and nobody got through to its target, which may be down"
	case !c.Is(Lasted):
		j.Undecided, j.Note = true, "it fails, no policy denies it, and it has not failed for long"
	case c.Is(Shared):
		j.Shared, j.Undecided, j.Note = i+1, true, SharedNote
	default:
		j.Cut = i + 1
	}
}

// flapRate is how often a path may fail in a live step and still count as working:
// well above what a busy node loses, and below what one of three backends cut off costs.
const flapRate = 0.25

func (c *Check) flaps() bool {
	return c.Blocked > 1 && float64(c.Blocked) > flapRate*float64(c.Connected+c.Blocked)
}

// shareOfFailures is how many of the failures that a share of denied pods lets expect
// must be there to be its effect: half of them leave room for chance, and a network
// that loses packets without such a policy is not judged by it at all.
const shareOfFailures = 0.5

// judgePartly judges a path through a Service of which the live policies deny some
// pods. Failures at about the share of those pods are a
// cut, however many attempts get through in between. Until there are enough the path
// is not proved either: attempts that got through went to other pods.
func (l *Look) judgePartly(i int, row Row, j *Judged) {
	c := &l.Checks[i]
	if c.Part == "" {
		return
	}
	j.Proved, j.Note = false, c.Part
	if row.Advisory || c.Is(Others) || !l.Settled || c.Blocked == 0 {
		return
	}
	expected := c.Share * float64(c.Blocked+c.Connected)
	if c.Share > 0 && c.Blocked >= int64(max(l.Confirm, MinSamples)) && float64(c.Blocked) >= shareOfFailures*expected {
		j.Cut = i + 1
	} else {
		j.Failing, j.Undecided = i+1, true
	}
}

// judgeDeny judges a path that must not work. Until the ends of the attempt are
// in a state whose policies deny it, reaching the target is what should happen.
func (l *Look) judgeDeny(i int, row Row, j *Judged) {
	c := &l.Checks[i]
	if l.Scope == rollout.Nobody {
		return
	}
	votes := !row.Advisory
	if l.Scope != rollout.Everyone && !c.Is(Known) {
		j.Required, j.Proved = j.Required || votes, false
		j.Note = "one of its ends is gone, so nobody knows whether it should be blocked"
		return
	} else if l.Scope != rollout.Everyone && !c.Is(Denied) {
		return
	}
	j.Required = j.Required || votes
	alive := probes.AliveUnknown
	if c.Is(Witnessed) {
		alive = probes.AliveYes
	}
	finding := probes.Judge(row.Expect, c.Last, alive)
	switch {
	case finding == probes.Inconclusive && alive != probes.AliveYes:
		j.Note = "no witness got through to the target, so \"blocked\" proves nothing"
	case finding == probes.Inconclusive:
		j.Note = fmt.Sprintf("the newest attempt ended %s, which does not show that the network stopped it", cmp.Or(c.Last, "unsent"))
	case c.Open != "":
		j.Note = c.Open
	}
	if votes && l.leaks(c, row, c.Open != "" || c.Is(Allowed)) {
		j.Leak = i + 1
	}
	if finding != probes.Holds || c.Open != "" || j.Leak != 0 || !c.Is(Fresh) || !c.blockedThroughout(Needed(l.Confirm, row.Via)) {
		j.Proved = false
	}
}

// leaks reports whether a forbidden path is open. Several attempts in a row say so;
// so do a few that are spread over many if the live policies allow them, because a
// Service may send only some attempts to the pod that is open. Where nothing was
// changed there is nothing that still has to take effect, and one is enough.
func (l *Look) leaks(c *Check, row Row, allowed bool) bool {
	switch {
	case !l.Settled:
		return false
	case c.Last.Connected() && c.StreakSinceMark >= Needed(l.Confirm, row.Via):
		return true
	case l.Unseen:
		return c.Connected > 0 || c.Is(Reopened) // the latter holds over lines that were lost
	}
	return allowed && c.Connected >= MinSamples
}

// blockedThroughout reports whether the network stopped enough attempts since the
// mark. Once one got through, a few are not enough: every second one may.
func (c *Check) blockedThroughout(needed int) bool {
	if c.Connected > 0 {
		return c.Stopped >= int64(needed) && c.StreakSinceMark >= needed
	}
	return c.Stopped >= MinSamples
}

// UnexplainedFactor multiplies the failures in a row that a path needs to count
// as cut while the live policies allow it: an overloaded node and a restarting target
// fail too, at once and twenty times a second, and the kubelet takes a second or two
// to say so.
const UnexplainedFactor = 3
