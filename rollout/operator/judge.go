package operator

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/verdict"
)

// minSamples is how many conclusive samples a check needs before its cell is proved.
const minSamples = 3

// serviceFactor multiplies the failures in a row that a path through a Service
// needs to count as cut: one dead backend of two makes four misses in a row with
// p = 1/16, and that is no policy.
const serviceFactor = 3

// cell is one row of the report: one path by one way.
type cell struct {
	path int
	via  v1alpha1.Via
}

// sight is one check as seen in one pass.
type sight struct {
	agent *agentState
	id    string
	route route
	state probes.CheckState
}

// picture is all that one judgement depends on. It is data: the same picture
// gives the same judgement.
type picture struct {
	plan      *Plan
	world     *world
	live      *verdict.Snapshot
	scope     rollout.Scope
	settled   bool
	threshold int
	qualified map[cell]bool // worked before the change; nil: all
	now       time.Time
	sights    []sight
	dns       []backend
}

// judged is what a pass says of one cell.
type judged struct {
	required, proved bool
	finding          probes.Finding
	note             string
	cut, leak        *sight
	failing          *sight // too few failures to decide on, but the live policies explain them
}

// judge says what the picture proves, cell by cell.
func (p *picture) judge() map[cell]*judged {
	out := map[cell]*judged{}
	for _, s := range p.sights {
		if s.route.witness {
			continue
		}
		c := cell{s.route.path, s.route.via}
		j := out[c]
		if j == nil {
			j = &judged{proved: true}
			out[c] = j
		}
		if p.plan.Paths[c.path].Expect == v1alpha1.ExpectAllow {
			p.judgeAllow(c, s, j)
		} else {
			p.judgeDeny(c, s, j)
		}
	}
	for _, j := range out {
		j.proved = j.proved && j.required
	}
	return out
}

func (p *picture) judgeAllow(c cell, s sight, j *judged) {
	path := p.plan.Paths[c.path]
	if p.qualified != nil && !p.qualified[c] {
		j.proved, j.note = false, "did not work before the change, so it has no vote"
		return
	}
	j.required = j.required || path.votes()
	finding := probes.Judge(path.Expect, s.state.Last, p.alive(s))
	j.finding = worse(j.finding, finding)
	if finding == probes.Inconclusive && s.state.Last.Blocked() {
		j.note = "the target is not ready, so a failure says nothing about the policy"
	}
	switch {
	case finding != probes.Cut || !path.votes():
	case s.state.Streak >= p.neededFor(s, path):
		j.cut = &s
	case p.predicted(s, path) == verdict.Deny:
		j.failing = &s
	}
	if p.scope == rollout.Nobody {
		// Before the change the question is how things are, not how they should be.
		j.proved = j.proved && s.state.ConnectedSinceMark+s.state.BlockedSinceMark >= minSamples
		return
	}
	if !s.state.Last.Connected() || s.state.ConnectedSinceMark < minSamples {
		j.proved = false
	}
}

// judgeDeny judges a path that must not work. Until the ends of the attempt are
// in a state whose policies deny it, reaching the target is what should happen.
func (p *picture) judgeDeny(c cell, s sight, j *judged) {
	path := p.plan.Paths[c.path]
	if p.scope != rollout.Everyone && p.predicted(s, path) != verdict.Deny {
		return
	}
	if p.scope == rollout.Nobody {
		return
	}
	j.required = j.required || path.votes()
	alive := p.witnessed(s, path)
	finding := probes.Judge(path.Expect, s.state.Last, alive)
	j.finding = worse(j.finding, finding)
	if finding == probes.Inconclusive && alive != probes.AliveYes {
		j.note = "no witness got through to the target, so \"blocked\" proves nothing"
	}
	if finding == probes.Leak && p.settled && s.state.StreakSinceMark >= p.needed(c.via) && path.votes() {
		j.leak = &s
	}
	if finding != probes.Holds || s.state.BlockedSinceMark < minSamples {
		j.proved = false
	}
}

