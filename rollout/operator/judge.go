package operator

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
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
	from  types.NamespacedName // the probe pod
	plan  string               // digest of the plan that it followed
	id    string
	route route
	state probes.CheckState
	// When an attempt was last heard to fail, and to get through, on our clock; zero: never.
	failedAt, connectedAt time.Time
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
	controls  []sight // checks of ours that no path of a suite declares
	dns       []backend
	// ours reports whether a policy of some run selects the pod; nil: none does.
	ours func(*corev1.Pod) bool
	// unseen says that nobody saw the paths work before the policies were there. Then a
	// target that answers nobody may be down, and no failure at it is a cut by itself.
	unseen bool
	since  time.Time // when a look at paths that nobody changes began; zero: it goes by marks alone
}

// see adds what a check has seen. One of our own that is no control is left out.
func (p *picture) see(x sight) {
	switch {
	case x.route.path >= 0:
		p.sights = append(p.sights, x)
	case x.route.protocol != "":
		p.controls = append(p.controls, x)
	}
}

// judged is what a pass says of one cell. The zero judged is a cell that nobody
// tries: it proves nothing.
type judged struct {
	tried, required, proved bool
	due, holds              bool // the path is to be as expected by now, and is: also one that has no vote
	works                   bool // before the change: often enough to vote after it
	undecided               bool // fails, and whose trouble that is shows later
	note                    string
	cut, leak               *sight
	failing                 *sight // too few failures to decide on, but the live policies explain them
	shared                  *sight // fails, no policy denies it, and attempts that nothing of ours selects fail with it
}

// judge says what the picture proves, cell by cell. It walks the cells of the
// plan and not the checks there are: a path that nobody tries any more, because
// its Service is gone, is a path without proof.
func (p *picture) judge() map[cell]*judged {
	out := map[cell]*judged{}
	for i, path := range p.plan.Paths {
		for _, via := range path.Ways() {
			out[cell{i, via}] = &judged{}
		}
	}
	for _, s := range p.sights {
		if s.route.witness {
			continue
		}
		c := cell{s.route.path, s.route.via}
		j := out[c]
		if j == nil {
			continue // the way was taken out of the plan
		}
		if !j.tried {
			j.tried, j.proved, j.works = true, true, true
		}
		if p.plan.Paths[c.path].Expect == v1alpha1.ExpectAllow {
			p.judgeAllow(c, s, j)
		} else {
			p.judgeDeny(c, s, j)
		}
		j.due = j.due || p.due(s, p.plan.Paths[c.path])
	}
	for c, j := range out {
		if !j.tried {
			p.judgeUntried(c, j)
		}
		j.due = j.due || j.required
		j.holds = j.proved && j.due
		j.proved = j.proved && j.required
	}
	return out
}

// due reports whether a path is to be as expected already: a forbidden one works until
// policies deny it.
func (p *picture) due(s sight, path plan.Path) bool {
	if !p.scope.Live() {
		return false
	}
	return path.Expect == v1alpha1.ExpectAllow || p.scope == rollout.Everyone || p.predicted(s, path) == verdict.Deny
}

// judgeUntried judges a cell that no check tries: it needs proof and has none.
func (p *picture) judgeUntried(c cell, j *judged) {
	path := p.plan.Paths[c.path]
	allow := path.Expect == v1alpha1.ExpectAllow
	switch {
	case !path.Votes(), !allow && !p.scope.Live(), allow && p.qualified != nil && !p.qualified[c]:
		return
	case allow && path.MayFail && p.scope == rollout.Nobody:
		return
	}
	j.required = true
	j.note = fmt.Sprintf("nobody tries it: Service %s/%s has no running pod behind it, or is gone", path.To.Service.Namespace, path.To.Service.Name)
}

