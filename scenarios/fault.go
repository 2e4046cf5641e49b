package scenarios

import (
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/api/strict"
	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Fault is how a bad rollout differs from the good one. Exactly one field is set.
type Fault struct {
	RemoveRule *RemoveRule `json:"removeRule,omitempty"`
}

// RemoveRule takes one rule out of one policy: what its author forgot. The rule
// is found by a port it lists, so that it stays the same one when rules move.
type RemoveRule struct {
	Policy    string                  `json:"policy"`    // namespace/name
	Direction networkingv1.PolicyType `json:"direction"` // Ingress or Egress
	Port      int32                   `json:"port"`      // in exactly one rule of that policy and direction
}

// apply changes the rollout's own copy of the policies. A nil fault changes nothing.
func (f *Fault) apply(r *v1alpha1.PolicyRolloutSpec) error {
	if f == nil || f.RemoveRule == nil {
		return nil
	}
	policy, index, err := f.RemoveRule.find(r)
	if err != nil {
		return err
	}
	if f.RemoveRule.Direction == networkingv1.PolicyTypeIngress {
		policy.Spec.Ingress = slices.Delete(policy.Spec.Ingress, index, index+1)
	} else {
		policy.Spec.Egress = slices.Delete(policy.Spec.Egress, index, index+1)
	}
	return nil
}

// find returns the policy and the index of the one rule that is meant.
func (r *RemoveRule) find(spec *v1alpha1.PolicyRolloutSpec) (*v1alpha1.CandidatePolicy, int, error) {
	at := slices.IndexFunc(spec.Policies.Inline, func(p v1alpha1.CandidatePolicy) bool { return policyKey(p) == r.Policy })
	if at < 0 {
		return nil, 0, fmt.Errorf("the rollout has no policy %s", strict.Show(r.Policy))
	}
	policy := &spec.Policies.Inline[at]
	var found []int
	for i, ports := range portsOf(policy.Spec, r.Direction) {
		if slices.ContainsFunc(ports, r.lists) {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		return nil, 0, fmt.Errorf("%d %s rules of %s list port %d, and exactly one must", len(found), r.Direction, strict.Show(r.Policy), r.Port)
	}
	return policy, found[0], nil
}

// lists reports whether the port is this rule's, by number or in a range. A
// port by name depends on the pod and never matches.
func (r *RemoveRule) lists(p networkingv1.NetworkPolicyPort) bool {
	if p.Port == nil || p.Port.StrVal != "" {
		return false
	}
	last := p.Port.IntVal
	if p.EndPort != nil {
		last = *p.EndPort
	}
	return p.Port.IntVal <= r.Port && r.Port <= last
}

// portsOf lists the ports of each rule in a direction.
func portsOf(spec networkingv1.NetworkPolicySpec, d networkingv1.PolicyType) [][]networkingv1.NetworkPolicyPort {
	var all [][]networkingv1.NetworkPolicyPort
	if d == networkingv1.PolicyTypeIngress {
		for _, rule := range spec.Ingress {
			all = append(all, rule.Ports)
		}
		return all
	}
	for _, rule := range spec.Egress {
		all = append(all, rule.Ports)
	}
	return all
}

func policyKey(p v1alpha1.CandidatePolicy) string { return p.Namespace + "/" + p.Name }

// checkFault wants a fault that can be applied.
func (p *positions) checkFault(s *Scenario) {
	const path = "spec.fault"
	f := s.Spec.Fault
	switch {
	case f == nil:
		return
	case f.RemoveRule == nil:
		p.add(path, "says nothing: state removeRule")
		return
	case !slices.Contains(directions, f.RemoveRule.Direction):
		p.add(path+".removeRule.direction", "%s is not %s", strict.Show(string(f.RemoveRule.Direction)), strict.OneOf(directions))
		return
	}
	if _, _, err := f.RemoveRule.find(s.Spec.Rollout); err != nil {
		p.add(path+".removeRule", "%v", err)
	}
}
