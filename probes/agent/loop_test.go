package agent

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/probes/dial"
)

func plan(checks int) probes.Plan {
	p := probes.Plan{
		Run: "r1", Agent: "apps/probe", Interval: 250 * time.Millisecond, Timeout: 250 * time.Millisecond,
		Confirm: probes.Confirmation{Every: 20 * time.Millisecond, Count: 12},
	}
	for i := range checks {
		p.Checks = append(p.Checks, probes.Check{ID: fmt.Sprintf("p%d", i), Type: "TCP", Protocol: "TCP", Host: "192.0.2.1", Port: 80})
	}
	return p
}

// rehearse runs a loop on a network for a while, in a bubble, and returns its lines.
func rehearse(t *testing.T, n *fake, slots int, lasts time.Duration, steps ...probes.Plan) []probes.Line {
	out := newOutput(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		plans := make(chan reading)
		ended := make(chan error)
		out.came = make(chan struct{}, 1)
		n.ready = make(chan struct{}, 1)
		go func() { ended <- newLoop(out, slots, n).run(ctx, plans) }()
		for _, p := range steps {
			plans <- reading{plan: p}
			time.Sleep(lasts)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	lines := out.all()
	if len(lines) == 0 {
		t.Fatal("no line came out")
	}
	return lines
}

// total adds a run's lines up as the operator does.
func total(t *testing.T, lines []probes.Line) *probes.Ledger {
	t.Helper()
	l := probes.NewLedger(lines[len(lines)-1].Digest)
	for _, line := range lines {
		if err := l.Add(line, line.To); err != nil && line.Digest == l.Digest() {
			t.Error(err)
		}
	}
	if l.Gaps() != 0 {
		t.Errorf("%d gaps", l.Gaps())
	}
	return l
}

func steady(probes.Outcome) func(string, time.Time) (probes.Outcome, time.Duration) {
	return func(string, time.Time) (probes.Outcome, time.Duration) { return probes.Reached, time.Millisecond }
}

func TestEveryCheckIsTriedOnceAnInterval(t *testing.T) {
	n := &fake{answer: steady(probes.Reached)}
	lines := rehearse(t, n, 64, 10*time.Second, plan(10))
	l := total(t, lines)
	var firsts []time.Time
	for id, began := range n.began {
		if s := l.State(id); s.Attempts != 40 || s.Connected != 40 || s.Streak != 40 || s.Status != 200 {
			t.Errorf("%s: %+v", id, s)
		}
		for i := 1; i < len(began); i++ {
			if gap := began[i].Sub(began[i-1]); gap != 250*time.Millisecond {
				t.Errorf("%s: attempt %d comes %v after the one before", id, i, gap)
			}
		}
		firsts = append(firsts, began[0])
	}
	slices.SortFunc(firsts, time.Time.Compare)
	for i := 1; i < len(firsts); i++ {
		if gap := firsts[i].Sub(firsts[i-1]); gap != 25*time.Millisecond {
			t.Errorf("the checks are not spread evenly: %v apart", gap)
		}
	}
	if len(lines) > 42 {
		t.Errorf("%d lines in 10 s", len(lines))
	}
}

// Ten paths that run out of time cost one timeout, not ten.
func TestAttemptsOverlap(t *testing.T) {
	n := &fake{answer: func(string, time.Time) (probes.Outcome, time.Duration) { return probes.Reached, time.Hour }}
	p := plan(10)
	p.Confirm.Count = 0
	l := total(t, rehearse(t, n, 64, 2*time.Second, p))
	for id := range n.began {
		if s := l.State(id); s.Blocked < 7 || s.Last != probes.TimedOut || s.Detail == "" {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if n.most < 9 {
		t.Errorf("at most %d attempts were under way at once", n.most)
	}
}

// A path is cut: the burst begins when the first attempt has failed, its attempts
// overlap, and the line that tells of the whole of it does not wait for its turn.
func TestAChangeIsConfirmedInABurst(t *testing.T) {
	var cutAt time.Time
	n := &fake{}
	n.answer = func(id string, now time.Time) (probes.Outcome, time.Duration) {
		if cutAt.IsZero() && len(n.began[id]) == 9 {
			cutAt = now
		}
		if !cutAt.IsZero() {
			return probes.Reached, time.Hour
		}
		return probes.Reached, time.Millisecond
	}
	lines := rehearse(t, n, 64, 5*time.Second, plan(1))
	began := n.began["p0"]
	burst := 0
	for _, b := range began {
		if since := b.Sub(cutAt); since >= 250*time.Millisecond && since <= 480*time.Millisecond {
			burst++
		}
	}
	if burst < 12 || burst > 14 {
		t.Errorf("%d attempts in the time of the burst", burst)
	}
	if len(began) > 21+12 {
		t.Errorf("%d attempts: the burst did not end", len(began))
	}
	seen := map[int]time.Duration{} // when so long a streak was told
	for _, line := range lines {
		if c := count(line, "p0"); c.Last == probes.TimedOut {
			for n := range c.Streak {
				if _, ok := seen[n+1]; !ok {
					seen[n+1] = line.To.Sub(cutAt)
				}
			}
		}
	}
	// The first fails at 250 ms, confirmation n at 500 + 20·(n-1) ms.
	for streak, latest := range map[int]time.Duration{5: 600, 9: 680, 13: 760} {
		if at, ok := seen[streak]; !ok || at > latest*time.Millisecond {
			t.Errorf("a streak of %d was told %v after the cut, want within %d ms", streak, at, latest)
		}
	}
}

func TestOneLostPacketIsContradictedAtOnce(t *testing.T) {
	n := &fake{}
	n.answer = func(id string, _ time.Time) (probes.Outcome, time.Duration) {
		if len(n.began[id]) == 5 {
			return probes.Reached, time.Hour
		}
		return probes.Reached, time.Millisecond
	}
	s := total(t, rehearse(t, n, 64, 5*time.Second, plan(1))).State("p0")
	if s.Blocked != 1 || s.Connected < 20+10 || s.Streak < 12 || s.Last != probes.Reached {
		t.Errorf("%+v", s)
	}
}

// A path that changes all the time is not hammered for ever.
func TestAPathThatFlapsGetsBoundedBursts(t *testing.T) {
	n := &fake{}
	n.answer = func(id string, _ time.Time) (probes.Outcome, time.Duration) {
		return []probes.Outcome{probes.Reached, probes.Refused}[len(n.began[id])%2], time.Millisecond
	}
	rehearse(t, n, 64, 60*time.Second, plan(1))
	if tries, most := len(n.began["p0"]), 60*4+1+(30+burstsInARow)*12; tries > most || tries < most/2 {
		t.Errorf("%d attempts in a minute, at most %d are due", tries, most)
	}
	if n.most > 4 {
		t.Errorf("%d bursts at once", n.most)
	}
}

// Where slots are few every check gets its turn, later; what was missed shows.
func TestWantOfSlotsShowsAsUnsent(t *testing.T) {
	n := &fake{answer: func(string, time.Time) (probes.Outcome, time.Duration) { return probes.Reached, time.Hour }}
	p := plan(20)
	p.Confirm.Count = 0
	l := total(t, rehearse(t, n, 5, 20*time.Second, p))
	if n.most != 5 {
		t.Errorf("%d attempts at once, 5 slots", n.most)
	}
	for _, c := range p.Checks {
		// Five slots make 20 attempts a second, of 80 that the plan asks for.
		s := l.State(c.ID)
		if s.Blocked < 10 || s.Blocked > 30 || s.Unsent < 2*s.Blocked || s.Last != probes.TimedOut || int64(s.Streak) != s.Blocked {
			t.Errorf("%s: %+v", c.ID, s)
		}
	}
}

// An attempt that runs out of time while the agent does not run proves nothing.
func TestAStallOfTheAgentIsNoCut(t *testing.T) {
	var s stalls
	if s.note(at(0), at(9)); len(s.seen) != 0 {
		t.Error("to wake a little late is called a stall")
	}
	s = stalls{keep: time.Second}
	s.note(at(100), at(200))
	s.note(at(300), at(350))
	for _, tt := range []struct{ from, to, want int }{{0, 100, 0}, {0, 150, 50}, {120, 180, 60}, {150, 320, 70}, {0, 999, 150}, {350, 999, 0}} {
		if got := s.within(at(tt.from), at(tt.to)); got != time.Duration(tt.want)*time.Millisecond {
			t.Errorf("from %d to %d ms: %v lost, want %d ms", tt.from, tt.to, got, tt.want)
		}
	}
	if s.note(at(2000), at(2050)); len(s.seen) != 1 {
		t.Errorf("stalls are not forgotten: %v", s.seen)
	}

	l := newLoop(io.Discard, 5, nil)
	l.plan = plan(1)
	l.stalls = stalls{keep: time.Second}
	l.stalls.note(at(1050), at(1240))
	for _, tt := range []struct {
		name      string
		from, to  int
		got, want probes.Outcome
	}{
		{"a timeout in the stall", 1000, 1250, probes.TimedOut, probes.Unsent},
		{"a lost name in the stall", 1000, 1250, probes.DNSFailure, probes.Unsent},
		{"a refusal in the stall", 1000, 1250, probes.Refused, probes.Refused},
		{"an answer in the stall", 1000, 1250, probes.Reached, probes.Reached},
		{"a timeout after the stall", 1200, 1450, probes.TimedOut, probes.TimedOut},
	} {
		tr := &track{}
		l.judge(&flight{track: tr, number: tr.order.begin(at(tt.from)), began: at(tt.from)}, dial.Result{Outcome: tt.got}, at(tt.to))
		if newest, _, _ := tr.order.streak(); newest.result.Outcome != tt.want {
			t.Errorf("%s is %q, want %q", tt.name, newest.result.Outcome, tt.want)
		}
	}
}

// A thousand checks do not fit in a line: they take turns, none is lost, and the
// pace holds.
func TestManyChecksTakeTurns(t *testing.T) {
	n := &fake{answer: steady(probes.Reached)}
	p := plan(1000)
	for i := range p.Checks {
		p.Checks[i].ID += strings.Repeat("<", 60) // each takes six bytes in JSON
	}
	lines := rehearse(t, n, 64, 8*time.Second, p)
	l := total(t, lines)
	for _, c := range p.Checks {
		s, made := l.State(c.ID), int64(len(n.began[c.ID]))
		if made < 32 || s.Attempts > made || s.Attempts < made-1 { // one may be under way at the end
			t.Fatalf("%s: %d attempts told, %d made", c.ID[:8], s.Attempts, made)
		}
	}
	inTime := 0
	for _, line := range lines {
		if line.To.Sub(lines[0].To) <= 7*time.Second {
			inTime++
		}
	}
	if inTime > 7*linesPerSecond+lineBurst {
		t.Errorf("%d lines in 7 s", inTime)
	}
}

func TestAHeartbeatWhenNothingHappens(t *testing.T) {
	lines := rehearse(t, &fake{answer: steady(probes.Reached)}, 64, 10*time.Second, probes.Plan{Run: "r1"})
	if len(lines) < 10 || len(lines) > 13 {
		t.Errorf("%d lines in 10 s of nothing", len(lines))
	}
}

// A new plan is echoed at once, and what the old one has under way is not told
// under the new one's name.
func TestANewPlanStartsAnew(t *testing.T) {
	n := &fake{answer: func(string, time.Time) (probes.Outcome, time.Duration) { return probes.Reached, 200 * time.Millisecond }}
	first, second := plan(4), plan(2)
	lines := rehearse(t, n, 64, 1100*time.Millisecond, first, second)
	for i, line := range lines {
		if line.Digest != second.Digest() {
			continue
		}
		if i == 0 || line.From.Before(lines[i-1].To) || line.To.Sub(line.From) > time.Millisecond {
			t.Errorf("the new plan is echoed in the window %v to %v, after one until %v", line.From, line.To, lines[i-1].To)
		}
		break
	}
	l := total(t, lines)
	if s := l.State("p0"); s.Attempts != 4 || l.State("p3").Attempts != 0 {
		t.Errorf("under the new plan %+v", s)
	}
}
