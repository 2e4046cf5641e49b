package verdict

import "testing"

func TestPorts(t *testing.T) {
	in := func(ports string) string { return `ingress: [{ports: ` + ports + `}]` }
	twice := pod("ai/twice", "10.1.0.12", Port{Name: "http", Number: 81}, Port{Name: "http", Number: 81, Protocol: udp})
	check(t, []clause{
		{"a number", in(`[{port: 8000}]`), to(prom, model, 8000), Allow},
		{"another number", in(`[{port: 8000}]`), to(prom, model, 8001), Deny},
		{"one of several", in(`[{port: 1}, {port: 8000}]`), to(prom, model, 8000), Allow},
		{"a missing protocol is TCP", in(`[{port: 53}]`), to(prom, model, 53, udp), Deny},
		{"UDP by name of protocol", in(`[{port: 53, protocol: UDP}]`), to(prom, model, 53, udp), Allow},
		{"UDP is not TCP", in(`[{port: 53, protocol: UDP}]`), to(prom, model, 53), Deny},
		{"SCTP", in(`[{port: 132, protocol: SCTP}]`), to(prom, model, 132, sctp), Allow},
		{"SCTP is not TCP", in(`[{port: 132}]`), to(prom, model, 132, sctp), Deny},
		{"a missing port is every port of the protocol", in(`[{protocol: UDP}]`), to(prom, model, 9, udp), Allow},
		{"a missing port is no port of another protocol", in(`[{protocol: UDP}]`), to(prom, model, 9), Deny},
		{"an empty port entry is all of TCP", in(`[{}]`), to(prom, model, 9), Allow},
		{"a rule without ports is every protocol", `ingress: [{}]`, to(prom, model, 9, sctp), Allow},
		{"the first port of a range", in(`[{port: 100, endPort: 200}]`), to(prom, model, 100), Allow},
		{"the last port of a range", in(`[{port: 100, endPort: 200}]`), to(prom, model, 200), Allow},
		{"a port past a range", in(`[{port: 100, endPort: 200}]`), to(prom, model, 201), Deny},
		{"a port before a range", in(`[{port: 100, endPort: 200}]`), to(prom, model, 99), Deny},
		{"a range backwards is invalid and Unknown", in(`[{port: 200, endPort: 100}]`), to(prom, model, 150), Unknown},
		{"a range without start is invalid and Unknown", in(`[{endPort: 100}]`), to(prom, model, 50), Unknown},
		{"a range from a name is invalid and Unknown", in(`[{port: http, endPort: 9000}]`), to(prom, model, 8000), Unknown},
		{"a name on the target", in(`[{port: http}]`), to(prom, model, 8000), Allow},
		{"a name means another number on another pod", in(`[{port: http}]`), to(prom, gateway, 8000), Deny},
		{"a name of another protocol", in(`[{port: dns}]`), to(prom, model, 53), Deny},
		{"a name with its protocol", in(`[{port: dns, protocol: UDP}]`), to(prom, model, 53, udp), Allow},
		{"a name used for two protocols", in(`[{port: http, protocol: UDP}]`), to(prom, twice, 81, udp), Allow},
		{"a name that the target does not declare", in(`[{port: grpc}]`), to(prom, model, 8000), Deny},
		{"an egress name is looked up on the target", `{policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`, to(gateway, store, 6333), Allow},
		{"an egress name is not looked up on the source", `{policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`, to(gateway, store, 4000), Deny},
		{"an outside address has no named ports", `{policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`, Conn{From: End{Pod: gateway}, To: ip("1.1.1.1"), Port: 8000}, Deny},
		{"ICMP to an isolated pod is Unknown", `{}`, to(prom, model, 0, "ICMP"), Unknown},
		{"ICMP that a rule seems to allow is Unknown", `ingress: [{}]`, to(prom, model, 0, "ICMP"), Unknown},
		{"ICMP to a pod that is not isolated", `podSelector: {matchLabels: {app: x}}`, to(prom, model, 0, "ICMP"), Allow},
	})
}

func TestRuleReadsAsTheProtocolSays(t *testing.T) {
	w := world(t,
		policy(t, "ai/default-deny", `policyTypes: [Ingress, Egress]`),
		policy(t, "ai/gateway", `{podSelector: {matchLabels: {app: gateway}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {matchLabels: {tier: data}}}]}, {from: [{podSelector: {}}]}], egress: [{to: [{podSelector: {matchLabels: {app: model}}}], ports: [{port: 8000}]}]}`),
		policy(t, "ai/model", `{podSelector: {matchLabels: {app: model}}, ingress: [{from: [{podSelector: {}}]}]}`))
	outside := Conn{From: End{Pod: gateway}, To: ip("203.0.113.9"), Port: 443}
	for _, tt := range []struct {
		name string
		conn Conn
		want string
	}{
		{"egress", to(gateway, store, 53, udp), "ai/gateway egress: no rule allows 53/UDP to data/store"},
		{"ingress", to(prom, model, 9090), "ai/model ingress: no rule allows 9090/TCP from mon/prom"},
		{"to an address", outside, "ai/gateway egress: no rule allows 443/TCP to 203.0.113.9"},
		{"the default deny where nothing else selects", to(pod("ai/lonely", ""), store, 1), "ai/default-deny egress: no rule allows 1/TCP to data/store"},
		{"egress comes first", to(gateway, pod("ai/lonely", ""), 1), "ai/gateway egress: no rule allows 1/TCP to ai/lonely"},
		{"an allow names the rules", to(gateway, model, 8000), "ai/gateway egress[0], ai/model ingress[0]"},
		{"an allow names the right rule", to(pod("ai/lonely2", ""), gateway, 1), "ai/default-deny egress: no rule allows 1/TCP to ai/gateway"},
		{"an allow by one side", to(prom, store, 1), "not isolated"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := judge(t, w, tt.conn).Rule(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got, want := judge(t, w, to(pod("ai/lonely", ""), gateway, 1)).Ingress.Rule, "ai/gateway ingress[1]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
