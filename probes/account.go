package probes

import "time"

// CheckState is what the attempts of one check add up to. The zero value is that
// of a check that was never reported: Last is Unsent, which proves nothing.
type CheckState struct {
	Attempts  int64 // all that were reported, Connected + Blocked + Unsent
	Connected int64
	Blocked   int64
	Unsent    int64

	// What a gate may count: of these, the attempts in windows that began after the
	// newest mark and that came in after the newest gap.
	ConnectedSinceMark int64
	BlockedSinceMark   int64
	StoppedSinceMark   int64 // of BlockedSinceMark, the ones that can prove a path closed
	UnsentSinceMark    int64
	LostSinceMark      uint64 // lines known to be missing since the mark

	Last   Outcome // of the newest attempt
	Streak int     // newest attempts in a row that agree with Last on Connected
	// StreakSinceMark is the part of Streak that began after the newest mark: what
	// the scope that took effect then can be blamed for. A gap does not shorten it.
	StreakSinceMark int
	StreakSince     time.Time // start of the first attempt of the streak, on the agent's clock
	Newest          time.Time // end of the newest attempt, on the agent's clock
	FirstSeen       time.Time // start of the first streak that was reported, on the agent's clock
	LastReceived    time.Time // when the newest line that speaks of the check came in, on the caller's clock
	Status          int       // newest HTTP status or DNS response code; 0: none
	Detail          string    // newest error text, empty when Last is Reached
}

// StreakBegan is when the newest streak began, on the caller's clock.
func (s CheckState) StreakBegan() time.Time {
	return s.LastReceived.Add(-s.Newest.Sub(s.StreakSince))
}

// ShowsAllow reports whether the newest attempts since the mark agree with a
// verdict that allows. One answer is enough.
func (s CheckState) ShowsAllow() bool { return s.Last.Connected() && s.StreakSinceMark >= 1 }

// ShowsDeny reports whether the newest attempts since the mark agree with a verdict
// that denies. A failure may be a lost packet, so it takes two.
func (s CheckState) ShowsDeny() bool { return s.Last.Blocked() && s.StreakSinceMark >= 2 }

// account is what a ledger knows of one check.
type account struct {
	state       CheckState
	mark        time.Time // on the caller's clock; zero: everything counts
	streakBegan time.Time // the same; zero: not known

	// Attempts since the mark, whatever was lost: what a streak can be made of.
	connected, blocked, unsent int64
}

// add adds one count; counts says whether its window began after the mark.
func (a *account) add(c Count, received time.Time, counts bool) {
	var connected, blocked, stopped, unsent int64
	for outcome, n := range c.Outcomes {
		switch {
		case outcome.Connected():
			connected += int64(n)
		case outcome.Blocked():
			blocked += int64(n)
		default:
			unsent += int64(n)
		}
		if outcome.Stopped() {
			stopped += int64(n)
		}
	}
	s := &a.state
	if s.Attempts == 0 {
		s.FirstSeen = c.Since
	}
	s.Attempts += connected + blocked + unsent
	s.Connected += connected
	s.Blocked += blocked
	s.Unsent += unsent
	s.Last, s.Streak, s.StreakSince, s.Newest = c.Last, c.Streak, c.Since, c.Newest
	s.LastReceived, s.Status, s.Detail = received, c.Status, c.Detail
	if !counts {
		return
	}
	a.connected, a.blocked, a.unsent = a.connected+connected, a.blocked+blocked, a.unsent+unsent
	s.ConnectedSinceMark += connected
	s.BlockedSinceMark += blocked
	s.StoppedSinceMark += stopped
	s.UnsentSinceMark += unsent
}

// reset makes the figures count from a new mark.
func (a *account) reset(at time.Time) {
	a.mark = at
	a.connected, a.blocked, a.unsent = 0, 0, 0
	a.lost(0)
	a.state.LostSinceMark = 0
}

// lost makes what proves something count anew, because that many lines are missing.
func (a *account) lost(lines uint64) {
	s := &a.state
	s.ConnectedSinceMark, s.BlockedSinceMark, s.StoppedSinceMark, s.UnsentSinceMark = 0, 0, 0, 0
	s.LostSinceMark += lines
}

// sum is what the account says now.
func (a *account) sum() CheckState {
	s := a.state
	s.StreakSinceMark = s.Streak
	whole := a.mark.IsZero() || !a.streakBegan.IsZero() && !a.streakBegan.Before(a.mark)
	if !whole {
		s.StreakSinceMark = int(min(int64(s.Streak), a.alike(s.Last)))
	}
	return s
}

// alike is how many attempts since the mark are of the class of an outcome.
func (a *account) alike(o Outcome) int64 {
	switch {
	case o.Connected():
		return a.connected
	case o.Blocked():
		return a.blocked
	}
	return a.unsent
}
