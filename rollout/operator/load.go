package operator

import (
	"fmt"
	"time"
)

// Bounds of what one run may send and make. They are far above what a platform of a
// hundred paths needs.
const (
	maxProbePods     = 1000
	maxAttemptsOfRun = 20000 // a second, of all probe pods together
	maxAttemptsAtPod = 2000  // a second, at one pod that is tried by its address
)

// limitLoad refuses a plan whose probes would be a load for somebody else. Attempts that
// are made anew after a change of outcome are not counted: there are a dozen of each.
func (p *Plan) limitLoad(w *world, no *refusal) {
	agents := p.agents(w, nil)
	if n := len(agents); n > maxProbePods {
		no.add("the suites need %d probe pods, and one run makes at most %d: leave identities out, or split the rollout", n, maxProbePods)
	}
	total, at := 0.0, map[string]float64{}
	for _, a := range agents {
		each := float64(time.Second) / float64(a.plan.Interval)
		total += each * float64(len(a.plan.Checks))
		for _, r := range a.routes {
			if r.target.Name != "" { // a Service spreads attempts over its pods
				at[r.target.String()] += each
			}
		}
	}
	p.refuseRate(no, "all probe pods together would make", total, maxAttemptsOfRun)
	for _, target := range sortedKeys(at) {
		if at[target] > maxAttemptsAtPod {
			p.refuseRate(no, fmt.Sprintf("probe pods would try pod %s with", target), at[target], maxAttemptsAtPod)
			return // a suite may have thousands of targets, and one tells enough
		}
	}
}

// refuseRate refuses attempts that are too many, with the interval at which they are not.
func (p *Plan) refuseRate(no *refusal, who string, rate, most float64) {
	if rate <= most {
		return
	}
	enough := time.Duration(float64(p.Interval)*rate/most).Truncate(10*time.Millisecond) + 10*time.Millisecond
	no.add("%s %.0f attempts a second, and one run makes at most %.0f: set spec.analysis.interval to %v, or split the rollout", who, rate, most, enough)
}
