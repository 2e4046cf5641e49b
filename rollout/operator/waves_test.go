package operator

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/evidence"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/rollout/planner"
	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// inWaves is a plan of three waves with one policy each, of which it makes one.
func inWaves(wave int64) *Plan {
	p := &Plan{Plan: plan.Plan{Schema: plan.Schema, Run: "r", Wave: wave}}
	for _, ns := range []string{"data", "ai", "apps"} {
		p.Waves = append(p.Waves, rollout.Wave{Name: ns, Policies: []string{ns + "/p"}})
		p.Candidates = append(p.Candidates, plan.Candidate{Policy: plan.Policy{Namespace: ns, Name: "p"}})
	}
	p.Originals = []plan.Original{{Policy: plan.Policy{Namespace: "ai", Name: "p"}, Becomes: "x"}}
	return p
}

// Whoever changes what an earlier wave has committed before the next one is planned
// is asked what is to be: nothing more is tightened.
func TestAWaveDoesNotFollowOneThatSomebodyHasChanged(t *testing.T) {
	p, no := inWaves(2), &refusal{}
	if p.refuseReverted(no); len(no.reasons) != 1 || !strings.Contains(no.reasons[0], "policy data/p is not as wave data committed it") {
		t.Errorf("got %q", no.reasons)
	}
	p.Candidates, no = p.Candidates[1:], &refusal{} // it is in force
	if p.refuseReverted(no); len(no.reasons) > 0 {
		t.Errorf("got %q", no.reasons)
	}
}

// What was in force when the waves were planned is in none of them. If somebody changes
// it, or a source brings a policy more, no wave would ever bring it about.
func TestAWaveDoesNotLeaveOutWhatNoWaveHas(t *testing.T) {
	p, no := inWaves(2), &refusal{}
	p.Candidates = append(p.Candidates[1:], plan.Candidate{Policy: plan.Policy{Namespace: "apps", Name: "late"}})
	if p.refuseReverted(no); len(no.reasons) != 1 || !strings.Contains(no.reasons[0], "policy apps/late is to change, and no wave of the rollout has it") {
		t.Errorf("got %q", no.reasons)
	}
}

func TestAPlanIsNarrowedToItsWave(t *testing.T) {
	for i, originals := range []int{0, 1, 0} {
		p := inWaves(1)
		wave := p.Waves[i]
		if planner.Narrow(&p.Plan, wave); len(p.Candidates) != 1 || p.Candidates[0].Namespace != wave.Name || len(p.Originals) != originals {
			t.Errorf("wave %s has %+v and %+v", wave.Name, p.Candidates, p.Originals)
		}
	}
}

// The report and every message say which wave they are of; a rollout that is one wave
// says nothing of waves.
func TestTheWaveIsTold(t *testing.T) {
	ro := aRollout("r", "u")
	if got := inWaves(2).wave(); got == nil || *got != (evidence.Wave{Name: "ai", Number: 2, Of: 3}) {
		t.Errorf("the report has %+v", got)
	}
	if got := (&Plan{Plan: plan.Plan{Wave: 1}}).wave(); got != nil {
		t.Errorf("the report has %+v", got)
	}
	run := waveRun(ro, 1, 2, v1alpha1.PhaseCanary)
	if got := (&session{plan: inWaves(2)}).sayWaves(run); got != "wave 2 of 3 (ai): " {
		t.Errorf("got %q", got)
	}
	s := &session{plan: inWaves(2)}
	if got := tell(s.waveStatus(run)); got != "data Committed, ai Canary, apps" {
		t.Errorf("got %q", got)
	}
	if s = (&session{plan: &Plan{Plan: plan.Plan{Wave: 1}}}); s.waveStatus(run) != nil {
		t.Error("one wave is no waves")
	}
}

// A wave takes the waves from the run before it, or from the one before that where
// that one had nothing to do; and does nothing where nobody knows.
func TestAWaveKnowsWhatTheOnesBeforeLeft(t *testing.T) {
	ro := aRollout("r", "u")
	first, second, third := waveRun(ro, 1, 1, v1alpha1.PhaseCommitted), waveRun(ro, 1, 2, v1alpha1.PhaseCommitted), waveRun(ro, 1, 3, v1alpha1.PhasePreflight)
	stored := func(t *testing.T, edit func(first, second *v1alpha1.PolicyRolloutRun)) *RunReconciler {
		t.Helper()
		c := fakeAPI(interceptor.Funcs{})
		p := inWaves(1)
		p.Run, p.RunUID = first.Name, first.UID
		digest, err := savePlan(t.Context(), writer.New(c, writer.Options{}), c, p)
		if err != nil {
			t.Fatal(err)
		}
		first, second := first.DeepCopy(), second.DeepCopy()
		first.Status.SnapshotDigest = digest
		if edit != nil {
			edit(first, second)
		}
		for _, o := range []*v1alpha1.PolicyRolloutRun{first, second} {
			if o.Name == "" {
				continue
			}
			status := o.Status
			if err := c.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			o.Status = status
			if err := c.Status().Update(t.Context(), client.Object(o)); err != nil {
				t.Fatal(err)
			}
		}
		return &RunReconciler{Live: c}
	}
	type runs = v1alpha1.PolicyRolloutRun
	for _, tt := range []struct {
		name string
		edit func(first, second *runs)
		want string // empty: it knows
	}{
		{"the one between had nothing to do", nil, ""},
		{"the one before is gone", func(_, second *runs) { second.Name = "" }, "is gone"},
		{"another has its name", func(_, second *runs) { second.UID = "another" }, "is gone"},
		{"it is not committed", func(_, second *runs) { second.Status.Phase = v1alpha1.PhaseRolledBack }, "is not committed (RolledBack)"},
		{"the plan is another", func(first, _ *runs) { first.Status.SnapshotDigest = "sha256:0" }, "armed was sha256:0"},
		{"none has a plan", func(first, _ *runs) { first.Status.SnapshotDigest = "" }, "no run before this one has a plan"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			waves, err := stored(t, tt.edit).wavesBefore(t.Context(), third)
			switch {
			case tt.want == "" && (err != nil || len(waves) != 3 || waves[2].Name != "apps"):
				t.Errorf("got %+v, %v", waves, err)
			case tt.want != "" && (err == nil || !denied(err) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "retry the rollout")):
				t.Errorf("got %v, want a refusal with %q", err, tt.want)
			}
		})
	}
}
