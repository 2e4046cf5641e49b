package operator

import (
	"context"
	"errors"
	"testing"
)

// Few plan at a time; who waits is woken when somebody leaves, the longest first, and an
// impatient one that asks again is not counted twice.
func TestFewPlanAtATime(t *testing.T) {
	var door turnstile
	woken := map[int]int{}
	sessions := make([]*session, plansAtOnce+2)
	for i := range sessions {
		s := &session{}
		s.ask = func() { woken[i]++ }
		sessions[i] = s
		if in := door.enter(s); in != (i < plansAtOnce) {
			t.Fatalf("session %d may go in: %v", i, in)
		}
	}
	first, second := plansAtOnce, plansAtOnce+1
	if door.enter(sessions[first]) {
		t.Fatal("one that waits went in, and nobody left")
	}
	door.leave()
	if woken[first] != 1 || woken[second] != 0 {
		t.Fatalf("woken: %v", woken)
	}
	if !door.enter(sessions[first]) || door.enter(sessions[second]) {
		t.Fatal("one left, and not exactly one went in")
	}
	door.leave()
	door.leave()
	if woken[second] != 1 || !door.enter(sessions[second]) || len(door.waiting) > 0 {
		t.Fatalf("woken: %v, waiting %d", woken, len(door.waiting))
	}
}

// Few prove at a time; one that waits goes in when another leaves, or gives up with its context.
func TestFewProveAtATime(t *testing.T) {
	var p provers
	var leave []func()
	for range proofsAtOnce {
		out, err := p.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, out)
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.enter(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("one too many went in, or says %v", err)
	}
	in := make(chan error)
	go func() {
		_, err := p.enter(t.Context())
		in <- err
	}()
	leave[0]()
	if err := <-in; err != nil {
		t.Error(err)
	}
}
