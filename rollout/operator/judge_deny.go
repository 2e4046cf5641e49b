package operator

import (
	"fmt"
	"slices"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// openBackend says which pod behind a Service the live policies let an attempt on a
// forbidden path through to, unless attempts at the pod's own address were stopped
// all the same; empty: none. A Service chooses the pod, so the attempts through it
// that were stopped say nothing of one that they may not have been sent to.
func (p *picture) openBackend(s sight, path plan.Path) string {
	src := p.world.pods[s.from]
	if s.route.via != v1alpha1.ViaService || src == nil {
		return ""
	}
	for _, b := range p.world.allBackends(path.To.Service) {
		v := p.live.Judge(connect(verdictPod(src), verdictPod(b.pod), b.port, path.Protocol()))
		if v.Decision == verdict.Allow && !p.stopped(s, b) {
			return fmt.Sprintf("the live policies allow it to pod %s/%s, and a Service may send any attempt there: %s", b.pod.Namespace, b.pod.Name, allowedBy(v))
		}
	}
	return ""
}

// stopped reports whether every attempt of the same path from the same probe pod at
// the address of a backend was stopped.
func (p *picture) stopped(s sight, b backend) bool {
	return slices.ContainsFunc(p.sights, func(o sight) bool {
		return o.isAt(s, b) && p.fresh(o) && o.state.Last.Stopped() && o.state.ConnectedSinceMark == 0 && o.state.StoppedSinceMark >= minSamples
	})
}

// breached is when a forbidden path that the scope should block was last heard to
// get through, if only once; zero: never.
func (p *picture) breached(cells map[cell]*judged) time.Time {
	var last time.Time
	for _, s := range p.sights {
		c := cell{s.route.path, s.route.via}
		if s.route.witness || p.plan.Paths[c.path].Expect != v1alpha1.ExpectDeny || !p.settled || !cells[c].required {
			continue
		}
		if p.forbids(s, p.plan.Paths[c.path]) {
			last = later(last, s.connectedAt)
		}
	}
	return last
}

// forbids reports whether an attempt on a forbidden path should be stopped by now:
// when all is enforced, whatever the live policies say.
func (p *picture) forbids(s sight, path plan.Path) bool {
	return p.scope == rollout.Everyone || p.scope.Live() && p.predicted(s, path) == verdict.Deny
}

// witnessed says whether somebody got through to the same target by the same way of
// late, since the scope took effect: to the address of the pod, or through the Service.
// A pod that answers at its address says nothing of a Service that leads nowhere.
func (p *picture) witnessed(s sight, path plan.Path) probes.Alive {
	for _, w := range p.sights {
		serves := w.route.witness && w.route.path == s.route.path || !w.route.witness && w.route.path == path.WitnessPath
		same := w.route.via == s.route.via && w.route.target == s.route.target && w.route.address == s.route.address
		if len(path.WitnessWays) == 0 && w.route.witness && s.route.via == v1alpha1.ViaService && w.route.via == v1alpha1.ViaPodIP {
			pod := p.world.pods[w.route.target] // of an earlier release's plan
			same = pod != nil && ready(pod)
		}
		if serves && same && w.state.Last.Connected() && w.state.ConnectedSinceMark > 0 && p.fresh(w) {
			return probes.AliveYes
		}
	}
	return probes.AliveUnknown
}
