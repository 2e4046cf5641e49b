package verdict_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/platform"
)

// name is how figures are reported: pods x policies.
func name(s platform.Size) string { return fmt.Sprintf("pods=%d/policies=%d", s.Pods, s.Policies) }

// question is one connection to decide about.
type question struct {
	from, to verdict.PodID
	port     int32
}

// questions are between random pods, on the ports that such clusters use.
func questions(s *verdict.Snapshot, n int) []question {
	r := rand.New(rand.NewPCG(1, 2))
	var ids []verdict.PodID
	for id := range s.Pods() {
		ids = append(ids, id)
	}
	ports := []int32{53, 80, 443, 3000, 4000, 5432, 6333, 6379, 8000, 8080, 8888, 9090, 9100, 29400}
	all := make([]question, n)
	for i := range all {
		all[i] = question{ids[r.IntN(len(ids))], ids[r.IntN(len(ids))], ports[r.IntN(len(ports))]}
	}
	return all
}

// BenchmarkDecide is one warm verdict, with port and protocol, between random
// pods: nothing of it is shared with the one before.
func BenchmarkDecide(b *testing.B) {
	for _, size := range platform.Sizes() {
		for _, dual := range []bool{false, true} {
			if size.DualStack = dual; dual && size.Pods != 5000 {
				continue
			}
			b.Run(fmt.Sprintf("%s/dual=%t", name(size), dual), func(b *testing.B) {
				w, pods := platform.New(size)
				s := verdict.Compile(w, pods)
				all := questions(s, 1<<16)
				var seen [3]int
				for _, q := range all {
					seen[s.Decide(q.from, q.to, q.port, "TCP")]++
				}
				b.ReportAllocs()
				b.ResetTimer()
				var sum verdict.Decision
				for i := 0; b.Loop(); i++ {
					q := &all[i&(1<<16-1)]
					sum += s.Decide(q.from, q.to, q.port, "TCP")
				}
				runtime.KeepAlive(sum)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mverdicts/s")
				b.ReportMetric(100*float64(seen[verdict.Allow])/float64(len(all)), "%allowed")
				b.ReportMetric(100*float64(seen[verdict.Unknown])/float64(len(all)), "%unknown")
			})
		}
	}
}

// BenchmarkJudge is one verdict with its explanation.
func BenchmarkJudge(b *testing.B) {
	for _, size := range platform.Sizes() {
		b.Run(name(size), func(b *testing.B) {
			w, pods := platform.New(size)
			s := verdict.Compile(w, pods)
			all := questions(s, 1<<12)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				q := all[i&(1<<12-1)]
				s.Judge(verdict.Conn{From: verdict.End{Pod: s.Pod(q.from)}, To: verdict.End{Pod: s.Pod(q.to)}, Port: q.port})
			}
		})
	}
}

// BenchmarkAllPairs decides about every pair of pods on one port, on as many
// cores as there are.
func BenchmarkAllPairs(b *testing.B) {
	for _, size := range platform.Sizes() {
		b.Run(name(size), func(b *testing.B) {
			w, pods := platform.New(size)
			s := verdict.Compile(w, pods)
			n := len(pods)
			for b.Loop() {
				v := s.On(8000, "TCP")
				var cores sync.WaitGroup
				for core := range runtime.GOMAXPROCS(0) {
					cores.Go(func() {
						allowed := 0
						for from := core; from < n; from += runtime.GOMAXPROCS(0) {
							for to := range n {
								if v.Decide(verdict.PodID(from), verdict.PodID(to)) == verdict.Allow {
									allowed++
								}
							}
						}
						if allowed == 0 && size.Pods > 9 {
							b.Error("nothing is allowed")
						}
					})
				}
				cores.Wait()
			}
			b.ReportMetric(float64(n)*float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpairs/s")
		})
	}
}
