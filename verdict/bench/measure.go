package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/platform"
)

// question is a connection between two pods, by their indices.
type question struct {
	from, to int32
	port     int32
	protocol corev1.Protocol
}

// questions are about ports that the targets declare, and some that they do not.
func questions(pods []verdict.Pod, n int) []question {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]question, n)
	for i := range all {
		q := question{r.Int32N(int32(len(pods))), r.Int32N(int32(len(pods))), 8000, corev1.ProtocolTCP}
		if ports := pods[q.to].Ports; len(ports) > 0 && r.IntN(4) > 0 {
			p := ports[r.IntN(len(ports))]
			q.port, q.protocol = p.Number, cmp.Or(p.Protocol, corev1.ProtocolTCP)
		}
		all[i] = q
	}
	return all
}

// figures are one engine's, on one cluster.
type figures struct {
	compile  time.Duration
	bytes    int64           // that stay in use after compiling, without the input
	decide   pace            // of a verdict
	judge    pace            // of a verdict with its reasons; zero: it is the same
	allPairs time.Duration   // on one port
	sampled  bool            // allPairs is extrapolated from a sample
	pod      []time.Duration // changes of a pod
	policy   []time.Duration // changes of a policy or a namespace
}

// result is both engines' on one cluster.
type result struct {
	size         platform.Size
	ours, theirs figures
	compared     int
	differences  map[string]int
}

// budget bounds how long each figure may be measured.
type budget struct {
	each    time.Duration // per figure
	changes int
}

func measure(size platform.Size, b budget) result {
	w, pods := platform.New(size)
	qs := questions(pods, 1<<13)
	res := result{size: size, differences: map[string]int{}}
	s := res.ours.compileOurs(w, pods)
	res.ours.askOurs(s, pods, qs, b)
	res.ours.changeOurs(size, w, pods, b)
	m := res.theirs.compileTheirs(w)
	res.theirs.askTheirs(m, w, pods, qs, b)
	res.compare(s, m, w, pods, qs, b)
	runtime.KeepAlive(sink)
	runtime.KeepAlive(pods)
	return res
}

func (f *figures) compileOurs(w verdict.World, pods []verdict.Pod) (s *verdict.Snapshot) {
	f.compile, f.bytes = weigh(func() { s = verdict.Compile(w, pods) })
	return s
}

func (f *figures) compileTheirs(w verdict.World) (m *matcher.Policy) {
	all := objects(w)
	f.compile, f.bytes = weigh(func() { m = compileBaseline(all) })
	f.pod = nil                           // it looks at a pod when it is asked
	f.policy = []time.Duration{f.compile} // it has no other way
	return m
}

// worked is the time that this process has computed, collecting garbage
// included. What else runs on the machine does not count.
func worked() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err) // there is no such system
	}
	return time.Duration(t.Nano())
}

// weigh returns how long f takes and what it leaves in use.
func weigh(f func()) (time.Duration, int64) {
	before := inUse()
	start := worked()
	f()
	took := worked() - start
	return took, inUse() - before
}

