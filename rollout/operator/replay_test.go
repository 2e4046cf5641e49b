package operator

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
)

// What probe pods said on a machine that was busy, and on one that was not, is
// judged again: the good set is never cut and is proved in every live step, and
// the bad set is cut by the rule that it lacks, for no other cause. The recordings
// are what `make busy` left, with BUSY=0, 8 and 20.
func TestRecordedRuns(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "recorded", "*.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, name := range names {
		rec, err := loadRecording(name)
		if err != nil {
			t.Fatal(err)
		}
		if seen[rec.Scenario]++; seen[rec.Scenario] > recordings {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json.gz"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newReplay(t.Context(), rec)
				defer p.session.close()
				p.play(t)
				switch rec.Scenario {
				case "zero-trust-ai-platform":
					p.wantProof(t)
				case "gw-forgot-dns":
					p.wantCut(t)
				default:
					t.Errorf("nobody says how scenario %q must end", rec.Scenario)
				}
			})
		})
	}
	if seen["zero-trust-ai-platform"] < 2 || seen["gw-forgot-dns"] < 2 {
		t.Errorf("recordings by scenario: %v; want two of each at least", seen)
	}
}

// replay is a session that hears a recording, and in place of its own writes sees
// those that were recorded. It decides anew, and goes where the recorded run went.
type replay struct {
	rec     *recording
	session *session
	stored  stored
	world   *world // nil: something has changed since it was read
	at      rollout.State

	cells    map[cell]*judged
	picture  *picture
	complete bool           // the last pass found the step's proof complete
	left     map[place]bool // by step that the run went on from: whether its proof was complete then
	back     rollout.State  // the first decision to hold or turn back; zero: there was none
	cuts     []foundCut     // that it rests on
}

func newReplay(ctx context.Context, rec *recording) *replay {
	p := &replay{rec: rec, stored: stored{}, left: map[place]bool{}}
	s := newSession(ctx, func() { // a pass that is asked for comes soon, but not one for every line
		if soon := p.session.soaking.looked.Add(tick); soon.Before(p.session.due) {
			p.session.due = soon
		}
	})
	s.plan, s.settleTime, s.record.State.Settle = rec.Plan, rec.Settle, rec.Settle
	s.record.begin(rec.Plan, time.Now())
	p.session = s
	return p
}

// play lets everything come in when it did, and makes passes at the operator's pace.
// The recorder may have heard a line later than the operator did, so where the
// recorded run goes on, what it did from then on waits a little for the proof.
func (p *replay) play(t *testing.T) {
	began := time.Now()
	lines, rest := p.rec.split()
	var lag, waited time.Duration
	for len(lines)+len(rest) > 0 {
		if len(rest) == 0 || len(lines) > 0 && lines[0].came() < rest[0].came()+lag {
			p.until(t, began.Add(lines[0].came()))
			p.hear(t, lines[0].Heard)
			lines = lines[1:]
			continue
		}
		p.until(t, began.Add(rest[0].came()+lag))
		if p.early(rest[0].State) && waited < slowestLine {
			lag, waited = lag+tick, waited+tick
			continue
		}
		if rest[0].State != nil {
			p.enter(t, *rest[0].State)
			waited = 0
		} else {
			p.change(rest[0].Object)
		}
		rest = rest[1:]
	}
}

// slowestLine is how much later than the operator a recorder may hear a line.
const slowestLine = time.Second

// until makes passes and glances until a moment.
func (p *replay) until(t *testing.T, moment time.Time) {
	s := p.session
	for time.Now().Before(moment) {
		next := s.due
		if glance := s.soaking.looked.Add(glanceEvery); p.inStep() && glance.Before(next) {
			next = glance
		}
		if !next.Before(moment) {
			break
		}
		time.Sleep(time.Until(next))
		if now := time.Now(); s.resting(now) {
			s.glance(now)
			continue
		}
		s.begin()
		s.due = time.Now().Add(p.pass(t))
	}
	time.Sleep(time.Until(moment))
}

