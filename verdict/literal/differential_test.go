package literal

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/literal/random"
)

var (
	verdicts = flag.Int64("verdicts", enough, "random verdicts that the engine and the literal reading are compared in")
	seed     = flag.Uint64("seed", 1, "seed of the first world; 0 takes one from the clock")
)

const (
	connsPerWorld  = 60
	changes        = 4
	connsPerChange = 12
	savedFolder    = "testdata/differential"
)

// The engine and the literal reading give the same decisions at both ends, and
// where only NetworkPolicies are at work, the same words; and a world that
// changed is judged like one that was always so.
func TestDifferential(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, %d verdicts", first, *verdicts)
	var tally tally
	var next, stop atomic.Uint64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for tally.count.Load() < *verdicts && stop.Load() == 0 {
				s := first + next.Add(1) - 1
				if c, why := tally.world(s); why != "" && stop.Add(1) == 1 {
					report(t, s, c, why)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d verdicts in %d worlds: %d Allow, %d Deny, %d Unknown", tally.count.Load(), next.Load(),
		tally.of[verdict.Allow].Load(), tally.of[verdict.Deny].Load(), tally.of[verdict.Unknown].Load())
	for d := range tally.of {
		if !t.Failed() && tally.of[d].Load() < *verdicts/20 {
			t.Errorf("that is too few %s: the comparison proves little", verdict.Decision(d))
		}
	}
}

// tally counts verdicts, all and by decision.
type tally struct {
	count atomic.Int64
	of    [3]atomic.Int64
}

// world compares verdicts in one random world, before and after changes, and
// returns the first case that the two readings disagree about, and why.
func (t *tally) world(seed uint64) (random.Case, string) {
	c, why := t.play(random.Seed(seed), connsPerWorld, changes, connsPerChange)
	c.Comment = fmt.Sprintf("Found with seed %d.", seed)
	return c, why
}

// play compares conns verdicts in a world that the dice make, and perChange after
// each of some changes.
func (t *tally) play(d *random.Dice, conns, changes, perChange int) (random.Case, string) {
	w, pods := d.World()
	c := random.Case{World: w, Pods: pods}
	e, why := compiled(c)
	if why != "" {
		return c, why
	}
	first := e.Snapshot()
	for range conns {
		c.Conn = d.Conn()
		if why := t.compare(first, nil, w, c.Conn); why != "" {
			return c, why
		}
	}
	if d.IntN(10) == 9 { // long enough for what was freed to be used again
		changes, perChange = 10*changes, 1+perChange/4
	}
	for range changes {
		before := len(c.Changes)
		for range 1 + d.IntN(2) {
			c.Changes = append(c.Changes, d.Change())
		}
		if why := apply(e, c.Changes[before:]); why != "" {
			return c, why
		}
		w, pods := d.Now()
		fresh := verdict.Compile(w, pods)
		for range perChange {
			c.Conn = d.Conn()
			if why := t.compare(e.Snapshot(), fresh, w, c.Conn); why != "" {
				return c, why
			}
		}
	}
	for range perChange {
		c.Conn = d.Conn()
		if why := t.compare(first, nil, w, c.Conn); why != "" {
			return c, "a snapshot changed after it was taken: " + why
		}
	}
	return c, ""
}

func compiled(c random.Case) (e *verdict.Engine, why string) {
	why = safely(func() string { e = verdict.New(c.World, c.Pods); return "" })
	return e, why
}

// apply makes the changes in one step.
func apply(e *verdict.Engine, all []random.Change) string {
	return safely(func() string {
		e.Apply(func(x *verdict.Changes) {
			for _, c := range all {
				c.To(x)
			}
		})
		return ""
	})
}

// compare says how the readings disagree about the connection; empty: they agree.
func (t *tally) compare(s, fresh *verdict.Snapshot, w verdict.World, c verdict.Conn) string {
	return safely(func() string {
		got, want := s.Judge(c), Judge(w, c)
		t.count.Add(1)
		t.of[want.Decision].Add(1)
		if why := disagree(got, want, len(w.ClusterPolicies)+len(w.Foreign) == 0); why != "" {
			return why
		}
		if short, view, ok := decided(s, c); ok && (short != want.Decision || view != want.Decision) {
			return fmt.Sprintf("Decide says %s, a View %s, the specification says %s (%s)", short, view, want.Decision, want.Reason)
		}
		if fresh != nil {
			if again := fresh.Judge(c); again != got {
				return fmt.Sprintf("a world that changed is judged as\n\t%+v\nand one that was always so as\n\t%+v", got, again)
			}
		}
		return ""
	})
}

// disagree compares two verdicts: decisions always, and words where both sides
// are read from NetworkPolicies alone. The words of a doubt may be others.
func disagree(got, want verdict.Verdict, words bool) string {
	same := got.Decision == want.Decision
	for _, s := range [][2]verdict.Side{{got.Egress, want.Egress}, {got.Ingress, want.Ingress}} {
		same = same && s[0].Decision == s[1].Decision && s[0].Reason != "" && s[0].Rule != "" == (s[1].Rule != "")
		if words && s[1].Decision != verdict.Unknown {
			same = same && s[0] == s[1]
		}
	}
	if same && got.Reason != "" && got.Rule() != "" {
		return ""
	}
	return fmt.Sprintf("the engine says\n\t%+v\nthe specification says\n\t%+v", got, want)
}

// decided asks the short ways, if the connection is between pods as the snapshot
// has them.
func decided(s *verdict.Snapshot, c verdict.Conn) (short, view verdict.Decision, ok bool) {
	if c.From.Pod == nil || c.To.Pod == nil || c.From.IP.IsValid() || c.To.IP.IsValid() || c.FromNode {
		return 0, 0, false
	}
	from, ok := s.Find(c.From.Pod.Key())
	to, also := s.Find(c.To.Pod.Key())
	if !ok || !also || !reflect.DeepEqual(s.Pod(from), c.From.Pod) || !reflect.DeepEqual(s.Pod(to), c.To.Pod) {
		return 0, 0, false
	}
	return s.Decide(from, to, c.Port, c.Protocol), s.On(c.Port, c.Protocol).Decide(from, to), true
}

// safely turns a panic into a disagreement.
func safely(f func() string) (why string) {
	defer func() {
		if p := recover(); p != nil {
			b := make([]byte, 4096)
			why = fmt.Sprintf("panic: %v\n%s", p, b[:runtime.Stack(b, false)])
		}
	}()
	return f()
}

// again compares a case from its beginning.
func again(c random.Case) string {
	e, why := compiled(c)
	if why != "" {
		return why
	}
	for _, change := range c.Changes {
		if why := apply(e, []random.Change{change}); why != "" {
			return why
		}
	}
	w, pods := c.Now()
	fresh, why := compiled(random.Case{World: w, Pods: pods})
	if why != "" {
		return why
	}
	return new(tally).compare(e.Snapshot(), fresh.Snapshot(), w, c.Conn)
}

// report makes the case as small as it can and saves it beside the others.
func report(t *testing.T, seed uint64, c random.Case, why string) {
	t.Errorf("seed %d: %s", seed, why)
	if again(c) == "" {
		t.Error("the disagreement does not come back alone, so it is not saved")
		return
	}
	c = minimise(c)
	b := written(t, c)
	dir := savedFolder
	if other := os.Getenv("TIGHTROPE_FUZZ_DIR"); other != "" {
		dir = other
	}
	must(t, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, fmt.Sprintf("found-%d.yaml", seed))
	must(t, os.WriteFile(file, b, 0o644))
	t.Errorf("saved as %s:\n%s\n%s", file, b, again(c))
}

func written(t *testing.T, c random.Case) []byte {
	t.Helper()
	b, err := yaml.Marshal(c)
	must(t, err)
	return b
}

// minimise leaves away whatever it can while the readings still disagree.
func minimise(c random.Case) random.Case {
	for shrunk := true; shrunk; {
		shrunk = false
		for _, smaller := range c.Smaller() {
			if again(smaller) != "" {
				c, shrunk = smaller, true
				break
			}
		}
	}
	return c
}

// Whatever they disagreed about once, they agree about.
func TestSavedDisagreementsAreSettled(t *testing.T) {
	files, err := filepath.Glob(savedFolder + "/*.yaml")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no saved disagreement was found")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			must(t, err)
			var c random.Case
			must(t, yaml.UnmarshalStrict(b, &c))
			if why := again(c); why != "" {
				t.Errorf("%s\n%s", c.Comment, why)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
