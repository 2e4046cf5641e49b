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

// opening is what a policy has to let through for something to work.
type opening struct {
	view      *view
	policy    *policy
	direction networkingv1.PolicyType
	subjects  []*class // selected by the policy
	peer      *class
	labels    map[string]string // that select the peer
	ports     []port            // empty: every port
}

// openings collects them, one for each subject and peer.
type openings struct {
	view *view
	all  []*opening
}

// need notes what stands in the way of a connection, if anything certainly
// does. Each denying side is one thing to open. labels choose the pods of the
// peer, in place of its own; every says to open all ports.
func (o *openings) need(from, to *class, p port, labels map[string]string, every bool) {
	v, conn := o.view.between(from, to, p.number, p.protocol), conn(from, to, p)
	if v.Egress.Decision == verdict.Deny && o.view.overruling(egress, conn) == "" {
		o.note(egress, from, to, p, labels, every)
	}
	if v.Ingress.Decision == verdict.Deny && o.view.overruling(ingress, conn) == "" {
		o.note(ingress, to, from, p, labels, every)
	}
}

func (o *openings) note(d networkingv1.PolicyType, subject, peer *class, p port, labels map[string]string, every bool) {
	isolating := o.view.isolated[subject][d]
	if len(isolating) == 0 {
		return // no NetworkPolicy denies: none can open it
	}
	if labels == nil {
		labels = o.view.tell(peer).Labels
	}
	one := &opening{view: o.view, policy: isolating[0], direction: d, subjects: []*class{subject}, peer: peer, labels: labels}
	i := slices.IndexFunc(o.all, func(x *opening) bool { return x.subjects[0] == subject && x.alike(one) })
	if i < 0 {
		i, o.all = len(o.all), append(o.all, one)
	}
	if x := o.all[i]; !every && !slices.Contains(x.ports, p) {
		x.ports = append(x.ports, p)
	}
}

// alike reports whether the two are about the same peer in the same policy.
func (x *opening) alike(y *opening) bool {
	return x.policy == y.policy && x.direction == y.direction && x.peer.Namespace == y.peer.Namespace && maps.Equal(x.labels, y.labels)
}

// merged puts subjects together that need the same of one policy, if that policy
// selects no other pods. One rule is then right for all of them.
func (o *openings) merged() []*opening {
	var all []*opening
	for _, x := range o.all {
		i := slices.IndexFunc(all, func(y *opening) bool { return x.alike(y) && slices.Equal(x.ports, y.ports) })
		if i < 0 {
			all = append(all, &opening{x.view, x.policy, x.direction, slices.Clone(x.subjects), x.peer, x.labels, x.ports})
		} else {
			all[i].subjects = append(all[i].subjects, x.subjects...)
		}
	}
	var split []*opening
	for _, x := range all {
		if o.view.only(x.policy, x.subjects) {
			split = append(split, x)
			continue
		}
		for _, c := range x.subjects {
			split = append(split, &opening{x.view, x.policy, x.direction, []*class{c}, x.peer, x.labels, x.ports})
		}
	}
	return split
}

// draft says where it stands and how to correct it. Its fix says only where the
// rule goes.
func (x *opening) draft(s Severity) draft {
	d := draft{policy: x.policy, at: at("spec", word(x.direction)), severity: s}
	if len(x.labels) == 0 {
		d.fix = fmt.Sprintf("once %s has labels to select it by", x.peer.name())
		return d
	}
	if x.peer.HostNetwork {
		d.fix = fmt.Sprintf("by an ipBlock with the addresses of the nodes: %s shares its node's network, so most network plugins match it with no selector", x.peer.name())
		return d
	}
	key := map[networkingv1.PolicyType]string{egress: "to", ingress: "from"}[x.direction]
	peer := podsNode(x.policy.Namespace, x.peer.Namespace, x.labels)
	d.fix = d.grant(x.view, x.direction, x.subjects, ruleNode(key, []*yaml.Node{peer}, x.ports...), x.ports)
	if told := x.view.tell(x.peer); maps.Equal(told.Labels, x.labels) {
		d.fix += x.view.shared(x.peer, told.Also)
	}
	return d
}

// shared says which other pods a rule is for that selects the class's; empty: none.
func (v *view) shared(c *class, also []*verdict.Pod) string {
	if len(also) == 0 {
		return ""
	}
	return fmt.Sprintf(" (no label tells %s from %s: the rule is for those pods too)", c.name(), names(v.classesOf(also)))
}

// besides are the classes that the policy selects besides these. Pods on their
// node's network do not count: no policy is sure to be about them.
func (v *view) besides(p *policy, subjects []*class) []*class {
	return slices.DeleteFunc(v.selected(p), func(c *class) bool { return c.HostNetwork || slices.Contains(subjects, c) })
}

// only reports whether the policy is about these classes and no other pods. One
// that selects everything is about whatever comes, too.
func (v *view) only(p *policy, subjects []*class) bool {
	return !everything(&p.Spec.PodSelector) && len(v.besides(p, subjects)) == 0
}

// grant makes the rule the draft's correction, for the subjects and no other pods:
// in the draft's policy if that selects only them, else in a policy to add. It
// returns where the rule goes, or why no correction is written.
func (d *draft) grant(v *view, direction networkingv1.PolicyType, subjects []*class, rule *yaml.Node, ports []port) string {
	if v.only(d.policy, subjects) {
		d.edit, d.adds = add(at("spec", word(direction)), rule), true
		return "in " + d.policy.Key()
	}
	told := v.tell(subjects[0])
	var open []*class
	for _, c := range v.classesOf(told.Also) {
		if len(v.isolated[c][direction]) == 0 {
			open = append(open, c)
		}
	}
	switch {
	case len(subjects) > 1:
		return "in a policy for " + names(subjects)
	case len(told.Labels) == 0:
		return fmt.Sprintf("in a policy that selects %s alone, once it has labels to select it by", subjects[0].name())
	case len(open) > 0:
		return fmt.Sprintf("in a policy that selects %s alone, once a label tells it from %s", subjects[0].name(), names(open))
	}
	name, document := v.newPolicy(subjects[0], direction, told.Labels, rule, ports)
	d.document = document
	others := "every pod"
	if all := v.besides(d.policy, subjects); len(all) > 0 {
		others = names(all) + " too"
	}
	return fmt.Sprintf("in a new policy %s, because %s selects %s", name, d.policy.Key(), others) + v.shared(subjects[0], told.Also)
}

// newPolicy is a policy for one class with one rule: its name and its document.
// What is offered twice has one name, and no two policies have the same.
func (v *view) newPolicy(c *class, d networkingv1.PolicyType, labels map[string]string, rule *yaml.Node, ports []port) (name, document string) {
	base := []string{c.name()[strings.Index(c.name(), "/")+1:], word(d)}
	if len(ports) > 0 && ports[0].number != 0 {
		base = slices.Insert(base, 1, fmt.Sprint(ports[0].number))
	}
	for i := 1; ; i++ {
		name = strings.Join(base, "-")
		if i > 1 {
			name = fmt.Sprintf("%s-%d", name, i)
		}
		document = newDocument(object(
			"apiVersion", text("networking.k8s.io/v1"), "kind", text("NetworkPolicy"),
			"metadata", object("namespace", text(c.Namespace), "name", text(name)),
			"spec", object("podSelector", labelsNode(labels), "policyTypes", flow(list(text(string(d)))), word(d), list(copied(rule))),
		))
		key := c.Namespace + "/" + name
		if other, taken := v.offered[key]; v.freeName(c.Namespace, name) == name && (!taken || other == document) {
			v.offered[key] = document
			return name, document
		}
	}
}
