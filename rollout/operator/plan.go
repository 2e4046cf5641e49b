package operator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/report"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// Plan is the plan of a run with what is predicted of it, as both are stored.
type Plan struct {
	plan.Plan
	Predicted   []report.Prediction `json:"predicted"`
	Exposures   []report.Exposure   `json:"exposures"`
	Unprobeable []report.NotTested  `json:"unprobeable"`

	hands  *hands   // of the account; nil: not needed so far
	stored string   // digest of the text it was read from; empty: it was not
	unseen []string // what whoever only foresees a run could not look at
	down   []string // which paths lead to a Service without a ready pod, in words
}

// policies lists what the report says was rolled out, and what went.
func (p *Plan) policies() []report.Policy {
	out := make([]report.Policy, 0, len(p.Candidates))
	for _, c := range p.Candidates {
		was := ""
		if o := p.original(c.Namespace, c.Name); o != nil {
			was = plan.SumOf(o.Spec)
		}
		out = append(out, report.Policy{Name: c.Key(), SHA256: plan.SumOf(c.Spec), Before: was})
	}
	for _, o := range p.Originals {
		if o.Becomes == "" {
			out = append(out, report.Policy{Name: o.Key(), Before: plan.SumOf(o.Spec)})
		}
	}
	return out
}

// baselinePolicies are the baseline as verdicts want it.
func (p *Plan) baselinePolicies() []verdict.Policy {
	out := make([]verdict.Policy, 0, len(p.Baseline))
	for _, b := range p.Baseline {
		out = append(out, verdict.Policy(b))
	}
	return out
}

// candidatePolicies are the candidates under their own names.
func (p *Plan) candidatePolicies() []verdict.Policy {
	out := make([]verdict.Policy, 0, len(p.Candidates))
	for _, c := range p.Candidates {
		out = append(out, verdict.Policy(c.Policy))
	}
	return out
}

// key names the plan's run for good.
func (p *Plan) key() runKey { return runKey{Name: p.Run, UID: p.RunUID} }

// refusal is a preflight answer for a person: nothing was changed, and why. The
// first line says it in a sentence; what to write to repair it comes below.
type refusal struct {
	reasons []string
	repairs []string // YAML or commands, with a line that says where it goes, or what for

	cuts   []ForeseenCut // those of the reasons that are predicted cuts
	unseen []string      // of a run that is only foreseen: what could not be looked at
}

func (r *refusal) Error() string {
	return strings.Join(append([]string{strings.Join(r.reasons, "; ")}, r.repairs...), "\n")
}

// repair adds what to write or to run, once.
func (r *refusal) repair(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.repairs, text) {
		r.repairs = append(r.repairs, text)
	}
}

func (r *refusal) add(format string, args ...any) {
	r.reasons = append(r.reasons, fmt.Sprintf(format, args...))
}
