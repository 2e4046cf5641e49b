package compare

import (
	"fmt"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/platform"
)

// BenchmarkDiff compares at 5,000 pods and 1,000 policies, both sides compiled
// already: ten policies taken away, and then all of them.
func BenchmarkDiff(b *testing.B) {
	w, pods := platform.New(platform.Size{Pods: 5000, Policies: 1000})
	before := verdict.Compile(w, pods)
	for _, gone := range []int{10, 1000} {
		less := w
		less.Policies = w.Policies[gone:]
		after := verdict.Compile(less, pods)
		b.Run(fmt.Sprintf("%d-policies-gone", gone), func(b *testing.B) {
			for b.Loop() {
				got := Diff(before, after, Options{Workload: app, DeclaredOnly: true})
				if got.Changed() == 0 {
					b.Fatal("nothing changed")
				}
				b.ReportMetric(float64(got.Changed()), "changes")
				b.ReportMetric(float64(len(got.List)), "lines")
			}
		})
	}
}