// worse orders findings for a row: one bad attempt decides, silence comes next.
func worse(a, b probes.Finding) probes.Finding {
	rank := map[probes.Finding]int{probes.Holds: 1, probes.Inconclusive: 0, probes.Leak: 2, probes.Cut: 3}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

func (p *picture) needed(via v1alpha1.Via) int {
	if via == v1alpha1.ViaService {
		return p.threshold * serviceFactor
	}
	return p.threshold
}

// unexplainedFactor multiplies the failures in a row that a path needs to count
// as cut while the live policies allow it: an overloaded node and a restarting
// target fail too, and then no policy is to blame. It counts all the same in
// the end, because a data plane may differ from the specification.
const unexplainedFactor = 3

func (p *picture) neededFor(s sight, path PlannedPath) int {
	need := p.needed(s.route.via)
	if s.state.Streak < need || s.state.Last == probes.DNSFailure {
		return need
	}
	if p.predicted(s, path) == verdict.Allow {
		return need * unexplainedFactor
	}
	return need
}

// alive says whether the target of an Allow attempt is known to be up. The
// kubelet's probes are traffic of the pod's own node, which no policy touches,
// so readiness is a witness of its own.
func (p *picture) alive(s sight) probes.Alive {
	if s.route.via == v1alpha1.ViaService {
		if !anyReady(p.world.backends(p.plan.Paths[s.route.path].To.Service)) {
			return probes.AliveNo
		}
		return probes.AliveUnknown
	}
	pod := p.world.pods[s.route.target]
	if pod == nil || pod.Status.PodIP != s.route.address || !ready(pod) {
		return probes.AliveNo
	}
	return probes.AliveUnknown
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// witnessed says whether somebody got through to the same pod of late.
func (p *picture) witnessed(s sight, path PlannedPath) probes.Alive {
	fresh := 4*(p.plan.Interval+p.plan.Timeout) + 2*time.Second
	for _, w := range p.sights {
		serves := w.route.witness && w.route.path == s.route.path || !w.route.witness && w.route.path == path.WitnessPath
		same := s.route.via == v1alpha1.ViaService || w.route.target == s.route.target
		if serves && same && w.state.Last.Connected() && p.now.Sub(w.state.LastReceived) < fresh {
			return probes.AliveYes
		}
	}
	return probes.AliveUnknown
}

// predicted is the verdict for the actual states of both ends: the policies and
// labels that are live now. Through a Service, it is Deny only when it is for
// every pod behind it.
func (p *picture) predicted(s sight, path PlannedPath) verdict.Decision {
	v, ok := p.explain(s, path)
	if !ok {
		return verdict.Unknown
	}
	return v.Decision
}

// explain judges an attempt by the live policies. Of several backends the most
// permissive verdict speaks.
func (p *picture) explain(s sight, path PlannedPath) (verdict.Verdict, bool) {
	src := p.world.pods[s.agent.spec.name]
	if src == nil {
		return verdict.Verdict{}, false
	}
	if s.route.via == v1alpha1.ViaPodIP {
		dst := p.world.pods[s.route.target]
		if dst == nil {
			return verdict.Verdict{}, false
		}
		return p.live.Judge(connect(verdictPod(src), verdictPod(dst), s.route.port, path.protocol())), true
	}
	return p.throughService(src, p.world.backends(path.To.Service), path.protocol())
}

func (p *picture) throughService(src *corev1.Pod, backends []backend, protocol string) (verdict.Verdict, bool) {
	var last verdict.Verdict
	for _, b := range backends {
		v := p.live.Judge(connect(verdictPod(src), verdictPod(b.pod), b.port, protocol))
		if v.Decision != verdict.Deny {
			return v, true
		}
		last = v
	}
	return last, len(backends) > 0
}

// blame names the rule that cut an attempt, and the kind of cause.
func (p *picture) blame(s sight) (cause, rule string) {
	path := p.plan.Paths[s.route.path]
	src := p.world.pods[s.agent.spec.name]
	if s.state.Last == probes.DNSFailure && src != nil {
		if v, ok := p.throughService(src, p.dns, "UDP"); ok && v.Decision == verdict.Deny {
			return "DNS", v.Rule()
		}
		return "DNS", "the name of the target did not resolve"
	}
	cause = "Policy"
	if path.Probe.Type == v1alpha1.ProbeDNS {
		cause = "DNS"
	}
	if v, ok := p.explain(s, path); ok && v.Decision == verdict.Deny {
		return cause, v.Rule()
	}
	return "Unexplained", "the live policies allow it, yet it does not work: the data plane differs from the specification, or the target failed"
}

// blameLeak says why a path that must not work does: the policies allow it, or
// the data plane does not do what they say.
func (p *picture) blameLeak(s sight) string {
	v, ok := p.explain(s, p.plan.Paths[s.route.path])
	switch {
	case ok && v.Decision == verdict.Allow:
		return "the candidate allows it: " + v.Rule()
	case ok && v.Decision == verdict.Deny:
		return "it gets through although the live policies deny it: " + v.Rule()
	}
	return "it gets through, and the live policies do not say whether it may"
}

// nameServers are the pods that answer for the cluster's DNS.
func (w *world) nameServers() []backend {
	for key, svc := range w.services {
		if svc.Labels["k8s-app"] == "kube-dns" || key == (types.NamespacedName{Namespace: "kube-system", Name: "kube-dns"}) {
			return w.backends(v1alpha1.ServiceTarget{Namespace: key.Namespace, Name: key.Name, Port: 53, Protocol: "UDP"})
		}
	}
	return nil
}
