package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
)

var outcomes = []probes.Outcome{probes.Reached, probes.TimedOut, probes.Refused, probes.Reset, probes.DNSFailure, probes.Unsent}

// aLook has random facts about random rows.
func aLook(r *rand.Rand) (Look, []Row, Qualified) {
	pick := func(most int) int { return r.IntN(most) }
	var rows []Row
	for i := range 1 + pick(6) {
		row := Row{Path: fmt.Sprint("p", i), Via: v1alpha1.ViaPodIP, Expect: v1alpha1.ExpectAllow, Advisory: pick(5) == 0, MayFail: pick(5) == 0}
		if pick(2) == 0 {
			row.Via = v1alpha1.ViaService
		}
		if pick(2) == 0 {
			row.Expect = v1alpha1.ExpectDeny
		}
		rows = append(rows, row)
	}
	l := Look{Scope: rollout.Scope(pick(5)), Settled: pick(4) > 0, Unseen: pick(3) == 0, Whole: true, Confirm: 1 + pick(9), Place: "stage/1", Name: "all"}
	count := func() int64 { return int64([]int{0, 1, 2, 3, 8, 9, 27, 81, 180, 1000, 90_000}[pick(11)]) }
	for i := range rows {
		for range 1 + pick(3) {
			c := Check{Row: i, Agent: fmt.Sprint("a/", pick(3)), Last: outcomes[pick(len(outcomes))], Streak: int(count()), Connected: count(), Blocked: count(), Flags: Flags(pick(1 << 13))}
			c.StreakSinceMark, c.Stopped = min(c.Streak, int(count())), min(c.Blocked, count())
			if pick(4) == 0 {
				c.Part, c.Share = "a pod is denied", r.Float64()
			}
			c.Open, c.Poor = []string{"", "", "open"}[pick(3)], []string{"", "", "poor"}[pick(3)]
			if pick(4) == 0 {
				c.Blame = &Blame{Cause: "Policy", Rule: fmt.Sprint("rule ", pick(3)), Through: []string{"a/b"}}
			}
			l.Checks = append(l.Checks, c)
		}
	}
	var q Qualified
	if pick(3) > 0 {
		q = Qualified{0: true, 2: true}
	}
	return l, rows, q
}

// What a healthy check counts beyond the bound is left out of what is written, and
// changes no judgement.
func TestABoundedLookIsJudgedAlike(t *testing.T) {
	shorter := 0
	for seed := range uint64(4000) {
		l, rows, q := aLook(rand.New(rand.NewPCG(seed, 1)))
		short := l.Bounded()
		if got, want := short.Judge(rows, q), l.Judge(rows, q); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %+v; want %+v", seed, got, want)
		}
		if !reflect.DeepEqual(short, l) {
			shorter++
		}
	}
	if shorter < 1000 {
		t.Errorf("only %d looks were shortened: this shows little", shorter)
	}
}

func TestLooksAndCountsAreReadAsTheyWereWritten(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		l, _, _ := aLook(r)
		raw, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		var back Look
		if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(back, l) {
			t.Fatalf("seed %d: %v\n%+v; want\n%+v", seed, err, back, l)
		}
		c := Counts{Rows: []Count{}}
		for i := range r.IntN(5) {
			x := Count{Row: i * 3, Agent: fmt.Sprint("a/", i%2), Attempts: r.Int64N(1000), Failures: r.Int64N(3), Last: time.UnixMilli(1777863729123 + r.Int64N(5000)).UTC()}
			if i%2 == 0 {
				x.First = time.UnixMilli(1777863720000).UTC()
			}
			c.Rows = append(c.Rows, x)
		}
		raw, err = json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again Counts
		if err := json.Unmarshal(raw, &again); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("seed %d: %v\n%+v; want\n%+v", seed, err, again, c)
		}
	}
}

// A look comes from outside: columns that do not fit together are refused, and none
// of them is read past its end.
func TestALookOfSomebodyElseIsRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"a short column":  `{"checks":2,"row":[0]}`,
		"more than any":   `{"checks":99999999}`,
		"fewer than none": `{"checks":-1}`,
		"no such word":    `{"checks":1,"agent":[1]}`,
		"no such blame":   `{"checks":1,"blame":[7],"blames":[]}`,
		"a short share":   `{"checks":2,"share":[0.5]}`,
	} {
		if err := json.Unmarshal([]byte(raw), &Look{}); !errors.Is(err, errColumns) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := Look{Whole: true, Checks: []Check{{Row: -1}, {Row: 7}}}
	if got := l.Judge([]Row{{}}, nil); got[0].Tried {
		t.Errorf("a check of another row counts: %+v", got)
	}
}

