package scenarios

import (
	"slices"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

func (p *positions) checkRollout(s *Scenario) {
	const at = "spec.rollout"
	r := s.Spec.Rollout
	if r.Policies.ConfigMapRef != nil {
		p.add(at+".policies.configMapRef", "a scenario holds its policies inline, so that the file tells the whole story")
	}
	if r.ServiceAccountName != "" {
		p.add(at+".serviceAccountName", "a scenario has its cluster to itself, and Tightrope writes there as itself: leave it out")
	}
	if len(r.Policies.Inline)+len(r.Policies.Remove) == 0 {
		p.add(at+".policies.inline", "is empty, and so is remove: there is nothing to roll out")
	}
	p.addAll(strict.CheckRemove(at+".policies.remove", r.Policies.Remove, func(key string) bool {
		return slices.ContainsFunc(r.Policies.Inline, func(c v1alpha1.CandidatePolicy) bool { return policyKey(c) == key })
	}))
	p.checkPolicies(at+".policies.inline", r.Policies.Inline, append(slices.Clone(strict.ProtectedNamespaces), r.ProtectedNamespaces...), s.Spec.Topology)
	for i, ref := range r.Suites {
		if ref.Name != s.root {
			p.add(index(at+".suites", i)+".name", "a scenario rolls out against its own suite, %s: leave suites out", strict.Show(s.root))
		}
	}
	p.checkExceptions(at+".exceptions", r.Exceptions, s)
	p.addAll(strict.CheckWaves(at+".waves", r.Waves))
	p.addAll(strict.CheckRollbackScope(at+".rollbackScope", r.RollbackScope))
	p.addAll(strict.CheckStages(at+".stages", r.Stages))
	p.addAll(strict.CheckAnalysis(at+".analysis", r.Analysis))
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
		p.addAll(strict.CheckMarks(at, policy.Labels, policy.Annotations))
		p.addAll(strict.CheckPolicy(at+".spec", policy.Spec))
	}
}
