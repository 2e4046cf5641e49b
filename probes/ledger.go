package probes

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Why a ledger refuses a line. Both are everyday events, no faults: a plan was
// changed, a log was read again.
var (
	ErrOtherPlan = errors.New("the line is of another plan")
	ErrDuplicate = errors.New("the line was added before")
)

// maxPast is how many earlier runs of an agent's process a ledger tells from a new one.
const maxPast = 16

// Ledger adds up the lines of one agent that follows one plan. A plan names the
// agent it is for, so its digest names both: every agent and every plan has a
// ledger of its own, and results of an older plan are never counted for a newer.
//
// It reads no clock: the caller says when each line came in, by time.Now, whose
// monotonic reading makes it immune to a step of the caller's wall clock. It
// belongs to one goroutine at a time; callers that have several lock.
//
// A gap is lines that never came, or a restart of the agent, whose last words are
// lost. The figures that prove something (…SinceMark) then count anew, for every
// check: lost coverage never passes. What accuses stays, because each line repeats
// it: Last, Streak and StreakSinceMark are right again with the next line.
type Ledger struct {
	digest   string
	boot     string   // of the agent's process
	past     []string // boots before that, the newest last
	seq      uint64   // of the newest line; 0: none came
	to       time.Time
	received time.Time
	gaps     uint64
	refused  string
	clock    skew
	checks   map[string]*account
	markAll  time.Time
}

// NewLedger makes a ledger for the plan with that digest.
func NewLedger(digest string) *Ledger {
	return &Ledger{digest: digest, checks: map[string]*account{}}
}

// Add adds one line, which came in at received. It changes nothing and returns
// ErrOtherPlan for a line of another plan, and ErrDuplicate for one that is not
// newer than the last. Sequence numbers that were skipped are a gap. So is an
// agent that was started again: another boot, or a number that falls while time
// goes on.
func (l *Ledger) Add(line Line, received time.Time) error {
	if line.Digest != l.digest {
		return fmt.Errorf("line %d of agent %.60q, plan %.20q: %w: want %s", line.Seq, line.Agent, line.Digest, ErrOtherPlan, l.digest)
	}
	started := l.seq > 0
	restarted := started && (line.Boot != l.boot || line.Seq <= l.seq && line.From.After(l.to))
	switch {
	case restarted && slices.Contains(l.past, line.Boot), started && !restarted && line.Seq <= l.seq:
		return fmt.Errorf("line %d of agent %.60q: %w: the newest is %d", line.Seq, line.Agent, ErrDuplicate, l.seq)
	case restarted:
		if line.Boot != l.boot {
			l.past = append(l.past[max(0, len(l.past)+1-maxPast):], l.boot)
		}
		l.lost(max(1, line.Seq-1))
		l.clock = skew{}
	case started && line.Seq > l.seq+1:
		l.lost(line.Seq - l.seq - 1)
	}
	if started && !restarted && line.To.Before(l.to) {
		l.clock = skew{setBack: true}
	}
	l.boot, l.seq, l.to, l.received, l.refused = line.Boot, line.Seq, line.To, received, line.Error
	l.clock.observe(line.To, received)
	began, known := l.clock.when(line.From)
	for _, c := range line.Counts {
		a := l.account(c.ID)
		if a.streakBegan, _ = l.clock.when(c.Since); l.clock.setBack {
			a.streakBegan = time.Time{} // it may be a stamp from before that
		}
		a.add(c, received, a.mark.IsZero() || known && !began.Before(a.mark))
	}
	return nil
}

// lost notes a gap of that many lines.
func (l *Ledger) lost(lines uint64) {
	l.gaps += lines
	for _, a := range l.checks {
		a.lost(lines)
	}
}

func (l *Ledger) account(id string) *account {
	a := l.checks[id]
	if a == nil {
		a = &account{mark: l.markAll}
		l.checks[id] = a
	}
	return a
}

// Mark makes the "since mark" figures of some checks count anew from at, on the
// caller's clock: when a scope took effect, say.
//
// Windows are stamped by the agent's clock, which may differ. A line cannot come
// in before its window ends, so the least difference between the two, over the
// last few hundred lines, is the clocks' difference plus the quickest delivery. A
// window thus counts if it began after the mark, less that delivery (a few
// milliseconds), and if one attempt was under way at the mark it may count too.
// Callers mark once an effect has settled, which takes longer than both. While the
// difference is not known, nothing counts for a mark: on the first line, after a
// restart or a step of the agent's clock, and while old lines come in faster than
// they were written, as the end of a log does that is read anew.
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

// State is what is known of a check; the zero CheckState if nothing is.
func (l *Ledger) State(id string) CheckState {
	a := l.checks[id]
	if a == nil {
		return CheckState{}
	}
	return a.sum()
}

// Digest is that of the plan whose lines the ledger takes.
func (l *Ledger) Digest() string { return l.digest }

// Gaps is how many lines are missing between those that were added; a restart of
// the agent counts as one at least. What they said is lost coverage, never a pass.
func (l *Ledger) Gaps() uint64 { return l.gaps }

// PlanError is why the agent could not take on a newer plan, as of its newest
// line; empty if there is none. The agent wrote it: escape it.
func (l *Ledger) PlanError() string { return l.refused }

// Silent reports whether no line of the plan came in within the given time
// before now; one that never came is silent too.
func (l *Ledger) Silent(now time.Time, within time.Duration) bool {
	return l.received.IsZero() || now.Sub(l.received) > within
}
