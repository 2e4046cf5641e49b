package verdict

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

func TestIsolation(t *testing.T) {
	into, out := to(prom, model, 8000), to(model, store, 6333)
	check(t, []clause{
		{"a missing podSelector selects every pod of the namespace", `{}`, into, Deny},
		{"an empty podSelector does too", `podSelector: {}`, into, Deny},
		{"a selector selects by label", `podSelector: {matchLabels: {app: model}}`, into, Deny},
		{"a selector leaves other pods open", `podSelector: {matchLabels: {app: gateway}}`, into, Allow},
		{"a policy selects pods of its own namespace only", `podSelector: {}`, to(prom, store, 6333), Allow},
		{"missing policyTypes isolate ingress", `podSelector: {}`, into, Deny},
		{"missing policyTypes without egress rules leave egress open", `podSelector: {}`, out, Allow},
		{"missing policyTypes with egress rules isolate egress", `egress: [{ports: [{port: 1}]}]`, out, Deny},
		{"missing policyTypes with egress rules isolate ingress as well", `egress: [{}]`, into, Deny},
		{"policyTypes Egress leaves ingress open", `policyTypes: [Egress]`, into, Allow},
		{"policyTypes Egress isolates egress without a rule", `policyTypes: [Egress]`, out, Deny},
		{"rules of a direction outside policyTypes have no effect", `{policyTypes: [Ingress], egress: [{ports: [{port: 1}]}]}`, out, Allow},
		{"an empty ingress rule allows everything", `ingress: [{}]`, into, Allow},
		{"an empty list of ingress rules allows nothing", `ingress: []`, into, Deny},
		{"an empty egress rule allows everything", `{policyTypes: [Egress], egress: [{}]}`, out, Allow},
		{"empty ports and peers restrict nothing", `ingress: [{from: [], ports: []}]`, into, Allow},
		{"NotIn selects pods without the key", `podSelector: {matchExpressions: [{key: no, operator: NotIn, values: [x]}]}`, into, Deny},
		{"Exists and DoesNotExist of one key select nothing", `podSelector: {matchExpressions: [{key: app, operator: Exists}, {key: app, operator: DoesNotExist}]}`, into, Allow},
		{"an invalid podSelector is Unknown", `podSelector: {matchExpressions: [{key: app, operator: Near, values: [x]}]}`, into, Unknown},
		{"an invalid podSelector with a rule for everything allows either way", `{podSelector: {matchExpressions: [{key: app, operator: In}]}, ingress: [{}]}`, into, Allow},
		{"a pod always reaches itself", `{policyTypes: [Ingress, Egress]}`, to(model, model, 8000), Allow},
		{"two pods of one workload are not one pod", `{}`, to(pod("ai/model-2", "10.1.0.9"), model, 8000), Deny},
		{"outside addresses have no policies", `{policyTypes: [Ingress]}`, Conn{From: End{Pod: model}, To: ip("1.1.1.1"), Port: 443}, Allow},
		{"an outside source is judged at the target", `{}`, Conn{From: ip("1.1.1.1"), To: End{Pod: model}, Port: 443}, Deny},
		{"a pod's own node always gets in", `{}`, Conn{From: ip("192.0.2.1"), To: End{Pod: model}, Port: 8000, FromNode: true}, Allow},
		{"a connection without a pod is nothing to judge", `{}`, Conn{From: ip("1.1.1.1"), To: ip("1.1.1.2"), Port: 443}, Unknown},
		{"port zero is no port", `{ingress: [{}]}`, to(prom, model, 0), Unknown},
	})
}

func TestBothDirectionsMustAllow(t *testing.T) {
	out := policy(t, "ai/out", `{podSelector: {matchLabels: {app: gateway}}, policyTypes: [Egress], egress: [{ports: [{port: 8000}]}]}`)
	in := policy(t, "ai/in", `{podSelector: {matchLabels: {app: model}}, ingress: [{ports: [{port: 9090}, {port: 8000}]}]}`)
	w := world(t, out, in)
	for port, want := range map[int32][3]Decision{
		8000: {Allow, Allow, Allow}, 9090: {Deny, Deny, Allow}, 22: {Deny, Deny, Deny},
	} {
		v := judge(t, w, to(gateway, model, port))
		if got := [3]Decision{v.Decision, v.Egress.Decision, v.Ingress.Decision}; got != want {
			t.Errorf("port %d: got verdict, egress, ingress %v, want %v", port, got, want)
		}
	}
	if v := judge(t, w, to(prom, model, 22)); v.Decision != Deny || v.Egress.Decision != Allow {
		t.Errorf("only ingress denies: got %+v", v)
	}
}

func TestPoliciesAdd(t *testing.T) {
	deny := policy(t, "ai/deny", `{}`)
	a := policy(t, "ai/a", `ingress: [{ports: [{port: 1}]}]`)
	b := policy(t, "ai/b", `ingress: [{ports: [{port: 2}]}]`)
	w := world(t, deny, a, b)
	for port, want := range map[int32]Decision{1: Allow, 2: Allow, 3: Deny} {
		if got := judge(t, w, to(prom, model, port)).Decision; got != want {
			t.Errorf("port %d: got %s, want %s", port, got, want)
		}
	}
	if got := judge(t, world(t), to(prom, model, 3)).Decision; got != Allow {
		t.Errorf("without policies: got %s", got)
	}
}

func TestUnknownYieldsToACertainDenial(t *testing.T) {
	in := policy(t, "ai/in", `podSelector: {matchExpressions: [{key: app, operator: In}]}`)
	out := policy(t, "mon/out", `policyTypes: [Egress]`)
	v := judge(t, world(t, in, out), to(prom, model, 1))
	if v.Decision != Deny || v.Ingress.Decision != Unknown {
		t.Errorf("got %s, ingress %s, want Deny, Unknown", v.Decision, v.Ingress.Decision)
	}
	if want := "mon/out egress: no rule allows 1/TCP to ai/model"; v.Rule() != want {
		t.Errorf("got rule %q, want %q", v.Rule(), want)
	}
}

func TestDefaulted(t *testing.T) {
	p := policy(t, "ai/p", `egress: [{ports: [{port: 1}]}]`)
	d := Defaulted(p.Spec)
	if len(d.PolicyTypes) != 2 || *d.Egress[0].Ports[0].Protocol != "TCP" {
		t.Errorf("got %+v", d)
	}
	if p.Spec.PolicyTypes != nil || p.Spec.Egress[0].Ports[0].Protocol != nil {
		t.Error("Defaulted changed its argument")
	}
	if got := Defaulted(networkingv1.NetworkPolicySpec{}).PolicyTypes; len(got) != 1 || got[0] != networkingv1.PolicyTypeIngress {
		t.Errorf("the empty spec affects ingress only, got %v", got)
	}
}
