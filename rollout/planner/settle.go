package planner

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/rollout"
	"github.com/tightrope-dev/tightrope/rollout/plan"
	"github.com/tightrope-dev/tightrope/verdict"
)

// Change is what a rollout does to the policies that are there.
type Change struct {
	Candidates []plan.Candidate // as the API server defaults them, with the marks that their author wants
	Remove     []v1alpha1.PolicyRef
	Policies   []networkingv1.NetworkPolicy // of the cluster; those that a run has made are no baseline
}

// Settle sorts the policies of a rollout into those that are added, changed and
// removed. A candidate that is in force already is no work, whatever its marks: those
// need no rollout. Neither is a removal of what is not there. Bridge comes next.
func Settle(p *plan.Plan, c Change) {
	for _, candidate := range c.Candidates {
		if have := c.unmarked(candidate.Namespace, candidate.Name); have != nil {
			if rollout.SameSpec(have.Spec, candidate.Spec) {
				continue
			}
			o := originalOf(have, plan.SumOf(candidate.Spec))
			o.Set, o.Was = candidate.Marks.Changing(have)
			p.Originals = append(p.Originals, o)
		}
		candidate.Object = plan.ObjectName(p.Run, plan.RoleCandidate, len(p.Candidates))
		p.Candidates = append(p.Candidates, candidate)
	}
	for _, ref := range c.Remove {
		if have := c.unmarked(ref.Namespace, ref.Name); have != nil {
			p.Originals = append(p.Originals, originalOf(have, ""))
		}
	}
}

// Bridge takes the baseline down of the namespaces that the plan writes to, and plans the
// bridges. An error says why there are none.
func Bridge(p *plan.Plan, policies []networkingv1.NetworkPolicy) error {
	p.Baseline, p.Bridges = nil, nil
	var baseline, candidates []verdict.Policy
	for i := range policies {
		if np := &policies[i]; !Marked(np) && slices.Contains(p.Namespaces(), np.Namespace) {
			baseline = append(baseline, defaulted(np))
		}
	}
	slices.SortFunc(baseline, func(a, b verdict.Policy) int { return strings.Compare(a.Key(), b.Key()) }) // bridges are simplified in this order
	for _, b := range baseline {
		p.Baseline = append(p.Baseline, plan.Policy(b))
	}
	for _, candidate := range p.Candidates {
		candidates = append(candidates, verdict.Policy(candidate.Policy))
	}
	bridges, err := rollout.Bridges(baseline, candidates)
	for i, b := range bridges {
		p.Bridges = append(p.Bridges, plan.Bridge{Bridge: b, Object: plan.ObjectName(p.Run, plan.RoleBridge, i)})
	}
	return err
}

// Marked reports whether a policy carries the marks of a run: the label and a role.
// Anybody can write them, so the controller asks whether such a run exists.
func Marked(np *networkingv1.NetworkPolicy) bool {
	return np.Labels[v1alpha1.LabelRun] != "" && slices.Contains(plan.PolicyRoles, np.Labels[v1alpha1.LabelRole])
}

// unmarked is the policy of that name, if no run made it; nil: there is none.
func (c Change) unmarked(namespace, name string) *networkingv1.NetworkPolicy {
	i := slices.IndexFunc(c.Policies, func(np networkingv1.NetworkPolicy) bool { return np.Namespace == namespace && np.Name == name })
	if i < 0 || Marked(&c.Policies[i]) {
		return nil
	}
	return &c.Policies[i]
}

func originalOf(np *networkingv1.NetworkPolicy, becomes string) plan.Original {
	np = np.DeepCopy()
	return plan.Original{Policy: plan.Policy(defaulted(np)), UID: np.UID, Fields: np.ManagedFields, Becomes: becomes}
}

// defaulted is a policy as the API server has it, which changes nothing about one that
// was read from there.
func defaulted(np *networkingv1.NetworkPolicy) verdict.Policy {
	policy := verdict.PolicyOf(np)
	policy.Spec = verdict.Defaulted(policy.Spec)
	return policy
}

// Unmarked are the keys of candidates that are in force already with other labels or
// annotations than their author wants, which stay as they are.
func (c Change) Unmarked() []string {
	var out []string
	for _, candidate := range c.Candidates {
		have := c.unmarked(candidate.Namespace, candidate.Name)
		if have == nil || !rollout.SameSpec(have.Spec, candidate.Spec) {
			continue
		}
		if set, _ := candidate.Marks.Changing(have); !set.IsZero() {
			out = append(out, candidate.Key())
		}
	}
	return out
}
