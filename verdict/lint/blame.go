package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// blamed is a policy with the lookups that one rule more in it would make work.
type blamed struct {
	policy  *policy
	lookups []lookups
}

func (b blamed) classes() []*class {
	var all []*class
	for _, l := range b.lookups {
		all = append(all, l.class)
	}
	return all
}

// blamed groups what the filter picks by the policy that a rule is missing in:
// the most specific one that has rules. Where no policy has any, nothing is
// meant to leave, and nothing is forgotten.
func (v *view) blamed(d networkingv1.PolicyType, all []lookups, pick func(lookups) bool) []*blamed {
	var groups []*blamed
	for _, l := range all {
		p := v.isolated[l.class][d][0]
		if !pick(l) || len(p.rules(d)) == 0 {
			continue
		}
		i := slices.IndexFunc(groups, func(b *blamed) bool { return b.policy == p })
		if i < 0 {
			i, groups = len(groups), append(groups, &blamed{policy: p})
		}
		groups[i].lookups = append(groups[i].lookups, l)
	}
	return groups
}

// isolators says which policies isolate the class.
func (v *view) isolators(c *class, d networkingv1.PolicyType) string {
	var all []string
	for _, p := range v.isolated[c][d] {
		all = append(all, p.Key())
	}
	return fmt.Sprintf("%s is isolated for %s by %s", c.name(), word(d), strings.Join(all, " and "))
}

// portsText lists ports for people: 9090/TCP, 7000/UDP.
func portsText(ports []port) string {
	var all []string
	for _, p := range ports {
		all = append(all, fmt.Sprintf("%d/%s", p.number, p.protocol))
	}
	return strings.Join(all, ", ")
}

// selectorText writes labels as kubectl takes them.
func selectorText(set map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(set)) {
		all = append(all, k+"="+set[k])
	}
	return strings.Join(all, ",")
}
