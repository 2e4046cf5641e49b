package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// noDefaultDeny finds namespaces with policies and pods that none isolates.
func noDefaultDeny(v *view) []draft {
	var drafts []draft
	for _, namespace := range v.guarded() {
		if v.foreign(namespace) {
			continue // it may deny what is looked for here
		}
		var bare, open []*class
		var missing []networkingv1.PolicyType
		for _, c := range v.in(namespace) {
			in, out := len(v.isolated[c][ingress]) > 0, len(v.isolated[c][egress]) > 0
			if c.HostNetwork || in && out {
				continue
			}
			open = append(open, c)
			if !in && !out {
				bare = append(bare, c)
			}
			if !in && !slices.Contains(missing, ingress) {
				missing = append(missing, ingress)
			}
			if !out && !slices.Contains(missing, egress) {
				missing = append(missing, egress)
			}
		}
		if len(open) > 0 {
			slices.Sort(missing)
			drafts = append(drafts, denyDraft(v, namespace, bare, open, missing))
		}
	}
	return drafts
}

// serves reports whether somebody may want to connect to the class: its pods
// declare a port, or a Service leads to them.
func (c *class) serves() bool { return len(c.Ports) > 0 || len(c.services) > 0 }

// foreign reports whether a policy of a kind that is not understood may decide
// about pods of the namespace.
func (v *view) foreign(namespace string) bool {
	return slices.ContainsFunc(v.world.Foreign, func(f verdict.Foreign) bool { return f.Namespace == "" || f.Namespace == namespace })
}

// guarded lists the namespaces that have policies, sorted.
func (v *view) guarded() []string {
	var all []string
	for _, p := range v.policies {
		all = append(all, p.Namespace)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func denyDraft(v *view, namespace string, bare, open []*class, missing []networkingv1.PolicyType) draft {
	d := draft{namespace: namespace, policy: v.policies[slices.IndexFunc(v.policies, func(p *policy) bool { return p.Namespace == namespace })], severity: Info}
	d.what = fmt.Sprintf("No policy isolates %s in one of the two directions.", names(open))
	if len(missing) == 1 {
		d.what = fmt.Sprintf("No policy isolates %s for %s.", names(open), typesText(missing))
	}
	d.why = fmt.Sprintf("A pod that no policy selects for a direction may do everything there; no policy of namespace %s selects all its pods for %s.", namespace, typesText(missing))
	if len(bare) > 0 {
		if len(v.world.ClusterPolicies) == 0 && slices.ContainsFunc(bare, (*class).serves) {
			d.severity = Warning // else a ClusterNetworkPolicy may deny by default, or there is nothing to reach
		}
		d.what = fmt.Sprintf("Namespace %s has policies, but none isolates %s.", namespace, names(bare))
	}
	denial := verdict.Policy{Namespace: namespace, Name: v.freeName(namespace, "default-deny"), Spec: networkingv1.NetworkPolicySpec{PolicyTypes: missing}}
	first := ""
	if slices.Contains(missing, egress) {
		first = ", name lookups first"
	}
	d.fix = "Allow what these pods need" + first + "; then add a policy that denies the rest, in one PolicyRollout, which tries it on a few pods before all."
	if cut := v.toldCuts(v.with(denial), namespace); len(cut) > 0 {
		d.fix = fmt.Sprintf("No bare denial: it would cut %s. %s", strings.Join(cut, "; "), d.fix)
	}
	return d
}

func typesText(types []networkingv1.PolicyType) string {
	if len(types) == 2 {
		return "ingress and egress"
	}
	return word(types[0])
}

// freeName is the name, or one like it that no policy of the namespace has.
func (v *view) freeName(namespace, name string) string {
	taken := func(name string) bool {
		return slices.ContainsFunc(v.policies, func(p *policy) bool { return p.Namespace == namespace && p.Name == name })
	}
	free := name
	for i := 2; taken(free); i++ {
		free = fmt.Sprintf("%s-%d", name, i)
	}
	return free
}

// egressClosed notes pods that may not connect anywhere, not even to DNS. That
// may be meant; it is often a default deny without the rule that belongs to it. It
// is said once of a namespace.
func egressClosed(v *view) []draft {
	closed := map[string][]*class{} // by namespace
	first := map[string]*policy{}
	for _, c := range v.classes {
		isolating := v.isolated[c][egress]
		if len(isolating) == 0 || slices.ContainsFunc(isolating, func(p *policy) bool { return len(p.rules(egress)) > 0 }) {
			continue
		}
		closed[c.Namespace] = append(closed[c.Namespace], c)
		if first[c.Namespace] == nil {
			first[c.Namespace] = isolating[0]
		}
	}
	var drafts []draft
	for _, ns := range slices.Sorted(maps.Keys(closed)) {
		drafts = append(drafts, draft{
			policy: first[ns], at: at("spec", "policyTypes"), severity: Info,
			what: fmt.Sprintf("%s may not connect anywhere, and not look up names.", names(closed[ns])),
			why:  v.isolators(closed[ns][0], egress) + ", without any egress rule.",
			fix:  "Nothing, if these pods only answer. Else allow what they need, and UDP and TCP 53 to the cluster's DNS.",
		})
	}
	return drafts
}

// hostNetwork notes pods that share their node's network and are selected all
// the same: what a policy does to them is left to implementations.
func hostNetwork(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		all := v.selected(p)
		var on []*class
		for _, c := range all {
			if c.HostNetwork {
				on = append(on, c)
			}
		}
		if len(on) == 0 {
			continue
		}
		d := draft{policy: p, at: at("spec", "podSelector"), severity: Info}
		if len(on) == len(all) {
			d.severity = Warning
		}
		d.what = fmt.Sprintf("The policy selects pods that share their node's network: %s.", names(on))
		d.why = "What it does to them is undefined; most implementations ignore them or take them for the node (NetworkPolicy specification, hostNetwork pods)."
		d.fix = "Protect such pods with the node's firewall or a policy of the network plugin for hosts."
		drafts = append(drafts, d)
	}
	return drafts
}
