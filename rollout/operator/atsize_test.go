package operator

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// bars of the design for the controller at its full size: 500 rollouts observing.
const (
	memoryBar    = 512 // MiB
	processorBar = 1.0 // cores
	requestsBar  = 0.1 // a second and run, while quiet
	writesBar    = 0.1 // a second and run, while quiet
	aloneBar     = 50 * time.Millisecond
	reactionBar  = 250 * time.Millisecond
)

// size is what one run of the benchmark is about.
type size struct {
	pods, policies int   // that have nothing to do with a rollout
	rollouts       []int // how many observe, one measurement after the other
	reactions      int   // rollouts whose candidates cut a path, at each size
	window         time.Duration
}

// sizeOf is TIGHTROPE_BENCH as a size; TIGHTROPE_BENCH_ROLLOUTS, as 1,10,100, says
// which numbers of rollouts are measured instead.
func sizeOf(t *testing.T) size {
	t.Helper()
	s := size{pods: 2000, policies: 200, rollouts: []int{1, 10}, reactions: 10, window: 20 * time.Second}
	switch os.Getenv("TIGHTROPE_BENCH") {
	case "short":
	case "long":
		s = size{pods: 10000, policies: 1000, rollouts: []int{1, 10, 100, 500}, reactions: 20, window: 40 * time.Second}
	default:
		t.Skip("TIGHTROPE_BENCH is neither short nor long; `make bench` sets it")
	}
	if list := os.Getenv("TIGHTROPE_BENCH_ROLLOUTS"); list != "" {
		s.rollouts = nil
		for _, word := range strings.Split(list, ",") {
			n, err := strconv.Atoi(word)
			if err != nil {
				t.Fatalf("TIGHTROPE_BENCH_ROLLOUTS: %v", err)
			}
			s.rollouts = append(s.rollouts, n)
		}
	}
	return s
}

// TestAtSize measures the controller that is shipped against a real API server that
// is as full as a large cluster's. `make bench` runs it; TIGHTROPE_BENCH=long goes to
// the size of the design. It fails on nothing but what cannot be measured.
func TestAtSize(t *testing.T) {
	want := sizeOf(t)
	a := newArena(t)
	a.fill(want.pods, want.policies)
	idle := a.sample()
	a.rest(want.window / 2)
	background := a.sample().since(idle)
	a.start()
	var rows []row
	for _, n := range want.rollouts {
		a.observe(n)
		a.rest(want.window / 4)
		before := a.sample()
		a.rest(want.window)
		quiet := a.sample().since(before)
		sent := a.sent()
		reactions := a.react(want.reactions)
		rows = append(rows, row{n, quiet.without(background), a.memory(), reactions, a.sent().since(sent)})
		t.Logf("%d rollouts:\n%s%s", n, quiet.without(background).text(n), rows[len(rows)-1])
	}
	write(t, want, rows)
}

// row is what was measured while n rollouts observed.
type row struct {
	n         int
	quiet     sample
	memory    memory
	reactions []time.Duration // from the line as it was sent to the policy as a watch shows it
	sent      spread          // from the line as it came in to the restoring writes as they were sent
}

func (r row) String() string {
	seconds, runs := r.quiet.took.Seconds(), float64(r.n)
	bar := reactionBar
	if r.n == 1 {
		bar = aloneBar
	}
	requests, writes := r.quiet.total(r.quiet.requests)/seconds/runs, r.quiet.total(r.quiet.writes)/seconds/runs
	slowest, known := r.sent.within(99)
	return fmt.Sprintf("| %d | %s | %d | %s | %s | %s | %.0f | %s | %s | %s | %s | %d |", r.n,
		orMissed(fmt.Sprint(r.memory.now), r.memory.now < memoryBar), r.memory.peak,
		orMissed(fmt.Sprintf("%.2f", r.quiet.cpu.Seconds()/seconds), r.quiet.cpu.Seconds()/seconds < processorBar),
		orMissed(fmt.Sprintf("%.2f", requests), requests < requestsBar),
		orMissed(fmt.Sprintf("%.2f", writes), writes <= writesBar),
		r.quiet.total(r.quiet.bytes)/seconds/runs,
		r.sent.text(50), orMissed(r.sent.text(99), known && slowest <= bar),
		rounded(quantile(r.reactions, 50)), rounded(quantile(r.reactions, 99)), len(r.reactions))
}

