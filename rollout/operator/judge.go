package operator

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// minSamples is how many conclusive samples a check needs before its cell is proved.
const minSamples = evidence.MinSamples

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
	// recent reports whether failures that began at a time may be the effect of a write of ours; nil: they may not.
	recent  func(began time.Time) bool
	planned *verdict.Snapshot // what is live, without what others did meanwhile; nil: not known
	foreign string            // what they did, in words
	rows    []evidence.Row    // of the plan; nil: judge lists them
	cells   []cell            // of the rows

	// What judge made of it.
	facted  evidence.Look
	sighted []int // by check of facted, its sight; -1: it has none
	weighed []evidence.Judged
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

// fresh reports whether the newest word of a check is young enough to prove
// anything. An agent speaks of each of its checks at least once a second, or as often as
// its lines have room: see toldInTime.
func (p *picture) fresh(s sight) bool {
	return p.now.Sub(s.state.LastReceived) < p.freshness()
}

func (p *picture) freshness() time.Duration { return p.plan.freshness() }

func (p *Plan) freshness() time.Duration { return 4*(p.Interval+p.Timeout) + freshSpare }

// freshSpare is what a word may be older than four attempts take.
const freshSpare = 2 * time.Second

func (p *picture) needed(via v1alpha1.Via) int { return evidence.Needed(p.threshold, via) }

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
