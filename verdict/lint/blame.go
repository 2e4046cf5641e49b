package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
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

// opening is what a policy has to let through for something to work.
type opening struct {
	policy    *policy
	direction networkingv1.PolicyType
	subjects  []*class // selected by the policy
	peer      *class
	labels    map[string]string // that select the peer
	ports     []port            // empty: every port
}

// openings collects them, one for each policy, direction and peer.
type openings struct {
	view *view
	all  []*opening
}

// need notes what stands in the way of a connection, if anything certainly
// does. Each denying side is one thing to open. labels choose the pods of both
// ends, in place of each one's own; every says to open all ports.
func (o *openings) need(from, to *class, p port, labels map[string]string, every bool) {
	v := o.view.between(from, to, p.number, p.protocol)
	if v.Egress.Decision == verdict.Deny {
		o.note(egress, from, to, p, labels, every)
	}
	if v.Ingress.Decision == verdict.Deny {
		o.note(ingress, to, from, p, labels, every)
	}
}

func (o *openings) note(d networkingv1.PolicyType, subject, peer *class, p port, labels map[string]string, every bool) {
	isolating := o.view.isolated[subject][d]
	if len(isolating) == 0 {
		return // a ClusterNetworkPolicy denies: no NetworkPolicy can open it
	}
	if labels == nil {
		labels = peer.identity()
	}
	i := slices.IndexFunc(o.all, func(x *opening) bool {
		return x.policy == isolating[0] && x.direction == d && x.peer.Namespace == peer.Namespace && maps.Equal(x.labels, labels)
	})
	if i < 0 {
		i, o.all = len(o.all), append(o.all, &opening{policy: isolating[0], direction: d, peer: peer, labels: labels})
	}
	x := o.all[i]
	if !slices.Contains(x.subjects, subject) {
		x.subjects = append(x.subjects, subject)
	}
	if !every && !slices.Contains(x.ports, p) {
		x.ports = append(x.ports, p)
	}
}

// edit adds the rule that opens it.
func (x *opening) edit() edit {
	key := map[networkingv1.PolicyType]string{egress: "to", ingress: "from"}[x.direction]
	peer := podsNode(x.policy.Namespace, x.peer.Namespace, x.labels)
	return add(at("spec", word(x.direction)), ruleNode(key, []*yaml.Node{peer}, x.ports...))
}

// draft says where it stands and how to correct it.
func (x *opening) draft(s Severity) draft {
	return draft{policy: x.policy, at: at("spec", word(x.direction)), severity: s, edit: x.edit()}
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
