package compile

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
)

// Each row is a clause of the NetworkPolicy v1 specification. The policies are
// in namespace ai; + passes, - does not.
var specification = []struct{ name, policies, packets string }{
	{"without policies everything passes", "", `
			+ chat > gateway:4000/tcp
			+ chat > gateway:1/icmp
			+ gateway > 8.8.8.8:53/udp`},
	{"a policy without rules isolates the pods it selects, for ingress, and no others", `
podSelector: {matchLabels: {app: gateway}}
policyTypes: [Ingress]`, `
			- chat > gateway:4000/tcp
			- db > gateway:4000/tcp
			- chat > gateway:1/icmp
			+ gateway > chat:80/tcp
			+ chat > db:5432/tcp`},
	{"an empty podSelector selects all pods of the namespace", `
podSelector: {}
policyTypes: [Ingress]`, `
			- chat > gateway:4000/tcp
			- chat > db:5432/tcp
			+ gateway > chat:80/tcp`},
	{"a pod cannot block access to itself", `
podSelector: {}
policyTypes: [Ingress, Egress]`, `
			+ gateway > gateway:4000/tcp
			- gateway > db:5432/tcp`},
	{"missing policyTypes mean ingress", `
podSelector: {matchLabels: {app: gateway}}`, `
			- chat > gateway:4000/tcp
			+ gateway > chat:80/tcp`},
	{"missing policyTypes with egress rules mean both", `
podSelector: {matchLabels: {app: gateway}}
egress: [{ports: [{port: 53, protocol: UDP}]}]`, `
			- chat > gateway:4000/tcp
			- gateway > chat:80/tcp
			+ gateway > chat:53/udp`},
	{"rules of a direction that policyTypes leave out do nothing", `
podSelector: {matchLabels: {app: gateway}}
policyTypes: [Egress]
ingress: [{from: [{podSelector: {}}]}]`, `
			+ chat > gateway:4000/tcp
			- gateway > chat:80/tcp`},
	{"a rule without peers and ports allows all", `
podSelector: {}
policyTypes: [Ingress]
ingress: [{}]`, `
			+ chat > gateway:4000/tcp
			+ 8.8.8.8 > gateway:4000/udp
			+ chat > gateway:1/icmp`},
	{"empty peers are all peers", `
podSelector: {}
policyTypes: [Ingress]
ingress: [{from: [], ports: [{port: 4000}]}]`, `
			+ chat > gateway:4000/tcp
			- chat > gateway:4001/tcp`},
	{"podSelector alone means the policy's namespace, never another", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{podSelector: {}}]}]`, `
			+ db > gateway:4000/tcp
			- chat > gateway:4000/tcp`},
	{"namespaceSelector alone means all pods there", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{namespaceSelector: {matchLabels: {team: apps}}}]}]`, `
			+ chat > gateway:4000/tcp
			+ far > gateway:4000/tcp
			- db > gateway:4000/tcp`},
	{"an empty namespaceSelector means all pods, not all addresses", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{namespaceSelector: {}}]}]`, `
			+ chat > gateway:4000/tcp
			+ db > gateway:4000/tcp
			- 8.8.8.8 > gateway:4000/tcp`},
	{"both selectors in one peer must match", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{namespaceSelector: {matchLabels: {team: apps}}, podSelector: {matchLabels: {app: chat}}}]}]`, `
			+ chat > gateway:4000/tcp
			- far > gateway:4000/tcp`},
	{"two selectors in two peers are alternatives", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{namespaceSelector: {matchLabels: {team: apps}}}, {podSelector: {matchLabels: {app: db}}}]}]`, `
			+ chat > gateway:4000/tcp
			+ far > gateway:4000/tcp
			+ db > gateway:4000/tcp
			- 8.8.8.8 > gateway:4000/tcp`},
	{"matchExpressions count as well", `
podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [db]}]}
ingress: [{from: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator: In, values: [chat, far]}]}}]}]`, `
			+ chat > gateway:4000/tcp
			- db > gateway:4000/tcp
			+ gateway > db:5432/tcp`},
	{"an ipBlock is a range without its excepts, pod addresses included", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.1.3/32, 10.244.2.0/24]}}]}]`, `
			+ chat > gateway:4000/tcp
			- db > gateway:4000/tcp
			- far > gateway:4000/tcp
			- 8.8.8.8 > gateway:4000/tcp`},
	{"an except holds for its own block only", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.2.0/24]}}, {ipBlock: {cidr: 10.244.2.5/32}}]}]`, `
			+ far > gateway:4000/tcp
			- 10.244.2.6 > gateway:4000/tcp`},
	{"the whole address space is a block", `
