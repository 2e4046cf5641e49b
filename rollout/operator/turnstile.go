package operator

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// plansAtOnce is how many runs may make their plans side by side. Most of it is waiting
	// for the API server, and the other workers are for runs that are under way.
	plansAtOnce = runsAtOnce / 8
	// proofsAtOnce is how many of them may prove. A proof goes through all pods of the
	// cluster: with ten thousand it takes some 50 MiB while it lasts.
	proofsAtOnce = 2
)

// provers let few runs prove at a time. The zero value is open.
type provers struct {
	once sync.Once
	free *semaphore.Weighted
}

// enter waits until the run may prove; then the function it returns must be called.
// An error is that of the context.
func (p *provers) enter(ctx context.Context) (leave func(), err error) {
	p.once.Do(func() { p.free = semaphore.NewWeighted(proofsAtOnce) })
	if err := p.free.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { p.free.Release(1) }, nil
}

// turnstile lets few sessions in at a time. The zero value is open.
type turnstile struct {
	mu      sync.Mutex
	inside  int
	waiting []*session // the longest first
}

// enter reports whether the session may go in; then leave must follow. If not, it is woken
// when its turn comes, and may ask again before.
func (t *turnstile) enter(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside >= plansAtOnce {
		if !slices.Contains(t.waiting, s) {
			t.waiting = append(t.waiting, s)
		}
		return false
	}
	t.waiting = slices.DeleteFunc(t.waiting, func(x *session) bool { return x == s })
	t.inside++
	return true
}

// leave lets the next one in. If that one has ended meanwhile, whoever asks first goes in.
func (t *turnstile) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside--
	if len(t.waiting) > 0 {
		t.waiting[0].wake()
		t.waiting = t.waiting[1:]
	}
}