// orMissed is a figure, and that it misses what the design wants.
func orMissed(figure string, holds bool) string {
	if holds {
		return figure
	}
	return figure + ", missed"
}

func rounded(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

// quantile of all that was measured; 0: nothing was.
func quantile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)*percent+99)/100-1]
}

// write prints the table, and keeps it where TIGHTROPE_BENCH_REPORT says.
func write(t *testing.T, want size, rows []row) {
	t.Helper()
	var s strings.Builder
	fmt.Fprintf(&s, "The controller, on %d cores that it shares with the API server, etcd and the agents' lines; %d pods, %d policies. While quiet for %v:\n\n",
		runtime.NumCPU(), want.pods, want.policies, want.window)
	fmt.Fprintf(&s, "| rollouts | memory, MiB | at most | cores | requests a second and run | writes a second and run | bytes into etcd a second and run | line read → restoring write sent, p50 | p99 | line sent → policy seen, p50 | p99 | of |\n")
	fmt.Fprintf(&s, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	fmt.Fprintf(&s, "| wanted | < %d | – | < %.0f | < %.1f | ≤ %.1f | – | – | < %v alone, < %v | – | – | – |\n", memoryBar, processorBar, requestsBar, writesBar, aloneBar, reactionBar)
	for _, r := range rows {
		fmt.Fprintln(&s, r)
	}
	t.Log("\n" + s.String())
	if dir := os.Getenv("TIGHTROPE_BENCH_REPORT"); dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "controller.md"), []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// beginners are the rollouts that begin at a time.
const beginners = 25

// observe makes rollouts until n of them observe, and waits until they do.
func (a *arena) observe(n int) {
	a.t.Helper()
	began, had := time.Now(), len(a.observing)
	for len(a.observing) < n { // nobody begins five hundred at once, and two cores would starve them
		var fresh []string
		for range min(beginners, n-len(a.observing)) {
			fresh = append(fresh, fmt.Sprintf("quiet-%d", len(a.observing)+len(fresh)))
		}
		a.each(len(fresh), func(ctx context.Context, i int) error { return a.begin(ctx, fresh[i], false) })
		a.observing = append(a.observing, fresh...)
		a.await(len(a.observing), func(run *v1alpha1.PolicyRolloutRun) bool {
			if run.Status.Phase.Terminal() && strings.HasPrefix(run.Namespace, "quiet-") {
				a.t.Fatalf("run %s/%s was to observe; it ended %s: %s", run.Namespace, run.Name, run.Status.Phase, run.Status.Message)
			}
			return strings.HasPrefix(run.Namespace, "quiet-") && run.Status.Phase == v1alpha1.PhaseObserve
		})
	}
	a.t.Logf("%d rollouts observe; the last %d of them after %v", n, n-had, time.Since(began).Round(time.Second))
}

// react makes rollouts that cut a path, a second apart, and returns how long it took
// from the line that says so until the policy was there that heals it.
func (a *arena) react(n int) []time.Duration {
	a.t.Helper()
	had := len(a.figures().Reactions)
	for range n {
		a.cutting++
		if err := a.begin(a.ctx, fmt.Sprintf("cut-%d", a.cutting), true); err != nil {
			a.t.Fatal(err)
		}
		a.rest(time.Second)
	}
	a.await(a.cutting, func(run *v1alpha1.PolicyRolloutRun) bool {
		if st := run.Status; st.Phase.Terminal() && st.Cause != "Cut" {
			a.t.Fatalf("run %s/%s was to cut a path; it ended %s, cause %q: %s", run.Namespace, run.Name, st.Phase, st.Cause, st.Message)
		}
		return strings.HasPrefix(run.Namespace, "cut-") && run.Status.Phase == v1alpha1.PhaseRolledBack
	})
	return a.figures().Reactions[had:]
}
