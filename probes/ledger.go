package probes

import (
	"errors"
	"fmt"
	"time"
)

// Why a ledger refuses a line. Both are everyday events, no faults: a plan was
// changed, a log was read again.
var (
	ErrOtherPlan = errors.New("the line is of another plan")
	ErrDuplicate = errors.New("the line was added before")
)

// Ledger adds up the lines of one agent that follows one plan. A plan names the
// agent it is for, so its digest names both: every agent and every plan has a
// ledger of its own, and results of an older plan are never counted for a newer.
//
// It reads no clock: the caller says when each line came in. It belongs to one
// goroutine at a time; callers that have several lock.
type Ledger struct {
	digest   string
	seq      uint64    // of the newest line
	to       time.Time // its end, on the agent's clock
	received time.Time
	gaps     uint64
	refused  string
	clock    skew
	checks   map[string]*account
	markAll  time.Time
}

// account is what a ledger knows of one check.
type account struct {
	state CheckState
	mark  time.Time // on the caller's clock; zero: everything counts
}

// CheckState is what the attempts of one check add up to. The zero value is that
// of a check that was never reported: Last is Unsent, which proves nothing.
type CheckState struct {
	Attempts  int64 // all that were reported, Connected + Blocked + Unsent
	Connected int64
	Blocked   int64
	Unsent    int64

	// Of these, the ones in windows that began after the newest mark.
	ConnectedSinceMark int64
	BlockedSinceMark   int64
	UnsentSinceMark    int64

	Last   Outcome // of the newest attempt
	Streak int     // newest attempts in a row that agree with Last on Connected
	// StreakSinceMark is the part of Streak that began after the newest mark: what
	// the scope that took effect then can be blamed for.
	StreakSinceMark int
	StreakSince     time.Time // start of the first attempt of the streak, on the agent's clock
	Newest          time.Time // end of the newest attempt, on the agent's clock
	FirstSeen       time.Time // start of the first streak that was reported, on the agent's clock
	LastReceived    time.Time // when the newest line that speaks of the check came in, on the caller's clock
	Status          int       // newest HTTP status or DNS response code; 0: none
	Detail          string    // newest error text, empty when Last is Reached
}

// NewLedger makes a ledger for the plan with that digest.
func NewLedger(digest string) *Ledger {
	return &Ledger{digest: digest, checks: map[string]*account{}}
}

// Add adds one line, which came in at received. It changes nothing and returns
// ErrOtherPlan for a line of another plan, and ErrDuplicate for one that is not
// newer than the last. Sequence numbers that were skipped are counted as gaps. A
// number that falls while time goes on is an agent that was started again.
func (l *Ledger) Add(line Line, received time.Time) error {
	if line.Digest != l.digest {
		return fmt.Errorf("line %d of agent %.60q, plan %.20q: %w: want %s", line.Seq, line.Agent, line.Digest, ErrOtherPlan, l.digest)
	}
	restarted := line.Seq <= l.seq && line.From.After(l.to)
	switch {
	case l.seq == 0 || restarted:
		l.clock = skew{}
	case line.Seq <= l.seq:
		return fmt.Errorf("line %d of agent %.60q: %w: the newest is %d", line.Seq, line.Agent, ErrDuplicate, l.seq)
	default:
		l.gaps += line.Seq - l.seq - 1
	}
	l.seq, l.to, l.received, l.refused = line.Seq, line.To, received, line.Error
	l.clock.observe(received.Sub(line.To))
	began := line.From.Add(l.clock.least())
	for _, c := range line.Counts {
		l.account(c.ID).add(c, began, received)
	}
	return nil
}

func (l *Ledger) account(id string) *account {
	a := l.checks[id]
	if a == nil {
		a = &account{mark: l.markAll}
		l.checks[id] = a
	}
	return a
}

// add adds one count of a window that began at a time on the caller's clock.
func (a *account) add(c Count, began, received time.Time) {
	s := &a.state
	var connected, blocked, unsent int64
	for outcome, n := range c.Outcomes {
		switch {
		case outcome.Connected():
			connected += int64(n)
		case outcome.Blocked():
			blocked += int64(n)
		default:
			unsent += int64(n)
		}
	}
	if s.Attempts == 0 {
		s.FirstSeen = c.Since
	}
	s.Attempts += connected + blocked + unsent
	s.Connected += connected
	s.Blocked += blocked
	s.Unsent += unsent
	if !began.Before(a.mark) {
		s.ConnectedSinceMark += connected
		s.BlockedSinceMark += blocked
		s.UnsentSinceMark += unsent
	}
	s.Last, s.Streak, s.StreakSince, s.Newest = c.Last, c.Streak, c.Since, c.Newest
	s.LastReceived, s.Status, s.Detail = received, c.Status, c.Detail
}

// Mark makes the "since mark" figures of some checks count anew from at, on the
// caller's clock: when a scope took effect, say.
//
// Windows are stamped by the agent's clock, which may differ. A line cannot come
// in before its window ends, so the least difference between the two, over the
// last few hundred lines, is the clocks' difference plus the quickest delivery. A
// window thus counts if it began after the mark, less that delivery (a few
// milliseconds), and if one attempt was under way at the mark it may count too.
// Callers mark once an effect has settled, which takes longer than both.
func (l *Ledger) Mark(at time.Time, ids ...string) {
	for _, id := range ids {
		l.account(id).reset(at)
	}
}

// MarkAll does what Mark does for every check, those not yet reported included.
func (l *Ledger) MarkAll(at time.Time) {
	l.markAll = at
	for _, a := range l.checks {
		a.reset(at)
	}
}

func (a *account) reset(at time.Time) {
	a.mark = at
	a.state.ConnectedSinceMark, a.state.BlockedSinceMark, a.state.UnsentSinceMark = 0, 0, 0
}

// State is what is known of a check; the zero CheckState if nothing is.
func (l *Ledger) State(id string) CheckState {
	a := l.checks[id]
	if a == nil {
		return CheckState{}
	}
	s := a.state
	s.StreakSinceMark = s.Streak
	if !a.mark.IsZero() {
		s.StreakSinceMark = int(min(int64(s.Streak), s.ofLastSinceMark()))
	}
	return s
}

// ofLastSinceMark is how many attempts since the mark agree with the last one.
func (s CheckState) ofLastSinceMark() int64 {
	switch {
	case s.Last.Connected():
		return s.ConnectedSinceMark
	case s.Last.Blocked():
		return s.BlockedSinceMark
	}
	return s.UnsentSinceMark
}

// Digest is that of the plan whose lines the ledger takes.
func (l *Ledger) Digest() string { return l.digest }

// Gaps is how many lines are missing between those that were added. What they
// said is lost coverage, never a pass.
func (l *Ledger) Gaps() uint64 { return l.gaps }

// PlanError is why the agent could not take on a newer plan, as of its newest
// line; empty if there is none. The agent wrote it: escape it.
func (l *Ledger) PlanError() string { return l.refused }

// Silent reports whether no line of the plan came in within the given time
// before now; one that never came is silent too.
func (l *Ledger) Silent(now time.Time, within time.Duration) bool {
	return l.received.IsZero() || now.Sub(l.received) > within
}