func (p *replay) hear(t *testing.T, h *heardLine) {
	line, err := probes.ParseLine(h.Line)
	if err != nil {
		t.Fatal(err)
	}
	p.session.pods.Hear(h.Pod, line, time.Now())
}

// early reports whether the recorded run takes on a state that the replay has not
// found the reason for yet.
func (p *replay) early(next *rollout.State) bool {
	switch {
	case next == nil || !p.inStep() || placeOf(*next) == placeOf(p.at):
		return false
	case next.Cause == "":
		return !p.complete
	}
	return p.back == (rollout.State{})
}

// change puts an object into the world. What only the run itself writes is stamped
// as its write.
func (p *replay) change(f *form) {
	o, s := f.object(), p.session
	s.wake()
	was := p.stored.put(o, f.Gone)
	p.world = nil
	now := time.Now()
	switch o := o.(type) {
	case *networkingv1.NetworkPolicy:
		if s.plan.key().Made(o) {
			s.note(now)
			if o.Labels[v1alpha1.LabelRole] == roleBridge {
				s.bridgesAt = now
				s.pods.Mark(now)
			}
		}
	case *corev1.Pod:
		if was != nil && o.Labels[v1alpha1.LabelRole] == "" && was.GetLabels()[v1alpha1.LabelEnforced] != o.Labels[v1alpha1.LabelEnforced] {
			s.note(now)
		}
	}
}

// enter takes the recorded state on, and like a pass that decides begins to act on it.
func (p *replay) enter(t *testing.T, at rollout.State) {
	if p.at.Phase == v1alpha1.PhaseObserve && at.Phase != v1alpha1.PhaseObserve && p.picture != nil {
		rec := &p.session.record
		rec.LossRate, rec.Qualified = p.picture.lossRate(), evidence.Qualified{}
		for row, j := range p.picture.weighed {
			rec.Qualified[row] = j.Works && p.picture.rows[row].Allow()
		}
	}
	if at.Cause == "" && placeOf(p.at) != placeOf(at) {
		p.left[placeOf(p.at)] = p.complete
	}
	p.at = at
	p.look(t)
	p.watchWrites()
}

// look reads the world anew if anything has changed, and listens to whom it asks for.
func (p *replay) look(t *testing.T) {
	if p.world != nil {
		return
	}
	w, err := readWorld(t.Context(), p.stored)
	if err != nil {
		t.Fatal(err)
	}
	p.world = w
	p.session.listen(mute{}, p.session.plan.agents(w, w.pods[twinSpec(p.session.plan.Run).name]))
}

// inStep reports whether the run is in a step, or commits.
func (p *replay) inStep() bool {
	here := placeOf(p.at)
	return here.kind == stage || here.kind == commit
}

// pass does what a pass of the operator does, but for writing, and returns how long
// the run may rest.
func (p *replay) pass(t *testing.T) time.Duration {
	p.look(t)
	if !p.inStep() {
		return tick
	}
	s := p.session
	e, cells, picture := s.gather(p.world, p.at)
	p.cells, p.picture = cells, picture
	p.complete = s.plan.Steps[p.at.Step].Gate.Complete(e)
	next := rollout.Step(s.plan.Steps, s.plan.Limits, p.at, e, v1alpha1.IntentRun)
	if p.back == (rollout.State{}) && next.Cause != "" {
		p.back, p.cuts = next, findCuts(picture, cells, s.stepName(p.at), s.tightened)
	}
	p.watchWrites()
	return s.pace(p.at, p.at, e)
}

