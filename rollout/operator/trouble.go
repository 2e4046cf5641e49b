package operator

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// maxFailureRate is how often a path may fail before the change and still have a
// vote after it. One that fails more often needs so many failures in a row to be
// judged that a cut would be seen late.
const maxFailureRate = 0.1

// unqualified says why a check does not work well enough before the change;
// empty: it does. The rate of the whole window counts, so that one lost packet
// takes nobody's vote, and a path that is down now has none, however long it worked.
func (p *picture) unqualified(s sight) string {
	st := s.state
	attempts := st.ConnectedSinceMark + st.BlockedSinceMark
	switch {
	case attempts < minSamples || !p.fresh(s):
		return "not enough recent attempts before the change"
	case st.Last.Blocked() && st.Streak >= p.needed(s.route.via):
		return fmt.Sprintf("it does not work before the change: the newest %d attempts ended %s", st.Streak, st.Last)
	case float64(st.BlockedSinceMark) > maxFailureRate*float64(attempts):
		return fmt.Sprintf("it does not work well enough before the change: %d of %d attempts failed", st.BlockedSinceMark, attempts)
	case st.ConnectedSinceMark < minSamples:
		return "not enough attempts got through before the change"
	}
	if part := p.partly(s, p.plan.Paths[s.route.path]); part.denied != nil {
		return fmt.Sprintf("it does not work before the change at pod %s/%s, one of those behind its Service: %s", part.denied.pod.Namespace, part.denied.pod.Name, part.why.Rule())
	}
	return ""
}

// unexplainedLasts is how long failures must last that no policy explains, to be more
// than a hiccup: the kubelet takes a second or two to say that a target restarts.
const unexplainedLasts = 3 * time.Second

// explained reports whether the live policies deny what a check tries, at either
// end. A name that does not resolve is explained by policies that deny the
// questions of its source to the cluster's name servers, too.
func (p *picture) explained(s sight, path plan.Path) bool {
	if p.predicted(s, path) == verdict.Deny {
		return true
	}
	return s.state.Last == probes.DNSFailure && p.namesDenied(s)
}

// namesDenied reports whether the live policies keep a probe pod from asking the
// cluster's name servers.
func (p *picture) namesDenied(s sight) bool {
	src := p.world.pods[s.from]
	if src == nil {
		return false
	}
	v, ok := p.throughService(src, p.dns, "UDP")
	return ok && v.Decision == verdict.Deny
}

// lasts reports whether failures that no policy explains went on long enough to
// be more than a hiccup.
func (p *picture) lasts(s sight) bool {
	return s.state.Streak >= p.needed(s.route.via)*evidence.UnexplainedFactor && s.state.Newest.Sub(s.state.StreakSince) >= unexplainedLasts
}

// began is when the newest streak of a check began, on our clock.
func (s sight) began() time.Time { return s.state.StreakBegan() }

// isShared reports whether attempts of the same kind, over a node of the failing
// one, failed at the same time although the live policies allow them and nothing
// of any run selects either of their ends. Then it is not the run's policies that
// ail the path, or not by what they say.
//
// An attempt at the same target is no such control once ingress is enforced: the
// candidate selects the target, and would excuse every cut at it.
func (p *picture) isShared(s sight) bool {
	failing, others := p.endsOf(s), [][]sight{p.controls, p.sights}
	if p.unseen {
		others = others[:1] // a path of a suite that fails with it was not seen to work either
	}
	for _, all := range others {
		for _, c := range all {
			recent := !c.failedAt.IsZero() && p.now.Sub(c.failedAt) < unexplainedLasts
			if control := p.endsOf(c); recent && c.state.Connected > 0 && control.like(failing) && p.untouched(control) {
				return true
			}
		}
	}
	return false
}

// answers reports whether somebody else got through of late to what an attempt is
// for, be it by another way: its target, or the name servers where the name did
// not resolve. So does the kubelet, where the target says how it is to be probed.
func (p *picture) answers(s sight) bool {
	if s.state.Last == probes.DNSFailure {
		return slices.ContainsFunc(p.controls, func(c sight) bool {
			return c.route.via == v1alpha1.ViaService && c.state.Last.Connected() && p.fresh(c)
		})
	}
	target := p.plan.Paths[s.route.path]
	for _, o := range p.sights {
		same := p.plan.Paths[o.route.path].SameTarget(target)
		if s.route.via == v1alpha1.ViaPodIP {
			same = same && o.route.via == v1alpha1.ViaPodIP && o.route.target == s.route.target && o.route.address == s.route.address
		}
		if same && !(o.from == s.from && o.id == s.id) && o.state.Last.Connected() && p.fresh(o) {
			return true
		}
	}
	return slices.ContainsFunc(p.endsOf(s).to, func(b backend) bool { return probed(b.pod, b.port) && ready(b.pod) })
}