func anEntry(n int) Entry {
	return Entry{At: time.Unix(int64(n), 0).UTC(), Lost: &Lost{Agent: "a/b", Lines: uint64(n)}}
}

// lines are the numbers of the entries of a chain, as a reader finds them.
func lines(t *testing.T, stored []Stored, head Head) []uint64 {
	t.Helper()
	chunks, _, err := Read(stored, "r", "u", head)
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	for _, c := range chunks {
		for _, e := range c.Entries {
			out = append(out, e.Lost.Lines)
		}
	}
	return out
}

// The answer to a write is lost: the chunk may be stored, and the status may name it.
// Whatever came of it, each entry is in the chain once, in order, and a chunk that the
// status names is never forked.
func TestAnAmbiguousAnswerForksNothing(t *testing.T) {
	for name, named := range map[string]bool{"the status names it": true, "the status does not": false} {
		c := Chain{Run: "r", RunUID: "u"}
		var stored []Stored
		store := func(f *Flight) { stored = append(stored, Stored{f.Name(), f.Packed}) }
		c.Add(anEntry(1))
		first, _ := c.Next("p", anEntry(99)) // the answer to this one's write is lost
		store(first)
		c.Add(anEntry(2))
		if f, _ := c.Next("p"); f != nil {
			t.Fatalf("%s: a second chunk was handed out before the status was read", name)
		}
		status := c.Head()
		if named {
			status = first.Head
		}
		if settled, err := c.See(status); err != nil || settled != named {
			t.Fatalf("%s: settled %v, %v", name, settled, err)
		}
		if !named {
			c.GiveUp()
		}
		second, _ := c.Next("p")
		store(second)
		if second.Name() == first.Name() {
			t.Errorf("%s: two chunks have the name %s", name, second.Name())
		}
		if settled, err := c.See(second.Head); err != nil || !settled || c.Pending() != 0 {
			t.Fatalf("%s: settled %v, %v, %d pending", name, settled, err, c.Pending())
		}
		want := map[bool]string{true: "[1 99 2]", false: "[1 2]"}[named]
		if got := fmt.Sprint(lines(t, stored, c.Head())); got != want {
			t.Errorf("%s: %s; want %s", name, got, want)
		}
	}
	c := Chain{Run: "r", RunUID: "u"}
	if _, err := c.See(Head{"sha256:00", 7}); !errors.Is(err, ErrChain) {
		t.Errorf("what somebody else wrote is taken for ours: %v", err)
	}
}

// A chunk that was given up and whose status write lands after all is somebody else's:
// the chain must not go on beside it.
func TestALateWriteIsFound(t *testing.T) {
	c := Chain{Run: "r", RunUID: "u"}
	c.Add(anEntry(1))
	late, _ := c.Next("p")
	c.GiveUp()
	if _, err := c.See(late.Head); !errors.Is(err, ErrChain) {
		t.Errorf("%v; want it told, so that the chain is read anew", err)
	}
}

func TestWindowsDouble(t *testing.T) {
	var ends []int
	for s := range 3600 {
		if WindowEnded(time.Duration(s)*time.Second, time.Duration(s+1)*time.Second) {
			ends = append(ends, s+1)
		}
	}
	if got := fmt.Sprint(ends); got != "[20 60 140 300 620 1260 2540]" {
		t.Error(got)
	}
	if !WindowEnded(0, 100*365*24*time.Hour) || WindowEnded(21*time.Second, 22*time.Second) {
		t.Error("a long sleep ends a window, and nothing else does in between")
	}
}

func TestAChunkOfAnotherSchemaIsRefused(t *testing.T) {
	c := Chunk{Schema: "tightrope.dev/evidence/v2", Run: "r", RunUID: "u", Number: 1}
	packed, digest, err := c.Text()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read([]Stored{{"x", packed}}, "r", "u", Head{digest, 1}); err == nil || !strings.Contains(err.Error(), "schema") {
		t.Error(err)
	}
}
