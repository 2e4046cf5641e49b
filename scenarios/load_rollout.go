package scenarios

import (
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// protectedNamespaces are never written to, whatever a rollout says.
var protectedNamespaces = []string{"kube-system", v1alpha1.SystemNamespace}

func (p *positions) checkRollout(s *Scenario) {
	const at = "spec.rollout"
	r := s.Spec.Rollout
	if r.Policies.ConfigMapRef != nil {
		p.add(at+".policies.configMapRef", "a scenario holds its policies inline, so that the file tells the whole story")
	}
	if len(r.Policies.Inline) == 0 {
		p.add(at+".policies.inline", "is empty: there is nothing to roll out")
	}
	p.checkPolicies(at+".policies.inline", r.Policies.Inline, append(slices.Clone(protectedNamespaces), r.ProtectedNamespaces...), s.Spec.Topology)
	for i, ref := range r.Suites {
		if ref.Name != s.root {
			p.add(index(at+".suites", i)+".name", "a scenario rolls out against its own suite, %s: leave suites out", strict.Show(s.root))
		}
	}
	p.checkExceptions(at+".exceptions", r.Exceptions, s)
	p.checkStages(at+".stages", r.Stages)
	p.checkAnalysis(at+".analysis", r.Analysis)
	if r.InconclusiveDeadline.Duration < 0 {
		p.add(at+".inconclusiveDeadline", "%v is negative", r.InconclusiveDeadline.Duration)
	}
}

// checkPolicies wants policies that the API server takes, each once, in namespaces
// of the topology that are not protected.
func (p *positions) checkPolicies(at string, policies []v1alpha1.CandidatePolicy, protected []string, t *Topology) {
	seen := map[string]bool{}
	for i, policy := range policies {
		at := index(at, i)
		if seen[policyKey(policy)] {
			p.add(at+".name", "policy %s is listed twice", strict.Show(policyKey(policy)))
		}
		seen[policyKey(policy)] = true
		p.checkPolicyName(at+".name", policy.Name)
		if slices.Contains(protected, policy.Namespace) {
			p.add(at+".namespace", "%s is protected: no rollout writes to it", policy.Namespace)
		} else {
			p.checkNamespace(at+".namespace", policy.Namespace, t)
		}
		p.addAll(strict.CheckPolicy(at+".spec", policy.Spec))
	}
}

func (p *positions) checkStages(at string, stages []v1alpha1.Stage) {
	if len(stages) == 0 {
		p.add(at, "is missing: say in which stages to tighten")
	}
	names := map[string]bool{}
	for i, stage := range stages {
		at := index(at, i)
		if names[stage.Name] {
			p.add(at+".name", "stage %s is listed twice", strict.Show(stage.Name))
		}
		names[stage.Name] = true
		p.checkName(at+".name", stage.Name)
		if stage.MinDuration.Duration < 0 {
			p.add(at+".minDuration", "%v is negative", stage.MinDuration.Duration)
		}
		if stage.MinCoveragePercent < 0 || stage.MinCoveragePercent > 100 {
			p.add(at+".minCoveragePercent", "%d is not a percentage: 0 to 100", stage.MinCoveragePercent)
		}
		p.checkScope(at, stage)
	}
}

// checkScope wants a canary to say whom it enforces, and nobody else to.
func (p *positions) checkScope(at string, stage v1alpha1.Stage) {
	scope := stage.Scope
	switch stage.Mode {
	case v1alpha1.ModeObserve, v1alpha1.ModeEnforce:
		if scope.ProbePodsOnly || scope.MaxPods != nil {
			p.add(at+".scope", "only a Canary stage has a scope")
		}
		return
	case v1alpha1.ModeCanary:
	default:
		p.add(at+".mode", "%q is not Observe, Canary or Enforce", strict.Show(string(stage.Mode)))
		return
	}
	if scope.ProbePodsOnly == (scope.MaxPods != nil) {
		p.add(at+".scope", "state exactly one of probePodsOnly: true and maxPods")
		return
	}
	if scope.MaxPods == nil {
		return
	}
	limit := 1 << 31
	if scope.MaxPods.Type == intstr.String {
		limit = 100
	}
	if n, err := intstr.GetScaledValueFromIntOrPercent(scope.MaxPods, 100, true); err != nil || n < 1 || n > limit {
		p.add(at+".scope.maxPods", "%s is not a number of pods or a percentage such as 10%%", strict.Show(scope.MaxPods.String()))
	}
}

func (p *positions) checkAnalysis(at string, a v1alpha1.Analysis) {
	if a.Interval.Duration < 0 {
		p.add(at+".interval", "%v is negative", a.Interval.Duration)
	}
	if a.Timeout.Duration < 0 {
		p.add(at+".timeout", "%v is negative", a.Timeout.Duration)
	}
	if a.FalseRollbackBudget == "" {
		return
	}
	if budget, err := strconv.ParseFloat(a.FalseRollbackBudget, 64); err != nil || !(budget > 0 && budget < 1e6) {
		p.add(at+".falseRollbackBudget", "%s is not a number above 0, such as 1e-6 per hour", strict.Show(a.FalseRollbackBudget))
	}
}
