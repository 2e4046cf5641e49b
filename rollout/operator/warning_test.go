package operator

import (
	"strings"
	"testing"
	"time"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
)

// A path that has no vote holds like any other when it is seen to, and only then.
func TestAWarningPathHoldsToo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		expect v1alpha1.Expectation
		edit   func(*picture)
		want   report.Finding
	}{
		{"works", v1alpha1.ExpectAllow, func(*picture) {}, report.Holds},
		{"fails", v1alpha1.ExpectAllow, func(p *picture) { p.denied(); p.fails(9) }, report.Inconclusive},
		{"did not work before the change", v1alpha1.ExpectAllow, func(p *picture) { p.qualified = map[cell]bool{} }, report.Inconclusive},
		{"is kept out", v1alpha1.ExpectDeny, func(p *picture) { p.denied(); p.fails(9) }, report.Holds},
		{"fails, and no policy denies it so far", v1alpha1.ExpectDeny, func(p *picture) { p.fails(9) }, report.Inconclusive},
		{"leaks", v1alpha1.ExpectDeny, func(p *picture) { p.denied() }, report.Inconclusive},
		{"before the change", v1alpha1.ExpectAllow, func(p *picture) { p.scope = rollout.Nobody }, report.Inconclusive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := aPicture(tt.expect)
			p.plan.Paths[0].Via, p.plan.Paths[0].Criticality = []v1alpha1.Via{v1alpha1.ViaPodIP}, v1alpha1.CriticalityWarning
			tt.edit(p)
			cells := p.judge()
			c := cell{0, v1alpha1.ViaPodIP}
			if j := cells[c]; j.required || j.proved || j.cut != nil || j.leak != nil {
				t.Errorf("it has a vote: %+v", j)
			}
			var r record
			r.begin(p.plan, time.Now())
			r.tally(p, "few", "few")
			if got := r.rows[c].Finding; got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			p.denied()
			p.scope = rollout.Everyone
			if tt.expect == v1alpha1.ExpectAllow {
				p.fails(9)
			} else {
				p.sights[0].state = p.sights[1].state
			}
			p.judge()
			r.tally(p, "all", "all")
			r.UnprovedLast(&p.facted, p.weighed)
			if got := r.rows[c].Finding; got != report.Inconclusive {
				t.Errorf("when last tried it was not as it should be: %s", got)
			}
		})
	}
}

// verify has suites and no rollout.
func TestAnIdentityOfTwoSuitesIsToldWithoutARollout(t *testing.T) {
	w, p, no := &world{}, &Plan{Plan: plan.Plan{Run: "r-1"}}, &refusal{}
	w.verdict.Namespaces = map[string]map[string]string{"a": {}}
	for _, name := range []string{"s", "t"} {
		suite := &v1alpha1.ConnectivitySuite{Spec: v1alpha1.ConnectivitySuiteSpec{Identities: []v1alpha1.Identity{{Name: "x", Namespace: "a"}}}}
		suite.Name = name
		p.addSuite(suite, w, no)
	}
	if got := no.Error(); !strings.Contains(got, `suite t: identity "x" is already in another suite`) || strings.Contains(got, "rollout") {
		t.Errorf("%q", got)
	}
}

// Where no path votes, a verification is good only if all hold: else a suite of
// warnings would pass whatever was seen.
func TestAVerificationOfWarningsAlone(t *testing.T) {
	for want, findings := range map[string][]report.Finding{resultVerified: {report.Holds, report.Holds}, "Inconclusive": {report.Holds, report.Inconclusive}} {
		x := &verifier{plan: &Plan{}}
		for _, name := range []string{"p", "q"} {
			x.plan.Paths = append(x.plan.Paths, plan.Path{Path: v1alpha1.Path{Name: name, Via: []v1alpha1.Via{v1alpha1.ViaPodIP}, Criticality: v1alpha1.CriticalityWarning}})
		}
		x.record.begin(x.plan, time.Now())
		for i, f := range findings {
			x.record.rows[cell{i, v1alpha1.ViaPodIP}].Finding = f
		}
		if got, _, message := x.ending(nil); got != want {
			t.Errorf("%v: %s, want %s: %s", findings, got, want, message)
		}
	}
}
