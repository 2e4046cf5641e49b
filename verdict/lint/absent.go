package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"
)

// rulesWithoutType finds rules in a direction that policyTypes leaves out: they
// have no effect, and the pods stay open there.
func rulesWithoutType(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, d := range []networkingv1.PolicyType{ingress, egress} {
			if len(p.rules(d)) == 0 || p.Affects(d) {
				continue
			}
			drafts = append(drafts, draft{
				policy: p, at: at("spec", word(d)), severity: Error,
				what: fmt.Sprintf("The %s rules have no effect: policyTypes does not list %s.", word(d), d),
				why:  fmt.Sprintf("A policy isolates its pods only in the directions that policyTypes lists (NetworkPolicySpec.policyTypes), so %s stay open for %s.", selectedText(v, p), word(d)),
				fix:  fmt.Sprintf("Add %s to policyTypes.", d),
				edit: add(at("spec", "policyTypes"), text(string(d))), closes: true,
			})
		}
	}
	return drafts
}

func selectedText(v *view, p *policy) string {
	if all := v.selected(p); len(all) > 0 {
		return names(all)
	}
	return "its pods"
}

// typesMissing finds policies for egress only that do not say so, and isolate
// their pods for ingress too.
func typesMissing(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		if len(p.Spec.PolicyTypes) > 0 || len(p.Spec.Egress) == 0 || p.Spec.Ingress != nil {
			continue
		}
		d := draft{policy: p, at: at("spec"), severity: Warning}
		closed := v.closedBy(p)
		d.what = "The policy has egress rules only, and isolates its pods for ingress too."
		d.why = "Without policyTypes a policy always affects ingress (NetworkPolicySpec.policyTypes), and with no ingress rule nothing gets in."
		if len(closed) > 0 {
			if d.severity = Error; v.othersDecide(p.Namespace) {
				d.severity = Warning // one of them may let somebody in
			}
			d.why += fmt.Sprintf(" Nothing can reach %s, which Services lead to.", names(closed))
		} else if v.closedAnyway(p) {
			d.severity = Info
			d.why += " Other policies isolate the same pods for ingress, so nothing changes today."
		}
		d.fix = "Write policyTypes: [Egress]."
		d.edit = set(at("spec", "policyTypes"), flow(list(text(string(egress)))))
		drafts = append(drafts, d)
	}
	return drafts
}

// closedBy lists selected classes behind Services that this policy alone
// isolates for ingress.
func (v *view) closedBy(p *policy) []*class {
	var all []*class
	for _, c := range v.selected(p) {
		if len(c.services) > 0 && len(v.isolated[c][ingress]) == 1 {
			all = append(all, c)
		}
	}
	return all
}

// closedAnyway reports whether other policies isolate all that this one selects
// for ingress.
func (v *view) closedAnyway(p *policy) bool {
	all := v.selected(p)
	return len(all) > 0 && !slices.ContainsFunc(all, func(c *class) bool { return len(v.isolated[c][ingress]) < 2 })
}

// isolatedAnyway reports whether other policies isolate all that the policy selects.
func (v *view) isolatedAnyway(p *policy, d networkingv1.PolicyType) bool {
	all := v.selected(p)
	return len(all) > 0 && !slices.ContainsFunc(all, func(c *class) bool { return len(v.isolated[c][d]) == 0 })
}

// emptyEgressIgnored finds "egress: []" without policyTypes, which reads like a
// denial and is none.
func emptyEgressIgnored(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		if len(p.Spec.PolicyTypes) > 0 || p.Spec.Egress == nil || len(p.Spec.Egress) > 0 {
			continue
		}
		types := []*yaml.Node{text(string(egress))}
		if p.Spec.Ingress != nil {
			types = []*yaml.Node{text(string(ingress)), text(string(egress))}
		}
		severity := Error
		if len(p.Spec.Ingress) > 0 || v.isolatedAnyway(p, egress) {
			severity = Warning // it may be a field that somebody's template always writes, or nothing is open by it
		}
		drafts = append(drafts, draft{
			policy: p, at: at("spec", "egress"), severity: severity,
			what: "The empty egress list denies nothing.",
			why:  fmt.Sprintf("Without policyTypes a policy affects egress only if it has egress rules (NetworkPolicySpec.policyTypes): %s may still connect to everything.", selectedText(v, p)),
			fix:  "List the directions in policyTypes.",
			edit: set(at("spec", "policyTypes"), flow(list(types...))), closes: true,
		})
	}
	return drafts
}

