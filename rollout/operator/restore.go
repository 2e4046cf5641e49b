package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// restoreStage is how far a rollback has come. It is forgotten with the process;
// starting over is harmless.
type restoreStage uint8

const (
	restoreWiden   restoreStage = iota // make the bridges select everyone they may
	restoreRecover                     // wait until the probes get through again
	restoreClear                       // neutralise, then delete candidates, labels, bridges
	restoreVerify                      // watch the baseline without anything of ours
	restoreDone
)

// recoverDeadline is how long a rollback waits for the probes to get through
// over the widened bridges, before it takes the candidates away regardless, and
// longer where policies are slow to act.
const recoverDeadline = 10 * time.Second

func (s *session) recoverWithin() time.Duration { return max(recoverDeadline, 3*s.settleTime) }

// restoring is what a session remembers of a rollback. The zero value has not begun.
type restoring struct {
	restore   restoreStage
	restoreAt time.Time     // when that stage was entered
	tried     time.Time     // the first restoring write was tried
	healed    bool          // every path worked again over the widened bridges
	ailing    map[cell]bool // paths that did not, though no live policy denies them
	mends     mends         // the policies that it wrote
	weighed   bool          // harm speaks of this cluster
	harm      string        // why taking the candidates away would cut a path that works; empty: it would not
}

func (s *session) reach(stage restoreStage) {
	s.restore, s.restoreAt = stage, time.Now()
}

// actBack is act for a run that goes back, or that was widened and could not be
// cleared. Restoring comes first; what it needs to be seen comes after it.
func (r *RunReconciler) actBack(ctx context.Context, s *session, w *world, at rollout.State) error {
	if err := r.restore(ctx, s, w, at); err != nil || s.restore == restoreWiden {
		return err
	}
	if s.pods.Len() > 0 && at.Phase == v1alpha1.PhaseRollingBack {
		return nil
	}
	_, err := r.ensureAgents(ctx, s, w) // after a restart: without them nothing shows that it is back
	return err
}

// restore takes a live change back. It is two acts. Widening is done at once and
// always: every path that worked works again. Clearing takes the candidates away
// under that cover, then the bridges, and only where what others left allows
// every path that works now; else the run stays widened until it does.
func (r *RunReconciler) restore(ctx context.Context, s *session, w *world, at rollout.State) error {
	s.enter(place{kind: rollback})
	if s.tried.IsZero() || at.Phase == v1alpha1.PhaseHeld {
		s.tried = time.Now() // a run that is held has time
	}
	switch s.restore {
	case restoreWiden:
		strangers := s.strangers(w)
		s.stages = nil // they go back
		wide := slices.DeleteFunc(append(s.wide(at, strangers), s.plan.wholeWishes(w)...), func(x wish) bool { return s.widened[x.key()] })
		s.reaction.send()
		if err := r.spare(ctx, s.plan.Run, w, s.acting(w), wide, strangers); err != nil {
			return err
		}
		s.reach(restoreRecover)
		s.widened = nil
		s.reaction.restored()
		s.note(s.restoreAt)
		s.record.restored(s.restoreAt)
		s.pods.Mark(s.restoreAt)
	case restoreRecover:
		return r.recover(ctx, s, w, at)
	case restoreClear:
		return r.clear(ctx, s, w, at)
	case restoreVerify:
		if s.verified(w) {
			s.reach(restoreDone)
		}
	}
	return nil
}

// wide are the bridges as the rollback wants them now.
func (s *session) wide(at rollout.State, strangers []verdict.Policy) []wish {
	return sparing(s.plan.wideWishes(s.scopeOf(at.Step)), strangers, s.plan.Run)
}

// recover waits until the probes get through over the widened bridges, keeps
// those wide, and weighs whether the candidates may be taken away.
func (r *RunReconciler) recover(ctx context.Context, s *session, w *world, at rollout.State) error {
	r.dateBreaks(ctx, s)
	strangers := s.strangers(w)
	if err := r.mend(ctx, s, w, append(w.seen(s.wide(at, strangers)), s.plan.wholeWishes(w)...), strangers); err != nil {
		return err
	}
	if len(s.plan.Originals) > 0 && time.Since(s.restoreAt) < 2*s.settleTime {
		return nil // no node may lose the candidates before it has the originals again, and no marker shows those
	}
	lacking := s.lacking(w, 1)
	if len(lacking) > 0 && time.Since(s.restoreAt) < s.recoverWithin() {
		return nil
	}
	if len(s.baselineChanges(w)) > 0 && time.Since(s.restoreAt) < 2*s.settleTime+s.plan.Interval+s.plan.Timeout {
		return nil // what works now is known once the newest attempts were made under what was written
	}
	if !s.weighed {
		s.healed, s.ailing = len(lacking) == 0, s.ailingOf(lacking)
	}
	s.harm, s.weighed = s.harmOfClearing(w), true
	if s.harm == "" && at.Phase == v1alpha1.PhaseRollingBack {
		s.reach(restoreClear)
	}
	return nil
}

