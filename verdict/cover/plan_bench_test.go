package cover

import (
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/platform"
)

// BenchmarkPlan covers a cluster of 1,000 pods and 250 policies, and one of 5,000
// and 1,000, with the default bound of 100,000 probes.
func BenchmarkPlan(b *testing.B) {
	for name, size := range map[string]platform.Size{"1000x250": {Pods: 1000, Policies: 250}, "5000x1000": {Pods: 5000, Policies: 1000}} {
		s := verdict.Compile(platform.New(size))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p := Plan(s, Options{})
				if p.Rules.Covered == 0 || p.Rules.Covered < p.Rules.Total {
					b.Fatalf("rules %+v", p.Rules)
				}
				b.ReportMetric(float64(len(p.List)), "probes")
				b.ReportMetric(p.ClassPairs.Percent(), "%classpairs")
				b.ReportMetric(float64(len(p.Unreachable)), "unreachable")
			}
		})
	}
}
