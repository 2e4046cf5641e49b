package pods

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/probes"
)

// Set is what is known of the probe pods of one owner: how they were made, and
// what they say. All of it can be lost: evidence then begins anew. Ensure and
// Listen are called by one goroutine at a time; the rest by any.
type Set struct {
	ctx  context.Context // of the followers
	stop context.CancelFunc
	wake func()

	pods    map[types.NamespacedName]*keptPod // as they were made
	plans   map[types.NamespacedName]string   // digests of the plans that are stored
	spoiled string

	mu      sync.Mutex    // guards what follows: followers write, the owner reads
	excused time.Duration // in all: see Excuse
	agents  map[types.NamespacedName]*Agent
	voided  map[types.NamespacedName]bool // agents that are not heard
}

// Agent is what is heard of one agent.
type Agent struct {
	Spec      Spec
	digest    string
	ledger    *probes.Ledger
	missing   uint64 // lines of its plan that are missing in ledgers before that one
	follower  *Follower
	created   time.Time
	lastHeard time.Time     // of the right plan
	excused   time.Duration // Set.excused at that time
	current   bool          // has echoed the digest of its plan
	judged    bool          // and policies have had their time to judge its pod, which may be new
	// By check, when an attempt was last heard to fail, and to get through.
	failedAt, connectedAt map[string]time.Time
	spokenAt              map[string]time.Time // when a line last spoke of it
}

// NewSet makes an empty set. wake is called, by a follower and while the set is
// locked, when what an agent says may be news; it must not block.
func NewSet(ctx context.Context, wake func()) *Set {
	ctx, stop := context.WithCancel(ctx)
	return &Set{
		ctx: ctx, stop: stop, wake: wake,
		pods:   map[types.NamespacedName]*keptPod{},
		plans:  map[types.NamespacedName]string{},
		agents: map[types.NamespacedName]*Agent{},
		voided: map[types.NamespacedName]bool{},
	}
}

// Close stops the followers and waits for them. The pods stay.
func (s *Set) Close() {
	s.stop()
	for _, a := range s.agents {
		a.follower.Close()
	}
}

// Forget drops everything that is known. The pods stay.
func (s *Set) Forget() {
	s.Listen(nil, 0, nil)
	clear(s.plans)
	clear(s.pods)
}

// Spoiled says which probe pod somebody changed last, and how often; empty: none.
func (s *Set) Spoiled() string { return s.spoiled }

// Listen makes the set hear exactly the given agents. An agent whose plan changed
// starts a new ledger: results of another plan prove nothing for it. One that is
// heard of its plan for the first time counts only after grace, so that policies
// have the time to judge its pod; 0: at once.
func (s *Set) Listen(logs LogReader, grace time.Duration, specs []Spec) {
	for _, gone := range s.drop(specs) {
		gone.Close() // without the lock: what it still hears takes it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, spec := range specs {
		digest := spec.digest()
		a := s.agents[spec.Name]
		if a == nil {
			a = &Agent{created: time.Now(), excused: s.excused}
			s.agents[spec.Name] = a
			a.follower = s.follow(logs, spec.Name)
		}
		if a.digest != digest || a.ledger == nil {
			a.digest, a.ledger, a.missing, a.current, a.judged = digest, probes.NewLedger(digest), 0, false, false
			a.failedAt, a.connectedAt = map[string]time.Time{}, map[string]time.Time{}
			a.spokenAt = map[string]time.Time{}
			a.grant(grace)
		}
		if a.current && !a.judged {
			a.grant(grace)
			a.judged = true
		}
		a.Spec = spec
	}
}

// grant makes an agent count only after grace.
func (a *Agent) grant(grace time.Duration) {
	if grace > 0 {
		a.ledger.MarkAll(time.Now().Add(grace))
	}
}