func inUse() int64 {
	runtime.GC()
	runtime.GC() // the first may only finish what had begun
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// pace is how long one answer takes, in nanoseconds.
type pace struct {
	mean float64
	best float64 // over the fastest stretch: when nobody else wanted the core or its cache
}

// rate asks n questions again and again until the time is over, from and up to
// the indices that ask is given. The clock is looked at rarely.
func rate(n int, limit time.Duration, ask func(from, to int)) pace {
	const stretch = 50 * time.Microsecond // which the clock's own cost does not show in
	best := math.Inf(1)
	chunk, next, asked, start := 1, 0, 0, worked()
	for last := start; ; {
		to := min(next+chunk, n)
		ask(next, to)
		now := worked()
		if took := now - last; took >= stretch {
			best = min(best, float64(took)/float64(to-next))
		}
		asked, next, last = asked+to-next, to%n, now
		switch took := now - start; {
		case took > limit:
			mean := float64(took) / float64(asked)
			return pace{mean: mean, best: min(mean, best)}
		case took < limit/8:
			chunk = min(2*chunk, n)
		}
	}
}

var sink verdict.Decision // so that nothing is optimised away

func (f *figures) askOurs(s *verdict.Snapshot, pods []verdict.Pod, qs []question, b budget) {
	ids := make([]verdict.PodID, len(pods))
	for i, p := range pods {
		ids[i], _ = s.Find(p.Key())
	}
	byID := slices.Clone(qs)
	for i, q := range qs {
		byID[i].from, byID[i].to = int32(ids[q.from]), int32(ids[q.to])
	}
	f.decide = rate(len(qs), b.each, func(from, to int) {
		var any verdict.Decision
		for i := range byID[from:to] {
			q := &byID[from+i]
			any |= s.Decide(verdict.PodID(q.from), verdict.PodID(q.to), q.port, q.protocol)
		}
		sink |= any
	})
	f.judge = rate(len(qs), b.each, func(from, to int) {
		for _, q := range qs[from:to] {
			sink |= s.Judge(verdict.Conn{From: verdict.End{Pod: &pods[q.from]}, To: verdict.End{Pod: &pods[q.to]}, Port: q.port, Protocol: q.protocol}).Decision
		}
	})
	start, done := worked(), 0
	view := s.On(8000, corev1.ProtocolTCP)
	for _, from := range ids {
		for _, to := range ids {
			sink |= view.Decide(from, to)
		}
		if done += len(ids); worked()-start > 20*b.each {
			f.sampled = done < len(ids)*len(ids)
			break
		}
	}
	f.allPairs = time.Duration(float64(worked()-start) * float64(len(ids)*len(ids)) / float64(done))
}

func (f *figures) askTheirs(m *matcher.Policy, w verdict.World, pods []verdict.Pod, qs []question, b budget) {
	all := make([]*matcher.Traffic, min(len(qs), 2048)) // made ahead, and not counted
	for i := range all {
		all[i] = traffic(w, qs[i], pods)
	}
	ask := func(all []*matcher.Traffic) {
		for _, t := range all {
			if m.IsTrafficAllowed(t).IsAllowed() {
				sink |= verdict.Allow
			}
		}
	}
	f.decide = rate(len(all), b.each, func(from, to int) { ask(all[from:to]) })
	one := make([]*matcher.Traffic, len(all)) // the same pairs on one port
	for i := range one {
		one[i] = traffic(w, question{qs[i].from, qs[i].to, 8000, corev1.ProtocolTCP}, pods)
	}
	pair := rate(len(one), b.each, func(from, to int) { ask(one[from:to]) })
	f.allPairs, f.sampled = time.Duration(pair.mean*float64(len(pods))*float64(len(pods))), true
}

// compare counts how often and why the two differ, for as long as there is time.
func (r *result) compare(s *verdict.Snapshot, m *matcher.Policy, w verdict.World, pods []verdict.Pod, qs []question, b budget) {
	for start := worked(); r.compared < len(qs) && worked()-start < 2*b.each; r.compared++ {
		q := qs[r.compared]
		from, to := pods[q.from], pods[q.to]
		ours := s.Judge(verdict.Conn{From: verdict.End{Pod: &from}, To: verdict.End{Pod: &to}, Port: q.port, Protocol: q.protocol})
		theirs := m.IsTrafficAllowed(traffic(w, q, pods)).IsAllowed()
		if why := difference(ours.Decision, theirs, from, to); why != "" {
			r.differences[why]++
			if why == unexplained && r.differences[why] == 1 {
				fmt.Printf("%s to %s %d/%s: ours %s (%s), theirs %v\n", from.Key(), to.Key(), q.port, q.protocol, ours.Decision, ours.Reason, theirs)
			}
		}
	}
}

// percentile of durations, which it sorts; zero of none.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(float64(len(all))*p))]
}