// watchWrites does what acting does once everything is written.
func (p *replay) watchWrites() {
	if !p.inStep() {
		return
	}
	s, now, here := p.session, time.Now(), placeOf(p.at)
	s.enter(here)
	step := s.plan.Steps[p.at.Step]
	bridges, candidates := activations(step.Scope)
	wishes := append(s.plan.bridgeWishes(bridges), s.plan.candidateWishes(candidates)...)
	if here.kind == commit {
		wishes = append(s.plan.finalWishes(rollout.Live), s.plan.candidateWishes(rollout.Inert)...)
	}
	if step.Scope.Live() && (len(p.world.unmet(wishes)) > 0 || p.unlabelled(step)) {
		s.acked, s.settledAt = time.Time{}, time.Time{}
		return
	}
	s.acknowledge(now)
	s.settle(p.world, now, step.Scope.Live())
}

// unlabelled reports whether a pod that a step enforces does not wear the label yet.
func (p *replay) unlabelled(step rollout.StepPlan) bool {
	for name, want := range p.session.enforced(p.world, step) {
		if want && p.world.pods[name].Labels[v1alpha1.LabelEnforced] != p.rec.Plan.Run {
			return true
		}
	}
	return false
}

// wantProof wants every step that the run left to have been proved when it left,
// and nothing that would have turned it back.
func (p *replay) wantProof(t *testing.T) {
	if p.back != (rollout.State{}) {
		t.Errorf("decided %+v, cuts %+v; want nothing to turn the run back", p.back, p.cuts)
	}
	steps := 0
	for here, complete := range p.left {
		if here.kind != stage && here.kind != commit {
			continue
		}
		if steps++; !complete {
			t.Errorf("%v: the recorded run went on from it, and it is not proved", here)
		}
	}
	if want := len(p.rec.Plan.Steps) + 1; steps < want && p.rec.Result == "Committed" {
		t.Errorf("the run went on from %d steps, the commit among them; want %d", steps, want)
	}
}

// wantCut wants the run to be turned back by the rule that the set lacks, and by
// nothing else.
func (p *replay) wantCut(t *testing.T) {
	if p.back.Phase != v1alpha1.PhaseRollingBack || p.back.Cause != rollout.CauseCut || len(p.cuts) == 0 {
		t.Errorf("decided %+v, cuts %+v; want a cut", p.back, p.cuts)
	}
	for _, c := range p.cuts {
		if !strings.HasPrefix(c.entry.Rule, gatewayForgotDNS) {
			t.Errorf("%s by %s is blamed on %q, want %s…", c.entry.Path, c.entry.Via, c.entry.Rule, gatewayForgotDNS)
		}
	}
}

// stored is what the API server would list.
type stored map[string]client.Object

// put takes an object in, or out once it is gone, and returns what was there before.
func (s stored) put(o client.Object, gone bool) client.Object {
	key := fmt.Sprintf("%T %s", o, client.ObjectKeyFromObject(o))
	was := s[key]
	if s[key] = o; gone {
		delete(s, key)
	}
	return was
}

// Get is there to make it a client.Reader; reading a world only lists.
func (s stored) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return fmt.Errorf("%s: a recording is only listed", key)
}

// List implements client.Reader for the kinds of a world.
func (s stored) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	for _, key := range slices.Sorted(maps.Keys(s)) {
		switch o := s[key].(type) {
		case *corev1.Namespace:
			take(list, func(l *corev1.NamespaceList) { l.Items = append(l.Items, *o) })
		case *networkingv1.NetworkPolicy:
			take(list, func(l *networkingv1.NetworkPolicyList) { l.Items = append(l.Items, *o) })
		case *corev1.Pod:
			take(list, func(l *corev1.PodList) { l.Items = append(l.Items, *o) })
		case *corev1.Service:
			take(list, func(l *corev1.ServiceList) { l.Items = append(l.Items, *o) })
		case *discoveryv1.EndpointSlice:
			take(list, func(l *discoveryv1.EndpointSliceList) { l.Items = append(l.Items, *o) })
		}
	}
	return nil
}

// take adds to a list if it is of the kind.
func take[L client.ObjectList](list client.ObjectList, add func(L)) {
	if l, ok := list.(L); ok {
		add(l)
	}
}