// ailingOf are the cells of lacking checks that fail although no live policy
// denies them, and that were not what the rollback is for.
func (s *session) ailingOf(lacking []lack) map[cell]bool {
	out := map[cell]bool{}
	for _, x := range lacking {
		_, cut := s.record.wasCut(x.cell)
		out[x.cell] = x.ails && !cut
	}
	return out
}

// unclearable says why a rollback may not take the candidates away; empty: it may,
// or it has not come that far.
func (s *session) unclearable(at rollout.State) string {
	if at.Phase == v1alpha1.PhaseHeld && at.Cause == rollout.CauseBaselineChanged && !s.weighed {
		return "the run was taken up again and has not looked at the policies of others yet"
	}
	return s.harm
}

// harmOfClearing says which paths that work now would be cut if everything of
// ours were gone, because of what somebody did to the baseline; empty: none.
func (s *session) harmOfClearing(w *world) string {
	changes := s.baselineChanges(w)
	if len(changes) == 0 {
		return ""
	}
	cut := s.cutByClearing(w)
	if len(cut) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("taking the candidates away would now cut paths that work, so they stay, with the bridges wide open:")
	for _, name := range sortedKeys(cut) {
		fmt.Fprintf(&b, " %s (%s);", name, cut[name])
	}
	for _, c := range changes {
		fmt.Fprintf(&b, " %s;", c.what)
	}
	b.WriteString(" put that back, or add a policy that allows these paths, and the rollback goes on by itself;" +
		" to go on although they would be cut, name them in spec.acceptCuts of the run\n")
	for _, c := range changes {
		b.WriteString(c.stored())
	}
	return b.String()
}

// cutByClearing are the paths that must work and are not known to be dead, which
// what is live allows and what would be left denies, with the rules. What a policy
// that appeared denies by itself is not cut by clearing: somebody isolated a pod.
func (s *session) cutByClearing(w *world) map[string]string {
	p := s.look(w, rollout.Bridged, time.Now())
	without := *p
	without.live, without.sights = s.without(w), nil // what is seen now says nothing of that world
	planned := without
	planned.live = s.unisolated(w)
	cut := map[string]string{}
	tried := map[cell]bool{}
	for _, x := range p.sights {
		path := s.plan.Paths[x.route.path]
		tried[cell{x.route.path, x.route.via}] = true
		if !p.mustWork(x) || p.dead(x) || slices.Contains(s.acceptCuts, path.Name) {
			continue
		}
		if rule := p.losesBy(&without, x, path); rule != "" && p.losesBy(&planned, x, path) != "" {
			cut[path.Name] = rule
		}
	}
	for c := range s.record.rows { // nobody is heard of it: what the policies say has to do
		path := s.plan.Paths[c.path]
		if !tried[c] && p.mustWork(sight{route: route{path: c.path, via: c.via}}) && !slices.Contains(s.acceptCuts, path.Name) {
			for _, conn := range s.plan.connections(w, path) {
				v := without.live.Judge(conn)
				if v.Decision == verdict.Deny && p.live.Judge(conn).Decision != verdict.Deny && planned.live.Judge(conn).Decision == verdict.Deny {
					cut[path.Name] = v.Rule()
				}
			}
		}
	}
	return cut
}

// losesBy is the rule by which another world denies a check what this one allows;
// empty: it does not.
func (p *picture) losesBy(other *picture, x sight, path plan.Path) string {
	if v, ok := other.explain(x, path); ok && v.Decision == verdict.Deny && p.predicted(x, path) != verdict.Deny {
		return v.Rule()
	}
	if part := other.partly(x, path); part.denied != nil && p.partly(x, path).denied == nil {
		return part.why.Rule()
	}
	if path.To.Service.Name != "" && x.route.via == v1alpha1.ViaService && other.namesDenied(x) && !p.namesDenied(x) {
		return "the source could not look names up"
	}
	return ""
}

// dead reports whether a path has failed for so long that nothing is lost with it.
// A target that restarts and a probe pod that is not heard say no such thing.
func (p *picture) dead(x sight) bool {
	return p.fresh(x) && x.state.Last.Blocked() && x.state.Newest.Sub(x.state.StreakSince) >= recoverDeadline
}

