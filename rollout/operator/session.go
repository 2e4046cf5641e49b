package operator

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes/pods"
	"github.com/tightrope-dev/tightrope/rollout"
)

// session is what the operator remembers of a run between two passes. All of it
// can be lost: evidence then starts anew, and no gate opens on what is forgotten.
type session struct {
	ctx  context.Context // of what runs aside
	stop context.CancelFunc
	waking

	plan      *Plan
	waves     []rollout.Wave // of a run that found its wave in force, and has no plan
	lost      error          // why an armed run has no plan; nil: it has, or is not armed
	undone    string         // what a rollback without plan took back
	preflight rollout.Preflight
	refused   error
	hindrance string // why preflight, or the last act or decision of a step, could not be done; empty: it was
	check     enforcementCheck
	checked   bool     // the check is over
	parts     []string // of preflight that are over
	record    record
	soaking   soaking
	pausing
	compiled compiled

	// What the writes of the current scope did. Times are from this process's
	// monotonic clock; zero: not yet.
	place      place         // that the fields below speak of
	acked      time.Time     // every write of the scope acknowledged
	issued     time.Time     // the last write that could take a path away was sent
	tightened  time.Time     // and acknowledged
	wrote      []time.Time   // the newest writes to any policy or label of ours acknowledged
	settledAt  time.Time     // since when samples count
	bridgesAt  time.Time     // the bridges of the scope acknowledged
	releasedAt time.Time     // the markers were released from the shadow stage
	isolatedAt time.Time     // the markers' policies acknowledged
	labelledAt time.Time     // labels of production pods, or the process may not know of some
	late       string        // which node does not show the newest write yet; empty: none
	settleTime time.Duration // that what is written to a policy takes to act, at most
	labelTime  time.Duration // and a label of a pod
	resumed    bool          // from what a process before this one wrote down

	sent *turn // the newest decision whose write was not answered: it may be stored; nil: all were

	restoring
	ahead
	acceptCuts []string // paths that a person accepts to be cut by a rollback

	pods   *pods.Set                          // the probe pods and what they say
	agents map[types.NamespacedName]agentSpec // that are listened to

	of       types.NamespacedName // the run
	sees     *world               // of the cluster, in its last pass; nil: it had no plan then
	writesBy atomic.Pointer[Plan] // the plan, for other runs; nil: it has none
	listing  *listing             // what the API server says of its namespaces; nil: it was not asked
	appeared string               // what it says that others did and the cache did not show, in words; empty: nothing
	unshown  []unseen             // likewise, the policies of others that select pods
	unsure   time.Time            // since when a commit waits for what it says; zero: none does

	undated []foundCut // cuts whose first drop was not looked for yet

	tighter string // which tightening write tightened speaks of

	forms map[types.NamespacedName][]wish // what the run's policies may look like; nil: not asked yet
	own   map[types.NamespacedName]string // those that were seen, and their roles

	gaps map[types.NamespacedName]uint64 // lines of each agent that are known to be missing, in all

	stages map[types.UID]int // how far each original was seen to have come
}

func newSession(ctx context.Context, ask func()) *session {
	ctx, stop := context.WithCancel(ctx)
	s := &session{ctx: ctx, stop: stop, settleTime: defaultSettle, labelTime: defaultSettle}
	s.ask = ask
	s.pods = pods.NewSet(ctx, s.hear)
	return s
}

// setPlan has the session go by a plan, and shows other runs where it writes.
func (s *session) setPlan(p *Plan) {
	s.plan = p
	s.writesBy.Store(p)
}

// saw takes note of a version of the run. It never goes back.
func (s *session) saw(run *v1alpha1.PolicyRolloutRun) {
	if s.version == "" || newer(run.ResourceVersion, s.version) {
		s.version = run.ResourceVersion
	}
}

// close stops what runs aside, the followers above all, and waits for it.
func (s *session) close() {
	s.stop()
	if s.listing != nil {
		<-s.listing.done
	}
	s.pods.Close()
	s.record.wait()
}

// enter resets what belongs to one step.
func (s *session) enter(p place) {
	if s.place == p {
		return
	}
	s.place = p
	s.acked, s.settledAt, s.bridgesAt, s.releasedAt, s.labelledAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if s.resumed {
		s.labelledAt, s.resumed = time.Now(), false // what is waited for by time is waited for again
	}
	s.restoring = restoring{}
}

// listen makes the session hear exactly the given agents. One that is heard for the
// first time after the step has settled counts only once policies have had the time
// to judge its pod; until then nothing counts anyway.
func (s *session) listen(logs pods.LogReader, specs []agentSpec) {
	grace := time.Duration(0)
	if !s.settledAt.IsZero() {
		grace = 2 * s.settleTime
	}
	s.agents = map[types.NamespacedName]agentSpec{}
	var heard []pods.Spec
	for _, spec := range specs {
		s.agents[spec.name] = spec
		heard = append(heard, spec.pod(s.plan.key()))
	}
	s.pods.Listen(logs, grace, heard)
}
