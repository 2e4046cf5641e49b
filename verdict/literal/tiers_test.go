package literal

import (
	"fmt"
	"testing"

	"github.com/tightrope-dev/tightrope/verdict"
)

// cnp is a policy on every pod with ingress rules from every pod.
func cnp(name, tier string, priority int, actions ...string) string {
	s := fmt.Sprintf("- {name: %s, spec: {tier: %s, priority: %d, subject: {namespaces: {}}, ingress: [", name, tier, priority)
	for _, a := range actions {
		s += fmt.Sprintf("{action: %s, from: [{namespaces: {}}]}, ", a)
	}
	return s + "]}}\n"
}

func TestTiers(t *testing.T) {
	const (
		isolate = "- {namespace: ai, name: deny, spec: {}}\n"
		open    = "- {namespace: ai, name: open, spec: {ingress: [{}]}}\n"
		broken  = "- {namespace: ai, name: broken, spec: {podSelector: {matchExpressions: [{key: app, operator: Near}]}, ingress: [{}]}}\n"
	)
	into := to(prom, model, 8000)
	check(t, []clause{
		{"an Admin Accept overrides NetworkPolicies", cnp("a", "Admin", 1, "Accept") + isolate, into, allowed},
		{"an Admin Deny overrides NetworkPolicies", cnp("a", "Admin", 1, "Deny") + open, into, denied},
		{"an Admin Pass leaves it to NetworkPolicies", cnp("a", "Admin", 1, "Pass", "Deny") + open, into, allowed},
		{"an Admin Pass skips the rest of its tier", cnp("a", "Admin", 1, "Pass") + cnp("b", "Admin", 2, "Deny"), into, allowed},
		{"the lower priority value comes first", cnp("a", "Admin", 9, "Deny") + cnp("b", "Admin", 3, "Accept"), into, allowed},
		{"the first rule that matches counts", cnp("a", "Admin", 9, "Deny", "Accept"), into, denied},
		{"equal priorities that agree", cnp("a", "Admin", 1, "Deny") + cnp("b", "Admin", 1, "Deny"), into, denied},
		{"equal priorities that disagree are left open", cnp("a", "Admin", 1, "Deny") + cnp("b", "Admin", 1, "Accept"), into, unknown},
		{"equal priorities of which one has nothing to say", cnp("a", "Admin", 1, "Deny") + cnp("b", "Admin", 1), into, denied},
		{"equal priorities of which one passes to the same end", cnp("a", "Admin", 1, "Accept") + cnp("b", "Admin", 1, "Pass") + open, into, allowed},
		{"priorities of different tiers do not meet", cnp("a", "Admin", 1, "Accept") + cnp("b", "Baseline", 1, "Deny"), into, allowed},
		{"NetworkPolicies override Baseline by allowing", cnp("a", "Baseline", 1, "Deny") + open, into, allowed},
		{"NetworkPolicies override Baseline by denying", cnp("a", "Baseline", 1, "Accept") + isolate, into, denied},
		{"Baseline denies to a pod that is not isolated", cnp("a", "Baseline", 1, "Deny"), into, denied},
		{"Baseline accepts to a pod that is not isolated", cnp("a", "Baseline", 1, "Accept", "Deny"), into, allowed},
		{"a Baseline Pass ends at the default", cnp("a", "Baseline", 1, "Pass", "Deny"), into, allowed},
		{"an Admin Pass does not skip Baseline", cnp("a", "Admin", 1, "Pass") + cnp("b", "Baseline", 1, "Deny"), into, denied},
		{"a pod that may be isolated may come to Baseline", cnp("a", "Baseline", 1, "Deny") + broken, into, unknown},
		{"a pod that may be isolated, where both say the same", cnp("a", "Baseline", 1, "Accept") + broken, into, allowed},
		{"there is no implicit isolation", "- {name: a, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}}]}]}}", into, allowed},
		{"no ingress rules do not affect ingress", cnp("a", "Admin", 1), into, allowed},
		{"Accept at the source leaves the target's ingress alone", "- {name: a, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [{namespaces: {}}]}]}}\n" + isolate, into, denied},
		{"a pod on its own address is never subject to them", cnp("a", "Admin", 1, "Deny"), to(model, model, 8000), allowed},
		{"an unknown tier is Unknown", cnp("a", "Middle", 1, "Deny"), into, unknown},
		{"an unknown tier without rules says nothing", cnp("a", "Middle", 1), into, allowed},
		{"an unknown action is Unknown", cnp("a", "Admin", 1, "Log"), into, unknown},
	})
}

func TestForeignPoliciesMakeTheirPodsUnknown(t *testing.T) {
	w := policies(t, "- {namespace: ai, name: out, spec: {podSelector: {matchLabels: {app: gateway}}, policyTypes: [Egress]}}")
	w.Foreign = []verdict.Foreign{{Kind: "CiliumNetworkPolicy", Namespace: "mon", Name: "x"}}
	for _, tt := range []struct {
		name string
		conn verdict.Conn
		want verdict.Decision
	}{
		{"of its namespace", to(model, prom, 1), unknown},
		{"unless the other side denies", to(gateway, prom, 1), denied},
		{"not of other namespaces", to(prom, model, 1), unknown},
		{"not between other pods", to(model, dual, 1), allowed},
		{"not a pod to itself", to(prom, prom, 1), allowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if v := Judge(w, tt.conn); v.Decision != tt.want {
				t.Errorf("got %s (%s), want %s", v.Decision, v.Reason, tt.want)
			}
		})
	}
	w.Foreign[0].Namespace = ""
	if v := Judge(w, to(model, dual, 1)); v.Decision != unknown || v.Egress.Decision != unknown || v.Ingress.Decision != unknown {
		t.Errorf("without a namespace it may affect every pod: got %+v", v)
	}
}