// emptyList finds from, to and ports that are there and empty: they look like
// nobody and mean everybody.
func emptyList(v *view) []draft {
	var drafts []draft
	meant := map[string][]rule{} // by namespace, those that are written to say so
	for _, p := range v.policies {
		for _, r := range p.allRules() {
			switch {
			case r.peers == nil || len(r.peers) > 0:
			case r.direction == egress || p.meansEveryone():
				meant[p.Namespace] = append(meant[p.Namespace], r)
			default:
				drafts = append(drafts, emptyDraft(v, r, r.peersKey(), "everyone"))
			}
			if r.ports != nil && len(r.ports) == 0 {
				drafts = append(drafts, emptyDraft(v, r, "ports", "every port"))
			}
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(meant)) {
		drafts = append(drafts, meantDraft(v, meant[namespace]))
	}
	return drafts
}

// everyone are words by which policies say that they are for all.
var everyone = regexp.MustCompile(`(?i)allow-(all|external)|\b(anyone|everyone|everybody|anywhere|public|internet|world)\b`)

// meansEveryone reports whether the policy's name or an annotation says that it is
// for all.
func (p *policy) meansEveryone() bool {
	return everyone.MatchString(p.Name) || slices.ContainsFunc(slices.Collect(maps.Values(p.object.Annotations)), everyone.MatchString)
}

// meantDraft is one remark on lists of a namespace that are likely meant, at the first.
func meantDraft(v *view, rules []rule) draft {
	d := emptyDraft(v, rules[0], rules[0].peersKey(), "everyone")
	d.severity = Info
	if more := len(rules) - 1; more > 0 {
		d.what = fmt.Sprintf("The empty list %s means everyone, here and in %d more rules of namespace %s.", rules[0].peersKey(), more, rules[0].policy.Namespace)
	}
	return d
}

func emptyDraft(v *view, r rule, key, meaning string) draft {
	return draft{
		policy: r.policy, at: r.at(key), severity: Warning,
		what: fmt.Sprintf("The empty list %s means %s.", key, meaning),
		why:  fmt.Sprintf("An empty or missing list restricts nothing (NetworkPolicy%sRule.%s); the rule is about %s.", r.direction, key, selectedText(v, r.policy)),
		fix:  fmt.Sprintf("If %s is meant, leave the field out, as in the corrected document; if nobody is, delete the rule.", meaning),
		edit: drop(r.at(key)),
	}
}

// redundantRules finds rules beside one that allows everything.
func redundantRules(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, d := range []networkingv1.PolicyType{ingress, egress} {
			rules := p.rules(d)
			open := slices.IndexFunc(rules, func(r rule) bool { return len(r.peers)+len(r.ports) == 0 })
			if open < 0 || len(rules) < 2 || !p.Affects(d) {
				continue
			}
			drafts = append(drafts, draft{
				policy: p, at: rules[open].at(), severity: Warning,
				what: fmt.Sprintf("An empty rule allows all %s, so the other %s no effect.", word(d), plural(len(rules)-1)),
				why:  fmt.Sprintf("Rules add up, and one without peers and ports allows everything (NetworkPolicySpec.%s): %s are open.", word(d), selectedText(v, p)),
				fix:  "Delete the empty rule; if everything is meant to be allowed, delete the others.",
				edit: drop(rules[open].at()), closes: true,
			})
		}
	}
	return drafts
}

func plural(n int) string {
	if n == 1 {
		return "rule has"
	}
	return fmt.Sprintf("%d rules have", n)
}

// promisesDenial reports whether the policy is named after a denial of the
// direction. One that denies the other direction keeps what its name says, unless
// the name says both.
func promisesDenial(p *policy, d networkingv1.PolicyType) bool {
	if !strings.Contains(p.Name, "deny") || strings.Contains(p.Name, "except") || strings.Contains(p.Name, "allow") {
		return false
	}
	other := ingress
	if d == ingress {
		other = egress
	}
	denies := p.Affects(other) && len(p.rules(other)) == 0
	return strings.Contains(p.Name, word(d)) || !strings.Contains(p.Name, word(other)) && !denies
}

// denyThatAllows finds policies named after a denial which an empty rule turns
// into the opposite: "ingress: [{}]" instead of "ingress: []".
func denyThatAllows(v *view) []draft {
	var drafts []draft
	for _, p := range v.policies {
		for _, d := range []networkingv1.PolicyType{ingress, egress} {
			rules := p.rules(d)
			if !promisesDenial(p, d) || !p.Affects(d) || len(rules) != 1 || len(rules[0].peers)+len(rules[0].ports) > 0 {
				continue
			}
			drafts = append(drafts, draft{
				policy: p, at: rules[0].at(), severity: Error,
				what: fmt.Sprintf("The policy is named %s and allows all %s.", p.Name, word(d)),
				why:  fmt.Sprintf("One empty rule allows everything; no rule at all allows nothing (NetworkPolicySpec.%s).", word(d)),
				fix:  fmt.Sprintf("Write %s: [].", word(d)),
				edit: edits(set(at("spec", word(d)), flow(list())), explicitTypes(p)), closes: true,
			})
		}
	}
	return drafts
}

// explicitTypes writes down the directions that a policy affects now, so that
// taking a rule away does not change them.
func explicitTypes(p *policy) edit {
	if len(p.Spec.PolicyTypes) > 0 {
		return edits()
	}
	var types []*yaml.Node
	for _, d := range []networkingv1.PolicyType{ingress, egress} {
		if p.Affects(d) {
			types = append(types, text(string(d)))
		}
	}
	return set(at("spec", "policyTypes"), flow(list(types...)))
}
