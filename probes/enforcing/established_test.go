package enforcing

import (
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// What is said of connections stands on what each of them showed, and on one that no
// policy denied.
func TestWhatAConnectionShows(t *testing.T) {
	now := time.Now()
	began := now.Add(-watched)
	lives := probes.CheckState{Last: probes.Reached, Status: 1, StreakSinceMark: 9, LastReceived: now}
	but := func(edit func(*probes.CheckState)) probes.CheckState { st := lives; edit(&st); return st }
	silentFor := func(d time.Duration, attempts int) probes.CheckState {
		return but(func(st *probes.CheckState) {
			st.Last, st.StreakSinceMark, st.StreakSince, st.Newest = probes.TimedOut, attempts, now.Add(-d), now
		})
	}
	dead := silentFor(watched, 20)
	for _, tt := range []struct {
		name    string
		in, out probes.CheckState
		control probes.CheckState
		want    Fate
		why     string
	}{
		{"both go on", lives, lives, lives, Survived, ""},
		{"both fall silent", dead, dead, lives, Cut, ""},
		{"one goes on", lives, dead, lives, "Mixed", ""},
		{"one is reset, and another connection was made", lives, but(func(st *probes.CheckState) { st.Status = 2 }), lives, "Mixed", ""},
		{"one attempt failed, which may be a lost packet", lives, silentFor(250*time.Millisecond, 1), lives, "", "of 1 of 2 connections"},
		{"one may still come back", lives, silentFor(500*time.Millisecond, 2), lives, "", "of 1 of 2 connections"},
		{"its pod has not given it up", lives, silentFor(3*time.Second, 12), lives, "", "of 1 of 2 connections"},
		{"nothing was heard since", lives, but(func(st *probes.CheckState) { st.LastReceived = began }), lives, "", "of 1 of 2 connections"},
		{"nothing was heard at all", lives, probes.CheckState{}, lives, "", "of 1 of 2 connections"},
		{"what nothing denies breaks as well", dead, dead, dead, "", "a connection that no policy denied broke as well"},
		{"what nothing denies is not heard", lives, lives, probes.CheckState{}, "", "that no policy denied nothing was heard"},
		{"the agent that tries says nothing", probes.CheckState{}, probes.CheckState{}, probes.CheckState{}, "", "of 2 of 2 connections"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := Established{Fates: map[Pair]Fate{}, After: map[Pair]time.Duration{}}
			for pair, st := range map[Pair]probes.CheckState{in1: tt.in, out1: tt.out, undenied: tt.control} {
				e.see(pair, st, 1, began, began, true)
			}
			e.conclude(3)
			if got := e.All(); got != tt.want || !strings.Contains(e.Why, tt.why) {
				t.Errorf("%q, %q (%v); want %q, %q", got, e.Why, e.Fates, tt.want, tt.why)
			}
		})
	}
	some := Established{Why: "of 1 of 4 connections nothing was heard", Fates: map[Pair]Fate{in1: Cut, out1: Survived}}
	if got := some.All(); got != "Mixed" {
		t.Errorf("one is cut, one lives on, one is not known: %q", got)
	}
	var unseen Established
	if unseen.All() != "" || unseen.FateOf(in1.Direction) != "" {
		t.Error("what nobody watched has a fate")
	}
}

// A connection that was cut stays so, though the next attempt opens another one. One that
// fell silent and is heard again was never cut: a packet was lost, and sent anew.
func TestACutConnectionDoesNotComeBack(t *testing.T) {
	now := time.Now()
	began := now.Add(-watched)
	for name, tt := range map[string]struct {
		last probes.Outcome
		then []int // the connections that are reached afterwards
		want Fate
	}{
		"another is opened":                         {probes.Reset, []int{2}, Cut},
		"others are opened":                         {probes.TimedOut, []int{2, 3}, Cut},
		"the same is heard again":                   {probes.TimedOut, []int{1}, Survived},
		"another is opened, and numbers begin anew": {probes.Reset, []int{2, 1}, Cut},
		"the same, until another is opened":         {probes.TimedOut, []int{1, 2}, Cut},
		"no number is told, so it may be either":    {probes.TimedOut, []int{0}, ""},
	} {
		e := Established{Fates: map[Pair]Fate{}, After: map[Pair]time.Duration{}}
		e.see(in1, probes.CheckState{Last: tt.last, StreakSinceMark: 20, StreakSince: began, Newest: now, Status: 1, LastReceived: now}, 1, began, began, false)
		for i, number := range tt.then {
			e.see(in1, probes.CheckState{Last: probes.Reached, StreakSinceMark: 9, Status: number, LastReceived: now}, 1, began, began, i == len(tt.then)-1)
		}
		if e.Fates[in1] != tt.want {
			t.Errorf("%s: %v, want %q", name, e.Fates, tt.want)
		}
	}
}

// It is waited for whether a connection comes back that its pod has not given up.
func TestWhatFaltersIsNotOver(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		st   probes.CheckState
		want bool
	}{
		"it lives":           {probes.CheckState{Last: probes.Reached, StreakSince: now, Newest: now}, false},
		"it was never heard": {probes.CheckState{}, false},
		"silent for 0.5 s":   {probes.CheckState{Last: probes.TimedOut, StreakSince: now.Add(-time.Second / 2), Newest: now}, true},
		"silent for 4 s":     {probes.CheckState{Last: probes.TimedOut, StreakSince: now.Add(-4 * time.Second), Newest: now}, false},
	} {
		if got := falters(tt.st); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestABenchHoldsAConnectionForEachPair(t *testing.T) {
	b := newBench("node-1", "node-2")
	b.Streams, b.streams = true, map[Pair]checkAt{}
	streams := 0
	for _, agent := range b.agents(map[string]string{}) {
		for _, c := range agent.Plan.Checks {
			if c.Type == "Stream" {
				streams++
			}
		}
	}
	if len(b.streams) != 5 || streams != 5 {
		t.Errorf("%d checks, %v; want one for each of two directions of two nodes, and one that nothing denies", streams, b.streams)
	}
	for pair := range b.checks {
		if _, ok := b.streams[pair]; !ok {
			t.Errorf("no connection shows %s", pair)
		}
	}
}
