package operator

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// partial is what the live policies deny of a path through a Service that may send
// an attempt to other pods, too. The zero value denies nothing.
type partial struct {
	denied *backend        // one of those that may not be reached; nil: there is none
	why    verdict.Verdict // of that one
	share  float64         // of the ready pods, 0 to 1
}

// partly says which pods behind a Service the live policies deny an attempt, where
// they allow it others. Pods that were seen to be reached at their own address, by
// the same probe pod, are left out.
func (p *picture) partly(s sight, path plan.Path) partial {
	src := p.world.pods[s.from]
	if s.route.via != v1alpha1.ViaService || src == nil {
		return partial{}
	}
	var out partial
	all, shut, readyShut, readyAll := 0, 0, 0, 0
	for _, b := range p.world.allBackends(path.To.Service) {
		v := p.live.Judge(connect(verdictPod(src), verdictPod(b.pod), b.port, path.Protocol()))
		denies := v.Decision == verdict.Deny && !p.reached(s, b)
		all++
		if ready(b.pod) {
			readyAll++
		}
		if !denies {
			continue
		}
		if shut++; out.denied == nil {
			out.denied, out.why = &b, v
		}
		if ready(b.pod) {
			readyShut++
		}
	}
	if shut == 0 || shut == all {
		return partial{}
	}
	out.share = float64(readyShut) / float64(max(readyAll, 1))
	return out
}

// reached reports whether attempts of the same path from the same probe pod get
// through to the address of a backend.
func (p *picture) reached(s sight, b backend) bool {
	return slices.ContainsFunc(p.sights, func(o sight) bool {
		return o.isAt(s, b) && p.fresh(o) && o.state.Last.Connected() && o.state.ConnectedSinceMark >= minSamples
	})
}

// isAt reports whether a check is that of the same path, from the same probe pod, by
// the address of a backend.
func (s sight) isAt(through sight, b backend) bool {
	same := !s.route.witness && s.from == through.from && s.route.path == through.route.path && s.route.via == v1alpha1.ViaPodIP
	return same && s.route.target == types.NamespacedName{Namespace: b.pod.Namespace, Name: b.pod.Name} && s.route.address == b.addr
}
