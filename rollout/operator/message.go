package operator

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
)

// stepName is what people call the place a state is in.
func (s *session) stepName(at rollout.State) string {
	if s.plan == nil {
		return rollout.StepName(nil, at)
	}
	return rollout.StepName(s.plan.Steps, at)
}

// message says in a few sentences where the run is, why, and what a person can do.
func (s *session) message(t turn, cuts []v1alpha1.CutStatus) string {
	switch t.next.Cause {
	case rollout.CauseRefused, rollout.CauseNotEnforced:
		if s.refused != nil {
			return s.refused.Error()
		}
	case rollout.CauseInPlace:
		return "every policy of the rollout is in place already: nothing was rolled out, and nothing was tested"
	case rollout.CauseCut:
		if len(cuts) > 0 {
			return fmt.Sprintf("%s was cut in %s: %s", cuts[0].Path, cuts[0].Phase, cuts[0].Rule)
		}
	case rollout.CauseLeak:
		return s.heldMessage(t)
	case rollout.CauseUnexplained:
		return fmt.Sprintf("these paths failed soon after a write: %q; no policy denies them, and attempts that nothing of a run selects failed with them, so neither the policies nor the network is proved at fault", t.evidence.Unexplained)
	case rollout.CauseSilent:
		return s.silentMessage(t)
	case rollout.CauseAborted:
		return "somebody asked to abort"
	case rollout.CauseForeign:
		return cmp.Or(t.evidence.Foreign, "what the plan rests on was changed by somebody else") + ", so the plan no longer holds"
	case rollout.CausePaused:
		return fmt.Sprintf("paused in %s by spec.intent of the run: nothing goes forward until it is Run again, and a path that is cut is given back", cmp.Or(s.stepName(t.next), string(t.next.Phase)))
	case rollout.CauseWaiting:
		return waitsFor(s.plan.Rollout, s.plan.Steps[t.next.Step])
	case rollout.CauseBaselineChanged:
		return cmp.Or(t.evidence.Unclearable, "the policies of others allow every path again that works now, so the rollback goes on")
	}
	switch {
	case t.next.Phase == v1alpha1.PhaseCommitted && t.evidence.Proved < t.evidence.Required:
		return fmt.Sprintf("%s; %d of %d required ways of paths were proved, as many as spec.stages ask for", s.plan.outcome(), t.evidence.Proved, t.evidence.Required)
	case t.next.Phase == v1alpha1.PhaseCommitted:
		return s.plan.outcome() + " and every required path was proved"
	case t.next.Phase == v1alpha1.PhasePreflight && t.evidence.Foreign != "":
		return t.evidence.Foreign + "; nothing was applied yet, so the run plans again"
	}
	if t.toggles() {
		return fmt.Sprintf("resumed in %s", s.stepName(t.next))
	}
	return fmt.Sprintf("in %s", s.stepName(t.next))
}

// outcome counts what a commit has done.
func (p *Plan) outcome() string {
	there, removed := policyCount(len(p.Candidates))+" in force", len(p.Removed())
	switch {
	case removed == 0:
		return there
	case len(p.Candidates) == 0:
		return policyCount(removed) + " removed"
	case removed == 1:
		return there + ", 1 is removed"
	}
	return fmt.Sprintf("%s, %d are removed", there, removed)
}

func policyCount(n int) string {
	if n == 1 {
		return "1 policy is"
	}
	return fmt.Sprintf("%d policies are", n)
}

// heldMessage names the leaks and the ways on.
func (s *session) heldMessage(t turn) string {
	var whys []string
	for _, c := range sortedCells(t.cells) {
		if j := t.cells[c]; j.leak != nil {
			why, _ := t.picture.blameLeak(*j.leak)
			whys = append(whys, fmt.Sprintf("%q by %s: %s", s.plan.Paths[c.path].Name, c.via, why))
		}
	}
	soak := s.plan.Steps[t.next.Step].Gate.Soak
	return fmt.Sprintf("held, because these paths must not work and do, and rolling back would open them wider: %s. "+
		"Ways on: close them, and the run goes on by itself once they were closed for %v; or abort the run (spec.intent: Abort)", strings.Join(whys, "; "), soak)
}

// silentMessage says what proof was missing when the deadline passed.
func (s *session) silentMessage(t turn) string {
	if t.at.Phase == v1alpha1.PhasePreflight {
		return "preflight found no answer in time; nothing was changed" + prefixed(": ", s.hindrance)
	}
	said := fmt.Sprintf("no proof within the deadline: %d of %d cells proved, longest silence of a probe %v", t.evidence.Proved, t.evidence.Required, t.evidence.Silence.Round(time.Second))
	if len(t.evidence.Unqualified) > 0 {
		said += fmt.Sprintf("; these paths must work and do not work before the change: %q (to go on without their votes, add an UnqualifiedPath exception for each to the rollout)", t.evidence.Unqualified)
	}
	n := 0
	for _, c := range sortedCells(t.cells) {
		if j := t.cells[c]; j.required && !j.proved && j.note != "" && n < maxNamed {
			said += fmt.Sprintf("; %q by %s: %s", s.plan.Paths[c.path].Name, c.via, j.note)
			n++
		}
	}
	return said + prefixed(", ", s.late) + prefixed(", ", s.pods.Spoiled()) + prefixed("; what kept it from going on: ", s.hindrance)
}

// maxNamed bounds how many unproved cells a message names.
const maxNamed = 5

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// healing says what widening the bridges showed of failures that no policy explains.
func (s *session) healing(at rollout.State) string {
	switch {
	case at.Cause != rollout.CauseUnexplained, s.restore != restoreDone:
		return ""
	case s.healed:
		return "; every path worked again once the bridges were widened, so the candidates had a part in it"
	}
	return "; some paths did not work again when the bridges were widened, so something else ails them"
}
