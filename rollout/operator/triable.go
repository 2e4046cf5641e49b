package operator

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// settleWays makes sure that every way of a path can be tried. A way that was not
// asked for and cannot be is left out, and the report says so; one that was asked
// for is refused: a path that nobody tries would be a path without proof.
func (p *Plan) settleWays(path *plan.Path, w *world, where string, no *refusal) {
	asked := len(path.Via) > 0
	var can []v1alpha1.Via
	for _, via := range path.Ways() {
		why := p.untriable(*path, via, w)
		switch {
		case why == "":
			can = append(can, via)
		case asked:
			no.add("%s cannot be tried by %s: %s", where, via, why)
		default:
			p.Unprobeable = append(p.Unprobeable, report.NotTested{What: fmt.Sprintf("path %q by %s", path.Name, via), Reason: why})
		}
	}
	if len(can) == 0 && !asked {
		no.add("%s cannot be tried by any way: %s", where, p.untriable(*path, v1alpha1.ViaPodIP, w))
	}
	path.Via = can
}

// untriable says why a path cannot be tried by a way; empty: it can. The agent
// would refuse the same, when it is too late to name the path.
func (p *Plan) untriable(path plan.Path, via v1alpha1.Via, w *world) string {
	t := path.To.Service
	c := p.check(path, "192.0.2.1", t.Port) // any address does: the question is whether the rest makes sense
	if via == v1alpha1.ViaService {
		svc := w.services[types.NamespacedName{Namespace: t.Namespace, Name: t.Name}]
		if svc != nil && path.Probe.Type.Traits().AsksNames && (svc.Spec.ClusterIP == "" || svc.Spec.ClusterIP == corev1.ClusterIPNone) {
			return "the Service has no address of its own, so a name server behind it can only be asked by the pods' addresses: use via PodIP"
		}
		if byService, ok := p.serviceCheck(w, path); ok {
			c = byService
		}
	}
	c.ID = "p"
	if err := c.Validate(); err != nil {
		return err.Error()
	}
	return ""
}

// settleExceptions carries the author's exceptions over into the plan. One for a
// path that no suite has would accept nothing: it is a mistake.
func (p *Plan) settleExceptions(spec *v1alpha1.PolicyRolloutSpec, no *refusal) {
	for _, e := range spec.Exceptions {
		at := slices.IndexFunc(p.Paths, func(path plan.Path) bool { return path.Name == e.Path })
		if at < 0 && e.OfPath() {
			no.add("spec.exceptions accepts %s for path %q, which no suite of the rollout has: correct the name", e.Type, e.Path)
		}
	}
	for i := range p.Paths {
		p.Paths[i].MayFail = spec.Accepts(v1alpha1.ExceptionUnqualifiedPath, p.Paths[i].Name) != ""
	}
}

// untriedBackends states of which targets only some pods are tried by address.
func (p *Plan) untriedBackends(w *world) []report.NotTested {
	var out []report.NotTested
	seen := map[v1alpha1.ServiceTarget]bool{}
	for _, path := range p.Paths {
		t := path.To.Service
		over := len(w.allBackends(t)) - maxBackends
		if over <= 0 || seen[t] {
			continue
		}
		seen[t] = true
		out = append(out, report.NotTested{What: fmt.Sprintf("%d of the pods behind Service %s/%s", over, t.Namespace, t.Name),
			Reason: fmt.Sprintf("paths are tried by address at the first %d pods of a Service, by name; the others are reached by its Service only", maxBackends)})
	}
	return out
}