// probed reports whether the kubelet finds out by itself if a pod answers on a port:
// a pod that says nothing of readiness is called ready whatever becomes of it.
func probed(pod *corev1.Pod, port int32) bool {
	for _, c := range pod.Spec.Containers {
		if p := c.ReadinessProbe; p != nil && probesPort(c, p.ProbeHandler, port) {
			return true
		}
	}
	return false
}

func probesPort(c corev1.Container, h corev1.ProbeHandler, port int32) bool {
	at := intstr.FromInt32(0)
	switch {
	case h.TCPSocket != nil:
		at = h.TCPSocket.Port
	case h.HTTPGet != nil:
		at = h.HTTPGet.Port
	case h.GRPC != nil:
		at = intstr.FromInt32(h.GRPC.Port)
	}
	if at.Type == intstr.Int {
		return at.IntVal == port
	}
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == at.StrVal && p.ContainerPort == port })
}

// ends is what an attempt goes between, and how. An attempt whose name does not
// resolve goes to the name servers.
type ends struct {
	from     *corev1.Pod // nil: gone
	to       []backend
	protocol string
	via      v1alpha1.Via
}

func (p *picture) endsOf(s sight) ends {
	e := ends{from: p.world.pods[s.from], protocol: s.route.protocol, via: s.route.via}
	switch {
	case s.state.Last == probes.DNSFailure:
		e.to, e.protocol, e.via = p.dns, "UDP", v1alpha1.ViaService
	case s.route.via == v1alpha1.ViaPodIP:
		if pod := p.world.pods[s.route.target]; pod != nil {
			e.to = []backend{{pod, s.route.address, s.route.port}}
		}
	case s.route.path < 0:
		e.to = p.dns
	default:
		e.to = p.world.backends(p.plan.Paths[s.route.path].To.Service)
	}
	return e
}

// like reports whether two attempts are of one kind and have a node in common, as
// sources or as targets.
func (e ends) like(other ends) bool {
	if e.protocol != other.protocol || e.via != other.via || e.from == nil || other.from == nil {
		return false
	}
	if e.from.Spec.NodeName == other.from.Spec.NodeName {
		return true
	}
	for _, a := range e.to {
		for _, b := range other.to {
			if a.pod.Spec.NodeName == b.pod.Spec.NodeName {
				return true
			}
		}
	}
	return false
}

// untouched reports whether the live policies allow an attempt and no policy of a
// run selects either of its ends.
func (p *picture) untouched(e ends) bool {
	if e.from == nil || len(e.to) == 0 || p.isOurs(e.from) {
		return false
	}
	for _, b := range e.to {
		if p.isOurs(b.pod) || p.live.Judge(connect(verdictPod(e.from), verdictPod(b.pod), b.port, e.protocol)).Decision != verdict.Allow {
			return false
		}
	}
	return true
}

func (p *picture) isOurs(pod *corev1.Pod) bool { return p.ours != nil && p.ours(pod) }

// ours lists the policies of any run that select some pod, as a question to ask
// of each pod.
func (w *world) ours() func(*corev1.Pod) bool {
	var live []*networkingv1.NetworkPolicy
	for i := range w.policies {
		if np := &w.policies[i]; np.Labels[v1alpha1.LabelRun] != "" {
			live = append(live, np)
		}
	}
	return func(pod *corev1.Pod) bool {
		return slices.ContainsFunc(live, func(np *networkingv1.NetworkPolicy) bool {
			return np.Namespace == pod.Namespace && selects(&np.Spec.PodSelector, pod.Labels)
		})
	}
}

// recentWrite is how soon after a write of ours failures that nobody explains are
// held against it: longer than a policy takes to act anywhere it was measured.
func recentWrite(settle time.Duration) time.Duration { return max(10*time.Second, 3*settle) }