podSelector: {matchLabels: {app: gateway}}
policyTypes: [Egress]
egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]`, `
			+ gateway > 255.255.255.255:1/udp
			+ gateway > 8.8.8.8:53/udp
			- gateway > chat:80/tcp`},
	{"a port without protocol is TCP", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{ports: [{port: 4000}]}]`, `
			+ chat > gateway:4000/tcp
			- chat > gateway:4000/udp`},
	{"a protocol without port is all its ports", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{ports: [{protocol: UDP}, {protocol: SCTP, port: 7}]}]`, `
			+ chat > gateway:4000/udp
			+ chat > gateway:7/sctp
			- chat > gateway:8/sctp
			- chat > gateway:4000/tcp
			- chat > gateway:1/icmp`},
	{"endPort closes a range, both ends included", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{ports: [{port: 4000, endPort: 4002}]}]`, `
			- chat > gateway:3999/tcp
			+ chat > gateway:4000/tcp
			+ chat > gateway:4002/tcp
			- chat > gateway:4003/tcp`},
	{"a named port of ingress is the selected pod's own", `
podSelector: {}
ingress: [{ports: [{port: api}]}]`, `
			+ chat > gateway:4000/tcp
			- chat > gateway:5432/tcp
			+ chat > db:5432/tcp
			- chat > db:4000/tcp`},
	{"a named port of egress is each target's own, and only pods have names", `
podSelector: {matchLabels: {app: gateway}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {}}, {ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: api}]}]`, `
			+ gateway > db:5432/tcp
			- gateway > db:4000/tcp
			- gateway > 8.8.8.8:5432/tcp`},
	{"a named port is one of its protocol", `
podSelector: {matchLabels: {app: gateway}}
ingress: [{ports: [{port: api, protocol: UDP}]}]`, `
			- chat > gateway:4000/udp
			- chat > gateway:4000/tcp`},
	{"policies of a pod add up", `
podSelector: {matchLabels: {app: gateway}}
policyTypes: [Ingress]
---
podSelector: {}
ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]
---
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{namespaceSelector: {matchLabels: {team: apps}}}], ports: [{port: 4000}]}]`, `
			+ chat > gateway:4000/tcp
			- chat > gateway:4001/tcp
			+ db > gateway:9/udp
			- chat > db:5432/tcp`},
	{"a connection needs the sender's egress and the receiver's ingress", `
podSelector: {matchLabels: {app: gateway}}
policyTypes: [Egress]
egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}]
---
podSelector: {matchLabels: {app: db}}
policyTypes: [Ingress]
ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]`, `
			- gateway > db:5432/tcp`},
}

func TestSpecification(t *testing.T) {
	for _, tt := range specification {
		t.Run(tt.name, func(t *testing.T) {
			var policies []string
			if tt.policies != "" {
				policies = strings.Split(tt.policies, "\n---\n")
			}
			out := Node(input(t, policies...))
			check(t, out, tt.packets)
			if len(out.Problems) > 0 {
				t.Errorf("problems: %+v", out.Problems)
			}
		})
	}
}

func TestWhatCannotBeHonouredStaysClosedAndIsSaid(t *testing.T) {
	const other = `
			+ db > gateway:9/tcp
			- chat > gateway:4000/tcp`
	for _, tt := range []struct{ name, rule, field, packets string }{
		{"an IPv6 block matches nothing", `{from: [{ipBlock: {cidr: "2001:db8::/32"}}]}`, "spec.ingress[1].from[0].ipBlock.cidr", other},
		{"an IPv6 block leaves the other peers", `{from: [{ipBlock: {cidr: "::/0"}}, {namespaceSelector: {matchLabels: {team: apps}}}]}`, "spec.ingress[1].from[0].ipBlock.cidr", "+ chat > gateway:4000/tcp"},
		{"a protocol nobody knows", `{ports: [{protocol: GRE}]}`, "spec.ingress[1].ports[0].protocol", other},
		{"endPort with a name", `{ports: [{port: 4000}, {port: api, endPort: 9}]}`, "spec.ingress[1].ports[1].endPort", other},
		{"endPort below port", `{ports: [{port: 4000, endPort: 9}]}`, "spec.ingress[1].ports[0].port", other},
		{"a peer that says nothing", `{from: [{}]}`, "spec.ingress[1].from[0]", other},
		{"a block that is none", `{from: [{ipBlock: {cidr: banana}}]}`, "spec.ingress[1].from[0].ipBlock.cidr", other},
		{"an except that is none", `{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [banana]}}]}`, "spec.ingress[1].from[0].ipBlock.except[0]", other},
		{"a block with a selector", `{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}`, "spec.ingress[1].from[0]", other},
		{"a selector nobody can read", `{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: Near}]}}]}`, "spec.ingress[1].from[0].namespaceSelector", other},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := Node(input(t, `
podSelector: {matchLabels: {app: gateway}}
ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}, `+tt.rule+`]`))
			check(t, out, tt.packets)
			if len(out.Problems) != 1 || out.Problems[0].Field != tt.field {
				t.Errorf("problems: got %+v, want one of %s", out.Problems, tt.field)
			}
		})
	}
}

func TestASelectorThatCannotBeReadIsolatesTheNamespace(t *testing.T) {
	out := Node(input(t, `podSelector: {matchExpressions: [{key: a, operator: Near}]}`))
	check(t, out, `
		- chat > gateway:4000/tcp
		- chat > db:5432/tcp
		+ gateway > chat:80/tcp`)
	if len(out.Problems) != 1 || out.Problems[0].Field != "spec.podSelector" {
		t.Errorf("problems: got %+v", out.Problems)
	}
}

func TestARuleWithTooManyCombinationsIsRefused(t *testing.T) {
	in := input(t, `podSelector: {matchLabels: {app: gateway}}`)
	rule := networkingv1.NetworkPolicyIngressRule{Ports: make([]networkingv1.NetworkPolicyPort, maxRules+1)}
	in.Policies[0].Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{rule}
	out := Node(in)
	check(t, out, "- chat > gateway:4000/tcp")
	if len(out.Problems) != 1 {
		t.Errorf("problems: got %d, want 1", len(out.Problems))
	}
}