// drop forgets the agents that are not among specs and returns their followers.
func (s *Set) drop(specs []Spec) []*Follower {
	wanted := map[types.NamespacedName]bool{}
	for _, spec := range specs {
		wanted[spec.Name] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []*Follower
	for name, a := range s.agents {
		if !wanted[name] {
			gone = append(gone, a.follower)
			delete(s.agents, name)
		}
	}
	return gone
}

func (s *Set) follow(logs LogReader, agent types.NamespacedName) *Follower {
	return Follow(s.ctx, logs, agent, func(l probes.Line, at time.Time) { s.Hear(agent, l, at) })
}

// freshStreak is how young a streak must be to be worth a look of its own.
const freshStreak = time.Second

// Hear adds one line up, which came in at a time. It wakes the owner when the agent
// is heard of its plan for the first time, when lines are missing, and when a check's
// newest attempts disagree with the ones before: that may be a cut. A line that comes
// late, from a node that is busy, may tell of one that is not young any more.
func (s *Set) Hear(agent types.NamespacedName, line probes.Line, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[agent]
	if a == nil || s.voided[agent] {
		return
	}
	first, gaps := !a.current, a.ledger.Gaps()
	news := func(c probes.Count) bool {
		return c.Newest.Sub(c.Since) < freshStreak || !c.Since.Equal(a.ledger.State(c.ID).StreakSince)
	}
	told := slices.ContainsFunc(line.Counts, news)
	if a.ledger.Add(line, at) != nil {
		return
	}
	a.lastHeard, a.current, a.excused = at, true, s.excused
	for _, c := range line.Counts {
		a.heard(c, at)
	}
	if told || first || a.ledger.Gaps() != gaps {
		s.wake()
	}
}

// heard notes when a check was last heard to fail and to get through. A single
// attempt among many counts: a streak does not show it.
func (a *Agent) heard(c probes.Count, at time.Time) {
	a.spokenAt[c.ID] = at
	for outcome := range c.Outcomes {
		switch {
		case outcome.Connected():
			a.connectedAt[c.ID] = at
		case outcome.Blocked():
			a.failedAt[c.ID] = at
		}
	}
}

// Agents goes through the agents in no order. The set is locked meanwhile: call
// nothing of it in the loop.
func (s *Set) Agents() iter.Seq[*Agent] {
	return func(yield func(*Agent) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, a := range s.agents {
			if !yield(a) {
				return
			}
		}
	}
}

// Digest is that of the plan that the agent is heard of.
func (a *Agent) Digest() string { return a.digest }

// Gaps is how many lines of the agent are missing, of the plan that it is heard of: see
// probes.Ledger. It never falls: what a pod said that was started or made again is missing.
func (a *Agent) Gaps() uint64 { return a.missing + a.ledger.Gaps() }

// State is what is known of a check; the zero state if nothing is.
func (a *Agent) State(id string) probes.CheckState { return a.ledger.State(id) }

// FailedAt is when an attempt of a check was last heard to fail; zero: never.
func (a *Agent) FailedAt(id string) time.Time { return a.failedAt[id] }

// ConnectedAt is when an attempt of a check was last heard to get through; zero: never.
func (a *Agent) ConnectedAt(id string) time.Time { return a.connectedAt[id] }

// State is what is known of a check of an agent; false: nobody listens to it.
func (s *Set) State(agent types.NamespacedName, id string) (probes.CheckState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[agent]
	if a == nil {
		return probes.CheckState{}, false
	}
	return a.ledger.State(id), true
}

// Len is how many agents are listened to.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.agents)
}

// Hears reports whether an agent has echoed the plan it was given.
func (s *Set) Hears(name types.NamespacedName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[name]
	return a != nil && a.current
}

// AllCurrent reports whether there are agents, and every one has echoed its plan.
func (s *Set) AllCurrent() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		if !a.current {
			return false
		}
	}
	return len(s.agents) > 0
}

// Excuse makes a time that has just passed count as no silence: nobody needed to hear
// an agent meanwhile.
func (s *Set) Excuse(passed time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excused += passed
}

// Excused is all that Excuse was told.
func (s *Set) Excused() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.excused
}

// Silence is how long the longest-silent agent has not been heard, and how much of it
// was not excused, of the agent of which that is most. Those that are bound to a node
// are left out: they show what their node does, and vote on nothing.
func (s *Set) Silence(now time.Time) (longest, counted time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		if a.Spec.Node != "" {
			continue
		}
		last := a.lastHeard
		if last.IsZero() {
			last = a.created
		}
		longest = max(longest, now.Sub(last))
		counted = max(counted, now.Sub(last)-(s.excused-a.excused))
	}
	return longest, counted
}

// Fresh reports whether every agent has spoken of each of its checks within the given
// time. Those that are bound to a node are left out, as in Silence.
func (s *Set) Fresh(now time.Time, within time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		if a.Spec.Node != "" || a.Spec.Plan == nil {
			continue
		}
		for i := range a.Spec.Plan.Checks {
			if now.Sub(a.spokenAt[a.Spec.Plan.Checks[i].ID]) > within {
				return false
			}
		}
	}
	return true
}

// Mark makes every ledger count from now on: samples from before a write took
// effect say nothing about it.
func (s *Set) Mark(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		a.ledger.MarkAll(now)
	}
}
