package agent

import (
	"sync"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

// fake answers attempts in a bubble, where time is not real. It notes when each began.
type fake struct {
	mu     sync.Mutex
	began  map[string][]time.Time
	flying int
	most   int // attempts at once
	answer func(id string, now time.Time) (probes.Outcome, time.Duration)
	lookup time.Duration // of names; 0: they do not resolve, unless there is an answer
	ended  []func()
	ready  chan struct{}
	alarm  *time.Timer
}

// fakeTry is an attempt of a fake.
type fakeTry struct {
	fake  *fake
	named bool
	began time.Time
	takes time.Duration
	over  bool
}

func (n *fake) Ready() <-chan struct{} { return n.ready }

func (n *fake) WakeAt(at time.Time) {
	if n.alarm != nil {
		n.alarm.Stop()
	}
	n.alarm = time.AfterFunc(time.Until(at), n.wake)
}

func (n *fake) wake() {
	select {
	case n.ready <- struct{}{}:
	default:
	}
}

func (n *fake) Work() {
	n.mu.Lock()
	ended := n.ended
	n.ended = nil
	n.mu.Unlock()
	for _, tell := range ended {
		tell()
	}
}

func (n *fake) Start(c probes.Check, done func(dial.Result)) try {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := &fakeTry{fake: n, named: c.Named(), began: time.Now()}
	if n.began == nil {
		n.began = map[string][]time.Time{}
	}
	n.began[c.ID] = append(n.began[c.ID], f.began)
	n.flying++
	n.most = max(n.most, n.flying)
	var outcome probes.Outcome
	outcome, f.takes = n.answer(c.ID, f.began)
	time.AfterFunc(f.takes, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if f.over {
			return
		}
		f.over = true
		n.flying--
		n.ended = append(n.ended, func() { done(dial.Result{Outcome: outcome, Status: 200}) })
		n.wake()
	})
	return f
}

func (f *fakeTry) Stop() {
	f.fake.mu.Lock()
	defer f.fake.mu.Unlock()
	if !f.over {
		f.over = true
		f.fake.flying--
	}
}

func (f *fakeTry) Lookup() time.Duration {
	took := f.takes
	if f.fake.lookup > 0 {
		took = min(f.fake.lookup, f.takes)
	}
	if time.Since(f.began) < took {
		return 0
	}
	return took
}

func (f *fakeTry) OutOfTime() dial.Result {
	if f.named && f.Lookup() == 0 {
		return dial.Result{Outcome: probes.DNSFailure, Detail: "the name did not resolve: timeout"}
	}
	return dial.Result{Outcome: probes.TimedOut, Detail: "no answer: timeout"}
}

// lateNetwork has answers only when it is told to.
type lateNetwork struct {
	answers bool
	done    []func(dial.Result)
}

func (n *lateNetwork) Start(_ probes.Check, done func(dial.Result)) try {
	n.done = append(n.done, done)
	return lateTry{}
}

func (n *lateNetwork) Ready() <-chan struct{} { return nil }
func (n *lateNetwork) WakeAt(time.Time)       {}

func (n *lateNetwork) Work() {
	if !n.answers {
		return
	}
	for _, done := range n.done {
		done(dial.Result{Outcome: probes.Reached})
	}
	n.done = nil
}

type lateTry struct{}

func (lateTry) Stop()                  {}
func (lateTry) Lookup() time.Duration  { return 0 }
func (lateTry) OutOfTime() dial.Result { return dial.Result{Outcome: probes.TimedOut} }
