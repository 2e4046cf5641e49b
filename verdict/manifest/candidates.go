package manifest

import (
	"fmt"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// WithCandidates is the set as it would be once every rollout had committed: their
// policies are in World and Objects, each in place of one of its name. Where two
// rollouts bring a policy of one name the later one in the input counts, and a
// note says so.
func (s *Set) WithCandidates() *Set {
	with := *s
	with.World.Policies = slices.Clone(s.World.Policies)
	with.Objects.NetworkPolicies = slices.Clone(s.Objects.NetworkPolicies)
	with.Notes = slices.Clone(s.Notes)
	with.sources = maps.Clone(s.sources)
	at := map[string]int{}
	for i, p := range with.World.Policies {
		at[p.Key()] = i
	}
	from := map[string]Source{} // the rollout of each candidate
	for _, r := range s.Objects.Rollouts {
		for _, c := range r.Candidates {
			policy := verdict.PolicyOf(c.Object)
			if first, twice := from[policy.Key()]; twice {
				with.note(c.Position, c.String(), "is in %s too: that of %s counts", first, r.Source)
			}
			from[policy.Key()] = r.Source
			with.sources[key("NetworkPolicy", c.Namespace, c.Name)] = c.Source
			with.put(at, policy, c)
		}
	}
	return &with
}

// put adds a policy, or replaces the one of its name, which at finds.
func (s *Set) put(at map[string]int, policy verdict.Policy, c Typed[networkingv1.NetworkPolicy]) {
	i, replaces := at[policy.Key()]
	if !replaces {
		at[policy.Key()] = len(s.World.Policies)
		s.World.Policies = append(s.World.Policies, policy)
		s.Objects.NetworkPolicies = append(s.Objects.NetworkPolicies, c)
		return
	}
	s.World.Policies[i] = policy
	s.Objects.NetworkPolicies[i] = c
}

// WithoutRollouts is the set as if no rollout were in the input.
func (s *Set) WithoutRollouts() *Set {
	without := *s
	without.Objects.Rollouts = nil
	return &without
}

// InWords is the rollout and how many policies it brings, for a sentence.
func (r Rollout) InWords() string {
	what := "policies"
	if len(r.Candidates) == 1 {
		what = "policy"
	}
	return fmt.Sprintf("%d %s of %s", len(r.Candidates), what, r.Source)
}