// clear takes one kind of object away per pass, inert before gone. Until the bridges
// are, they leave alone what somebody isolates meanwhile.
func (r *RunReconciler) clear(ctx context.Context, s *session, w *world, at rollout.State) error {
	if strangers := s.strangers(w); len(strangers) > 0 {
		open := slices.DeleteFunc(w.seen(s.wide(at, strangers)), func(x wish) bool { return x.have == nil || inert(x.have) })
		if err := r.mend(ctx, s, w, open, strangers); err != nil {
			return err
		}
	}
	candidates := append(s.plan.candidateWishes(rollout.Inert), s.plan.finalWishes(rollout.Inert)...)
	if there := w.exists(candidates); len(there) > 0 {
		if len(w.unmet(there)) > 0 {
			return r.neutralise(ctx, s, there)
		}
		return r.remove(ctx, there)
	}
	if _, err := labelPods(ctx, r.restoring().Write, w, v1alpha1.LabelEnforced, s.plan.Run, nil); err != nil {
		return err
	}
	if wrote, err := r.release(ctx, s, w); err != nil || wrote {
		return err
	}
	if time.Since(s.restoreAt) < 2*s.settleTime {
		return nil // every node must have dropped the candidates before the bridges go
	}
	if there := w.exists(s.plan.bridgeWishes(rollout.Inert)); len(there) > 0 {
		if len(w.unmet(there)) > 0 {
			if err := r.neutralise(ctx, s, there); err != nil {
				return err
			}
			s.bridgesAt = time.Now()
			s.pods.Mark(s.bridgesAt)
			return nil
		}
		if !s.shown(w, s.bridgesAt, s.settleTime) && time.Since(s.bridgesAt) < s.recoverWithin() {
			return nil // a node that sees the deletion first may keep the bridge
		}
		return r.remove(ctx, append(there, w.exists(s.plan.markerWishes())...))
	}
	s.reach(restoreVerify)
	s.pods.Mark(s.restoreAt)
	return nil
}

// marked reports whether a production pod still wears the run's label.
func (s *session) marked(w *world) bool {
	for _, pod := range w.pods {
		if pod.Labels[v1alpha1.LabelRole] == "" && pod.Labels[v1alpha1.LabelEnforced] == s.plan.Run {
			return true
		}
	}
	return false
}

// verified reports whether the baseline was seen to work, without anything of
// ours in the way: enough samples of every path. A path that ails for a cause of
// its own is waited for and then left out; the report says so. What somebody else
// did to the baseline meanwhile is not ours to undo.
func (s *session) verified(w *world) bool {
	if s.marked(w) {
		return false
	}
	overdue := time.Since(s.restoreAt) > s.recoverWithin()
	for _, x := range s.lacking(w, minSamples) {
		if !(overdue && x.ails && s.ailing[x.cell]) {
			return false
		}
	}
	return s.pods.Len() > 0
}

// lack is a path that does not work, by one check.
type lack struct {
	cell cell
	ails bool // it was tried of late and fails, though no live policy denies it
}

// lacking lists the checks of paths that worked before the change and do not show
// so many successes since the last mark. Paths that others deny by now are not
// ours to bring back.
func (s *session) lacking(w *world, samples int64) []lack {
	p := s.look(w, rollout.Bridged, time.Now())
	without := *p // the world without anything of ours
	without.live = s.without(w)
	var out []lack
	seen := map[cell]bool{}
	for _, x := range p.sights {
		path := s.plan.Paths[x.route.path]
		if !p.mustWork(x) {
			continue
		}
		seen[cell{x.route.path, x.route.via}] = true
		if x.state.Last.Connected() && x.state.ConnectedSinceMark >= samples && p.fresh(x) || without.explained(x, path) {
			continue
		}
		down := p.moved(x) || p.alive(x) == probes.AliveNo
		ails := p.fresh(x) && (down || x.state.Last.Blocked() && !p.explained(x, path))
		out = append(out, lack{cell{x.route.path, x.route.via}, ails})
	}
	for c := range s.record.rows { // nobody tries it any more: its target is gone
		path := s.plan.Paths[c.path]
		if !seen[c] && path.Expect == v1alpha1.ExpectAllow && path.Votes() && (p.qualified == nil || p.qualified[c]) {
			out = append(out, lack{c, s.pods.Len() > 0})
		}
	}
	return out
}

// mustWork reports whether a check is of a path that must work and did before the change.
func (p *picture) mustWork(x sight) bool {
	path := p.plan.Paths[x.route.path]
	c := cell{x.route.path, x.route.via}
	return !x.route.witness && path.Expect == v1alpha1.ExpectAllow && path.Votes() && (p.qualified == nil || p.qualified[c])
}
