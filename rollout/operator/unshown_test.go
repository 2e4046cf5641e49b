package operator

import (
	"testing"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// A run plans again while the API server is asked: what that says is of the namespaces of
// the plan before.
func TestAListServesThePlanThatItWasAskedFor(t *testing.T) {
	b := newBehind(t, v1alpha1.PhaseEnforce, rollout.Everyone)
	b.s.version = b.run.ResourceVersion
	ask := func() bool {
		w, err := b.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		may, err := b.mayTighten(b.s, w, stateOf(b.run))
		if err != nil {
			t.Fatal(err)
		}
		<-b.s.listing.done
		return may
	}
	if ask() || !ask() {
		t.Fatal("what was listed does not serve its own plan")
	}
	again := *b.s.plan
	b.s.plan = &again
	if ask() || !ask() || b.listed != 2 {
		t.Errorf("listed %d times, want once for each plan", b.listed)
	}
}

// What the cache did not show is remembered until it does, and no longer: it then tells
// what becomes of that.
func TestWhatTheCacheShowsIsNoLongerUnshown(t *testing.T) {
	b := newBehind(t, v1alpha1.PhaseEnforce, rollout.Everyone)
	b.s.version = b.run.ResourceVersion
	b.isolate()
	w, err := b.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if may, err := b.mayTighten(b.s, w, stateOf(b.run)); may || err != nil {
			t.Fatal(may, err)
		}
		<-b.s.listing.done
	}
	b.s.caughtUp(w)
	if len(b.s.unshown) != 1 || len(b.s.strangers(w)) != 1 {
		t.Fatalf("unshown %v, strangers %v", b.s.unshown, b.s.strangers(w))
	}
	shown := w.with([]string{"a"}, b.s.listing)
	if b.s.caughtUp(shown); len(b.s.unshown) > 0 || len(b.s.strangers(shown)) != 1 || len(b.s.strangers(w)) > 0 {
		t.Errorf("unshown %v; strangers %v while it is there, and %v once it is gone", b.s.unshown, b.s.strangers(shown), b.s.strangers(w))
	}
}
