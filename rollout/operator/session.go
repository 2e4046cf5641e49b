package operator

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
)

// session is what the operator remembers of a run between two passes. All of it
// can be lost: evidence then starts anew, and no gate opens on what is forgotten.
type session struct {
	ctx  context.Context // of the followers
	stop context.CancelFunc
	wake func() // asks for a pass at once

	plan      *Plan
	lost      error  // why an armed run has no plan; nil: it has, or is not armed
	undone    string // what a rollback without plan took back
	preflight rollout.Preflight
	refused   error
	hindrance string // why preflight, or the last act of a step, could not be done; empty: it was
	check     enforcementCheck
	checked   bool     // the check is over
	parts     []string // of preflight that are over
	record    record
	soaking   soaking
	pausing
	compiled compiled

	// What the writes of the current scope did. Times are from this process's
	// monotonic clock; zero: not yet.
	place      place       // that the fields below speak of
	acked      time.Time   // every write of the scope acknowledged
	issued     time.Time   // the last write that could take a path away was sent
	tightened  time.Time   // and acknowledged
	wrote      []time.Time // the newest writes to any policy or label of ours acknowledged
	settledAt  time.Time   // since when samples count
	bridgesAt  time.Time   // the bridges of the scope acknowledged
	releasedAt time.Time   // the markers were released from the shadow stage
	isolatedAt time.Time   // the markers' policies acknowledged
	late       string      // which node does not show the newest write yet; empty: none
	settleTime time.Duration

	restoring
	acceptCuts []string // paths that a person accepts to be cut by a rollback

	mu     sync.Mutex // guards agents: followers write, passes read
	agents map[types.NamespacedName]*agentState

	others     *othersCheck // under way; nil: none is
	noOthers   bool         // checked for the step: no policy of another kind is in the way
	otherKinds string       // what of other kinds appeared, in words; empty: nothing

	undated []foundCut // cuts whose first drop was not looked for yet

	written map[types.NamespacedName]string // digests of the plans that are stored
	tighter string                          // which tightening write tightened speaks of

	pods    map[types.NamespacedName]*keptPod // probe pods as they were made
	voided  map[types.NamespacedName]bool     // guarded by mu; agents that are not heard
	spoiled string                            // which probe pod somebody changed last; empty: none

	forms map[types.NamespacedName][]wish // what the run's policies may look like; nil: not asked yet
	own   map[types.NamespacedName]string // those that were seen, and their roles
}

// agentState is what is known of one probe pod.
type agentState struct {
	spec      agentSpec
	digest    string
	ledger    *probes.Ledger
	follower  *follower
	created   time.Time
	lastHeard time.Time     // of the right plan
	pausedFor time.Duration // session.pausedFor at that time
	current   bool          // has echoed the digest of its plan
	judged    bool          // and policies have had their time to judge its pod, which may be new
	// By check, when an attempt was last heard to fail, and to get through.
	failedAt, connectedAt map[string]time.Time
}

func newSession(ctx context.Context, wake func()) *session {
	ctx, stop := context.WithCancel(ctx)
	return &session{
		ctx: ctx, stop: stop, wake: wake,
		agents:     map[types.NamespacedName]*agentState{},
		written:    map[types.NamespacedName]string{},
		settleTime: defaultSettle,
	}
}

// close stops what runs aside, the followers above all, and waits for it.
func (s *session) close() {
	s.stop()
	if s.others != nil {
		<-s.others.done
	}
	for _, a := range s.agents {
		a.follower.close()
	}
}

// enter resets what belongs to one step.
func (s *session) enter(p place) {
	if s.place == p {
		return
	}
	s.place = p
	s.acked, s.settledAt, s.bridgesAt, s.releasedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	s.restoring = restoring{}
	s.noOthers = false
}

// listen makes the session hear exactly the given agents. An agent whose plan
// changed starts a new ledger: results of another plan prove nothing for it.
func (s *session) listen(logs LogReader, specs []agentSpec) {
	for _, gone := range s.forget(specs) {
		gone.close() // without the lock: what it still hears takes it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, spec := range specs {
		digest := spec.plan.Digest()
		a := s.agents[spec.name]
		if a == nil {
			a = &agentState{created: time.Now(), pausedFor: s.pausedFor}
			s.agents[spec.name] = a
			a.follower = follow(s.ctx, logs, spec.name, func(l probes.Line, at time.Time) { s.hear(spec.name, l, at) })
		}
		if a.digest != digest {
			a.digest, a.ledger, a.current, a.judged = digest, probes.NewLedger(digest), false, false
			a.failedAt, a.connectedAt = map[string]time.Time{}, map[string]time.Time{}
			s.grant(a)
		}
		if a.current && !a.judged {
			s.grant(a)
			a.judged = true
		}
		a.spec = spec
	}
}

// grant makes an agent count only once policies have had the time to judge its pod.
// Until a step settles nothing counts anyway. It is called with mu held.
func (s *session) grant(a *agentState) {
	if !s.settledAt.IsZero() {
		a.ledger.MarkAll(time.Now().Add(2 * s.settleTime))
	}
}

// forget drops the agents that are not among specs and returns their followers.
func (s *session) forget(specs []agentSpec) []*follower {
	wanted := map[types.NamespacedName]bool{}
	for _, spec := range specs {
		wanted[spec.name] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []*follower
	for name, a := range s.agents {
		if !wanted[name] {
			gone = append(gone, a.follower)
			delete(s.agents, name)
		}
	}
	return gone
}

// freshStreak is how young a streak must be to be worth a pass of its own.
const freshStreak = time.Second

// hear adds one line up. It asks for a pass at once when a check's newest
// attempts disagree with the ones before: that may be a cut.
func (s *session) hear(agent types.NamespacedName, line probes.Line, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[agent]
	if a == nil || s.voided[agent] || a.ledger.Add(line, at) != nil {
		return
	}
	a.lastHeard, a.current, a.pausedFor = at, true, s.pausedFor
	for _, c := range line.Counts {
		a.heard(c, at)
	}
	for _, c := range line.Counts {
		if c.Newest.Sub(c.Since) < freshStreak {
			s.wake()
			return
		}
	}
}

// heard notes when a check was last heard to fail and to get through. A single
// attempt among many counts: a streak does not show it.
func (a *agentState) heard(c probes.Count, at time.Time) {
	for outcome := range c.Outcomes {
		switch {
		case outcome.Connected():
			a.connectedAt[c.ID] = at
		case outcome.Blocked():
			a.failedAt[c.ID] = at
		}
	}
}

// hears reports whether a probe pod has echoed the plan it was given.
func (s *session) hears(name types.NamespacedName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[name]
	return a != nil && a.current
}

// allCurrent reports whether every agent has echoed the plan it was given.
func (s *session) allCurrent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		if !a.current {
			return false
		}
	}
	return len(s.agents) > 0
}

// silence is how long the longest-silent agent has not been heard, and how much of
// it was no pause, of the agent of which that is most. Markers are left out: they
// vote on nothing, and a barrier waits for what they show.
func (s *session) silence(now time.Time) (longest, counted time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		if a.spec.node != "" {
			continue
		}
		last := a.lastHeard
		if last.IsZero() {
			last = a.created
		}
		longest = max(longest, now.Sub(last))
		counted = max(counted, now.Sub(last)-(s.pausedFor-a.pausedFor))
	}
	return longest, counted
}

// mark makes every ledger count from now on: samples from before a scope took
// effect say nothing about it.
func (s *session) mark(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		a.ledger.MarkAll(now)
	}
}
