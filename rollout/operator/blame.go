package operator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/probes"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// blame names the rule that cut an attempt, and the kind of cause.
func (p *picture) blame(s sight) (cause, rule string) {
	path := p.plan.Paths[s.route.path]
	src := p.world.pods[s.from]
	if s.state.Last == probes.DNSFailure && src != nil {
		if v, ok := p.throughService(src, p.dns, "UDP"); ok && v.Decision == verdict.Deny {
			return "DNS", v.Rule()
		}
		return "DNS", "the name of the target did not resolve"
	}
	cause = "Policy"
	if path.Probe.Type.Traits().AsksNames {
		cause = "DNS"
	}
	if v, ok := p.explain(s, path); ok && v.Decision == verdict.Deny {
		return cause, v.Rule()
	}
	if part := p.partly(s, path); part.denied != nil {
		return cause, part.why.Rule()
	}
	return "Unexplained", "the live policies allow it, yet it does not work: the data plane differs from the specification, or the target failed"
}

// deniedByOthers says by which rule the live policies deny a path that must work, and
// what others did that brought this about, without which they would not; empty: they
// do not deny it, or would all the same.
func (p *picture) deniedByOthers(s sight) (rule, did string) {
	path := p.plan.Paths[s.route.path]
	if p.planned == nil || path.Expect != v1alpha1.ExpectAllow {
		return "", ""
	}
	planned := *p
	planned.live = p.planned
	if rule = planned.losesBy(p, s, path); rule == "" {
		return "", ""
	}
	return rule, cmp.Or(p.foreign, "a policy of a namespace that the rollout does not write to denies it")
}

// blameLeak says why a path that must not work does. Where policies of others let
// it through, and without them it would be denied, it names them: they are whom a
// repair is for. It takes one such policy away after the other, in thought.
func (p *picture) blameLeak(s sight) (why string, others []string) {
	path := p.plan.Paths[s.route.path]
	v, ok := p.explain(s, path)
	switch {
	case !ok || v.Decision == verdict.Unknown:
		return "it gets through, and the live policies do not say whether it may", nil
	case v.Decision == verdict.Allow && len(p.plan.Candidates) == 0:
		return allowedBy(v), nil
	case v.Decision == verdict.Deny:
		return "it gets through although the live policies deny it: " + v.Rule(), nil
	}
	first, without := v, *p
	for v.Decision == verdict.Allow {
		next := p.foreignOf(v)
		if next == "" || slices.Contains(others, next) {
			return p.blameCandidates(first), nil
		}
		others = append(others, next)
		without.live = verdict.Compile(p.plan.liveWorld(p.world, others...), nil)
		v, _ = without.explain(s, path)
	}
	return fmt.Sprintf("it gets through by %s, which the rollout neither adds nor changes: %s", strings.Join(others, " and "), first.Rule()), others
}

func (p *picture) blameCandidates(v verdict.Verdict) string {
	if v.Egress.Policy == "" && v.Ingress.Policy == "" {
		return "no policy selects either of its ends, the candidates included"
	}
	return "the candidate allows it: " + v.Rule()
}

// allowedBy says which rules let a connection through, where no candidate is asked.
func allowedBy(v verdict.Verdict) string {
	if v.Egress.Policy == "" && v.Ingress.Policy == "" {
		return "no policy selects either of its ends"
	}
	return v.Rule()
}

// foreignOf is a policy that allows a connection and is no candidate; empty: there is none.
func (p *picture) foreignOf(v verdict.Verdict) string {
	for _, name := range []string{v.Egress.Policy, v.Ingress.Policy} {
		own := slices.ContainsFunc(p.plan.Candidates, func(c plan.Candidate) bool {
			return name == c.Key() || name == c.Key()+temporary
		})
		if name != "" && !own {
			return name
		}
	}
	return ""
}
