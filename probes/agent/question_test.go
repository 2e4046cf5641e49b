package agent

import (
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/probes"
)

// questions is a plan with a question over UDP.
func questions() probes.Plan {
	p := plan(1)
	p.Checks[0].Type, p.Checks[0].Protocol, p.Checks[0].Query = "DNS", "UDP", "example.org"
	return p
}

// names is a plan with a target whose name is looked up for each attempt.
func names() probes.Plan {
	p := plan(1)
	p.Checks[0].Host = "gateway.example."
	return p
}

// slowFrom answers after a millisecond, and from the tenth attempt on as late as
// it is said. The function it returns is when that was.
func slowFrom(n *fake, takes func(since time.Duration) time.Duration) (turned func() time.Time) {
	var at time.Time
	n.answer = func(id string, now time.Time) (probes.Outcome, time.Duration) {
		if at.IsZero() && len(n.began[id]) == 10 {
			at = now
		}
		if at.IsZero() {
			return probes.Reached, time.Millisecond
		}
		return probes.Reached, takes(now.Sub(at))
	}
	return func() time.Time { return at }
}

// longestBlocked is the longest streak of failures that was told, and when a
// streak was first as long as asked for.
func longestBlocked(lines []probes.Line, wanted int) (longest int, reached time.Time) {
	for _, line := range lines {
		if c := count(line, "p0"); c.Last.Blocked() {
			longest = max(longest, c.Streak)
			if c.Streak >= wanted && reached.IsZero() {
				reached = line.To
			}
		}
	}
	return longest, reached
}

// A server that becomes slow, suddenly or by and by, is not taken for a cut: as
// soon as one late answer is there, the questions under way are waited for.
func TestASlowServerIsNoCut(t *testing.T) {
	for name, takes := range map[string]func(time.Duration) time.Duration{
		"suddenly":    func(time.Duration) time.Duration { return 480 * time.Millisecond },
		"by and by":   func(since time.Duration) time.Duration { return min(since/8, 900*time.Millisecond) },
		"for a while": func(since time.Duration) time.Duration { return max(time.Millisecond, 480*time.Millisecond-since) },
	} {
		for _, p := range []probes.Plan{questions(), names()} {
			n := &fake{}
			slowFrom(n, takes)
			lines := rehearse(t, n, 64, 20*time.Second, p)
			if longest, _ := longestBlocked(lines, 7); longest >= 7 {
				t.Errorf("%s slow %s: %d failures in a row", p.Checks[0].Type, name, longest)
			}
			if s := total(t, lines).State("p0"); s.Last != probes.Reached || s.Connected < 60 {
				t.Errorf("%s slow %s: in the end %+v", p.Checks[0].Type, name, s)
			}
		}
	}
}

// A server that does not answer at all is noticed as soon as without patience.
func TestACutOfQuestionsIsToldAtOnce(t *testing.T) {
	for _, tt := range []struct {
		plan probes.Plan
		want probes.Outcome
	}{{questions(), probes.TimedOut}, {names(), probes.DNSFailure}} {
		n := &fake{}
		turned := slowFrom(n, func(time.Duration) time.Duration { return time.Hour })
		lines := rehearse(t, n, 64, 5*time.Second, tt.plan)
		// The first fails at 250 ms, the sixth confirmation at 250+100+250 ms.
		if _, at := longestBlocked(lines, 7); at.IsZero() || at.Sub(turned()) > 700*time.Millisecond {
			t.Errorf("7 failures in a row were told %v after the cut", at.Sub(turned()))
		}
		s := total(t, lines).State("p0")
		if tries := int64(len(n.began["p0"])); s.Blocked < 20 || s.Attempts > tries || s.Last != tt.want {
			t.Errorf("%d attempts made, %+v, want %s", tries, s, tt.want)
		}
		if n.most > 40 {
			t.Errorf("%d questions under way at once", n.most)
		}
	}
}

// A slow target is no slow name server: nobody is more patient for it.
func TestASlowTargetBuysNoPatience(t *testing.T) {
	n := &fake{lookup: time.Millisecond}
	slowFrom(n, func(since time.Duration) time.Duration { return 300 * time.Millisecond })
	lines := rehearse(t, n, 64, 7*time.Second, names())
	if s := total(t, lines).State("p0"); s.Last != probes.TimedOut || s.Connected != 9 {
		t.Errorf("a target that takes longer than the timeout: %+v", s)
	}
	if n.most > 15 { // of the burst and of the interval, for one timeout each
		t.Errorf("%d attempts under way at once: they are waited for in vain", n.most)
	}
}

// Where slots are few, nobody listens for late answers instead of asking.
func TestLateAnswersTakeNoSlotThatIsWanted(t *testing.T) {
	n := &fake{answer: func(string, time.Time) (probes.Outcome, time.Duration) { return probes.Reached, time.Hour }}
	p := plan(20)
	p.Confirm.Count = 0
	for i := range p.Checks {
		p.Checks[i].Type, p.Checks[i].Protocol, p.Checks[i].Query = "DNS", "UDP", "example.org"
	}
	l := total(t, rehearse(t, n, 5, 20*time.Second, p))
	var made int64
	for _, c := range p.Checks {
		s := l.State(c.ID)
		made += s.Blocked
		if s.Blocked < 10 || s.Last != probes.TimedOut || int64(s.Streak) != s.Blocked {
			t.Errorf("%s: %+v", c.ID, s)
		}
	}
	if made < 380 { // five slots make 20 attempts a second
		t.Errorf("%d attempts in 20 s", made)
	}
}

// Slowness is forgotten, and never makes a question wait for more than four
// timeouts.
func TestPatienceHasBounds(t *testing.T) {
	const timeout = 250 * time.Millisecond
	var s slowness
	for _, tt := range []struct {
		at   int // milliseconds
		took time.Duration
		want time.Duration
	}{
		{0, 0, timeout},
		{10, 100 * time.Millisecond, timeout},
		{20, 200 * time.Millisecond, 400 * time.Millisecond},
		{30, time.Minute, 4 * timeout},
		{9_000, time.Millisecond, 4 * timeout},
		{10_001, time.Millisecond, 4 * timeout},
		{19_000, 150 * time.Millisecond, 4 * timeout},
		{20_001, time.Millisecond, 300 * time.Millisecond},
		{60_000, time.Millisecond, timeout},
	} {
		s.note(at(tt.at), tt.took)
		if got := s.patience(at(tt.at), timeout); got != tt.want {
			t.Errorf("at %d ms: %v, want %v", tt.at, got, tt.want)
		}
	}
}
