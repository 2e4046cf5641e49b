package operator

import (
	"slices"
	"sync"
)

// plansAtOnce is how many runs may make their plans side by side. A proof goes through all
// pods of the cluster: with ten thousand it takes some 50 MiB while it lasts, and fifty
// rollouts that begin together are no reason to take fifty times that.
const plansAtOnce = 2

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
