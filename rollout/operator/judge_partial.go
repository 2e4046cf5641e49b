package operator

import (
	"fmt"
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

// shareOfFailures is how many of the failures that a share of denied pods lets expect
// must be there to be its effect: half of them leave room for chance, and a network
// that loses packets without such a policy is not judged by it at all.
const shareOfFailures = 0.5

// judgePartly judges a path through a Service of which the live policies deny some
// pods. Failures at about the share of those pods are a
// cut, however many attempts get through in between. Until there are enough the path
// is not proved either: attempts that got through went to other pods.
func (p *picture) judgePartly(s sight, path plan.Path, j *judged) {
	part := p.partly(s, path)
	if part.denied == nil {
		return
	}
	j.proved = false
	j.note = fmt.Sprintf("a Service may send any attempt to pod %s/%s, and the live policies deny that: %s", part.denied.pod.Namespace, part.denied.pod.Name, part.why.Rule())
	failed := s.state.BlockedSinceMark
	if !path.Votes() || !p.settled || failed == 0 {
		return
	}
	expected := part.share * float64(failed+s.state.ConnectedSinceMark)
	if part.share > 0 && failed >= int64(max(p.threshold, minSamples)) && float64(failed) >= shareOfFailures*expected {
		j.cut = &s
	} else {
		j.failing, j.undecided = &s, true
	}
}