func (p *picture) judgeAllow(c cell, s sight, j *judged) {
	path := p.plan.Paths[c.path]
	if p.qualified != nil && !p.qualified[c] {
		j.proved, j.note = false, "did not work before the change, so it has no vote"
		return
	}
	j.required = path.Votes()
	if p.scope == rollout.Nobody {
		// Before the change the question is which paths work: only those may vote later.
		j.required = j.required && (j.works || !path.MayFail)
		if why := p.unqualified(s); why != "" {
			j.works, j.proved, j.note = false, false, why
			j.required = j.required && !path.MayFail
		}
		return
	}
	if !p.fresh(s) || !s.state.Last.Connected() || s.state.ConnectedSinceMark < minSamples || flaps(s.state) {
		j.proved = false
	}
	p.judgePartly(s, path, j)
	if s.state.Last.Blocked() && path.Votes() && j.cut == nil {
		p.judgeFailure(s, path, j)
	}
}

// judgeFailure says whose trouble the failures of a path are. Those that the
// live policies deny are theirs, and nothing excuses them: not a target that is
// down, because a policy may have brought it down. Any others must last, because
// a target that restarts and a node that is busy fail too; then they are a cut
// as well, because a data plane may differ from the specification, unless paths
// that nothing of ours selects fail alike.
func (p *picture) judgeFailure(s sight, path plan.Path, j *judged) {
	switch explained := p.explained(s, path); {
	case p.moved(s):
		j.note = "the target's address has changed, so a failure says nothing about the policy"
	case explained && s.state.Streak >= p.needed(s.route.via):
		j.cut = &s
	case explained:
		j.failing, j.undecided = &s, true
	case p.alive(s) == probes.AliveNo:
		j.note = "the target is not ready, so a failure says nothing about the policy"
	case p.unseen && !p.answers(s):
		j.note = "it fails, no policy denies it, and nobody got through to its target, which may be down"
	case !p.lasts(s):
		j.undecided, j.note = true, "it fails, no policy denies it, and it has not failed for long"
	case p.isShared(s):
		j.shared, j.undecided, j.note = &s, true, "it fails, no policy denies it, and attempts that nothing of ours selects fail with it"
	default:
		j.cut = &s
	}
}

// flapRate is how often a path may fail in a live step and still count as working:
// well above what a busy node loses, and below what one of three backends cut off costs.
const flapRate = 0.25

func flaps(s probes.CheckState) bool {
	return s.BlockedSinceMark > 1 && float64(s.BlockedSinceMark) > flapRate*float64(s.ConnectedSinceMark+s.BlockedSinceMark)
}

// fresh reports whether the newest word of a check is young enough to prove
// anything. An agent speaks of each of its checks at least once a second.
func (p *picture) fresh(s sight) bool {
	return p.now.Sub(s.state.LastReceived) < p.freshness()
}

func (p *picture) freshness() time.Duration {
	return 4*(p.plan.Interval+p.plan.Timeout) + 2*time.Second
}

func (p *picture) needed(via v1alpha1.Via) int {
	need := max(p.threshold, minSamples)
	if via == v1alpha1.ViaService {
		return need * serviceFactor
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
	if pod := p.world.pods[s.route.target]; pod == nil || !ready(pod) {
		return probes.AliveNo
	}
	return probes.AliveUnknown
}

// moved reports whether the pod that a check tries is not at that address any more.
func (p *picture) moved(s sight) bool {
	if s.route.via == v1alpha1.ViaService {
		return false
	}
	pod := p.world.pods[s.route.target]
	return pod == nil || !hasAddress(pod, s.route.address)
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// predicted is the verdict for the actual states of both ends: the policies and
// labels that are live now. Through a Service, it is Deny only when it is for
// every pod behind it.
func (p *picture) predicted(s sight, path plan.Path) verdict.Decision {
	v, ok := p.explain(s, path)
	if !ok {
		return verdict.Unknown
	}
	return v.Decision
}

// explain judges an attempt by the live policies. Of several backends the most
// permissive verdict speaks.
func (p *picture) explain(s sight, path plan.Path) (verdict.Verdict, bool) {
	src := p.world.pods[s.from]
	if src == nil {
		return verdict.Verdict{}, false
	}
	if s.route.via == v1alpha1.ViaPodIP {
		dst := p.world.pods[s.route.target]
		if dst == nil {
			return verdict.Verdict{}, false
		}
		return p.live.Judge(connect(verdictPod(src), verdictPod(dst), s.route.port, path.Protocol())), true
	}
	return p.throughService(src, p.world.backends(path.To.Service), path.Protocol())
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
