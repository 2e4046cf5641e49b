package literal

import "testing"

// admin is a policy of tier Admin on every pod.
func admin(direction, text string) string {
	return "- {name: a, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, " + direction + ": [" + text + "]}}"
}

func TestSubjects(t *testing.T) {
	deny := func(subject string) string {
		return "- {name: a, spec: {tier: Admin, priority: 1, subject: " + subject + ", ingress: [{action: Deny, from: [{namespaces: {}}]}]}}"
	}
	check(t, []clause{
		{"namespaces by label", deny(`{namespaces: {matchLabels: {tier: ai}}}`), to(prom, model, 1), denied},
		{"namespaces of another label", deny(`{namespaces: {matchLabels: {tier: data}}}`), to(prom, model, 1), allowed},
		{"namespaces by the label that the API server sets", deny(`{namespaces: {matchLabels: {kubernetes.io/metadata.name: ai}}}`), to(prom, model, 1), denied},
		{"a namespace whose labels are not known", deny(`{namespaces: {matchLabels: {tier: ai}}}`), to(prom, lost, 1), unknown},
		{"an empty selector and a namespace that is not known", deny(`{namespaces: {}}`), to(prom, lost, 1), denied},
		{"pods in namespaces", deny(`{pods: {namespaceSelector: {matchLabels: {tier: ai}}, podSelector: {matchLabels: {app: model}}}}`), to(prom, model, 1), denied},
		{"pods of another label", deny(`{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}}`), to(prom, model, 1), allowed},
		{"pods of another namespace", deny(`{pods: {namespaceSelector: {matchLabels: {tier: x}}, podSelector: {}}}`), to(prom, model, 1), allowed},
		{"host-networked pods are not included", deny(`{namespaces: {}}`), to(prom, hosted, 1), allowed},
		{"no field is invalid", deny(`{}`), to(prom, model, 1), unknown},
		{"both fields are invalid", deny(`{namespaces: {}, pods: {namespaceSelector: {}, podSelector: {}}}`), to(prom, model, 1), unknown},
	})
}

func TestPeers(t *testing.T) {
	deny := func(peers string) string { return admin("egress", "{action: Deny, to: ["+peers+"]}") }
	check(t, []clause{
		{"namespaces", deny(`{namespaces: {matchLabels: {tier: ai}}}`), to(prom, model, 1), denied},
		{"namespaces are no outside addresses", deny(`{namespaces: {}}`), out(prom, "1.1.1.1", 1), allowed},
		{"host-networked pods are in no namespaces", deny(`{namespaces: {}}`), to(prom, hosted, 1), allowed},
		{"pods", deny(`{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: model}}}}`), to(prom, model, 1), denied},
		{"other pods", deny(`{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}}`), to(prom, model, 1), allowed},
		{"any peer of the list", deny(`{networks: [1.0.0.0/8]}, {namespaces: {}}`), to(prom, model, 1), denied},
		{"networks hold outside addresses", deny(`{networks: [1.0.0.0/8]}`), out(prom, "1.1.1.1", 1), denied},
		{"networks hold pods as well", deny(`{networks: [0.0.0.0/0]}`), to(prom, model, 1), denied},
		{"any of the networks", deny(`{networks: [9.0.0.0/8, 1.0.0.0/8]}`), out(prom, "1.1.1.1", 1), denied},
		{"networks of the other family", deny(`{networks: ["::/0"]}`), out(prom, "1.1.1.1", 1), allowed},
		{"networks hold ICMP", deny(`{networks: [0.0.0.0/0]}`), to(prom, model, 0, "ICMP"), denied},
		{"a network that is no CIDR", deny(`{networks: [1.1.1/8]}`), out(prom, "9.9.9.9", 1), unknown},
		{"networks and an address that is not known", deny(`{networks: [0.0.0.0/0]}`), out(prom, "", 1), unknown},
		{"nodes by label", deny(`{nodes: {matchLabels: {pool: gpu}}}`), out(prom, "192.0.2.1", 1), denied},
		{"nodes of another label", deny(`{nodes: {matchLabels: {pool: gpu}}}`), out(prom, "192.0.2.2", 1), allowed},
		{"nodes are no other addresses", deny(`{nodes: {}}`), out(prom, "192.0.2.9", 1), allowed},
		{"nodes and the pods on their network", deny(`{nodes: {matchLabels: {pool: gpu}}}`), to(prom, hosted, 1), denied},
		{"nodes and a pod on a node's network that is not known", deny(`{nodes: {}}`), to(prom, strayed, 1), unknown},
		{"nodes are no pods", deny(`{nodes: {}}`), to(prom, model, 1), allowed},
		{"domain names may be any outside address", deny(`{domainNames: [example.org]}`), out(prom, "1.1.1.1", 1), unknown},
		{"domain names are no pods", deny(`{domainNames: [example.org]}`), to(prom, model, 1), allowed},
		{"a peer without fields makes a Deny rule deny all", deny(`{}, {networks: [9.0.0.0/8]}`), out(prom, "1.1.1.1", 1), denied},
		{"a peer without fields makes a Pass rule deny all", admin("egress", "{action: Pass, to: [{}]}"), out(prom, "1.1.1.1", 1), denied},
		{"a peer without fields makes an Accept rule match nothing", admin("egress", "{action: Accept, to: [{namespaces: {}}, {}]}, {action: Deny, to: [{namespaces: {}}]}"), to(prom, model, 1), denied},
		{"a peer with two fields", deny(`{namespaces: {}, networks: [0.0.0.0/0]}`), to(prom, model, 1), unknown},
		{"no peers", deny(``), to(prom, model, 1), unknown},
		{"a doubt that makes no difference", admin("egress", "{action: Deny, to: [{domainNames: [example.org]}]}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}"), out(prom, "1.1.1.1", 1), denied},
	})
}

func TestProtocols(t *testing.T) {
	deny := func(protocols string) string {
		return admin("ingress", "{action: Deny, from: [{namespaces: {}}], protocols: ["+protocols+"]}")
	}
	check(t, []clause{
		{"without protocols a rule is about all", admin("ingress", "{action: Deny, from: [{namespaces: {}}]}"), to(prom, model, 1, "SCTP"), denied},
		{"without protocols a rule is about ICMP as well", admin("ingress", "{action: Deny, from: [{namespaces: {}}]}"), to(prom, model, 0, "ICMP"), denied},
		{"a number", deny(`{tcp: {destinationPort: {number: 80}}}`), to(prom, model, 80), denied},
		{"another number", deny(`{tcp: {destinationPort: {number: 80}}}`), to(prom, model, 81), allowed},
		{"another protocol", deny(`{tcp: {destinationPort: {number: 80}}}`), to(prom, model, 80, udp), allowed},
		{"UDP", deny(`{udp: {destinationPort: {number: 80}}}`), to(prom, model, 80, udp), denied},
		{"SCTP", deny(`{sctp: {destinationPort: {number: 80}}}`), to(prom, model, 80, "SCTP"), denied},
		{"protocols are not about ICMP", deny(`{tcp: {destinationPort: {number: 80}}}`), to(prom, model, 80, "ICMP"), allowed},
		{"the start of a range", deny(`{tcp: {destinationPort: {range: {start: 80, end: 90}}}}`), to(prom, model, 80), denied},
		{"the end of a range", deny(`{tcp: {destinationPort: {range: {start: 80, end: 90}}}}`), to(prom, model, 90), denied},
		{"past a range", deny(`{tcp: {destinationPort: {range: {start: 80, end: 90}}}}`), to(prom, model, 91), allowed},
		{"a range that ends before it starts", deny(`{tcp: {destinationPort: {range: {start: 90, end: 80}}}}`), to(prom, model, 85), unknown},
		{"any of the list", deny(`{tcp: {destinationPort: {number: 1}}}, {tcp: {destinationPort: {number: 80}}}`), to(prom, model, 80), denied},
		{"a name on the target", deny(`{destinationNamedPort: http}`), to(prom, model, 8000), denied},
		{"a name with another number", deny(`{destinationNamedPort: http}`), to(prom, model, 8001), allowed},
		{"a name of UDP", deny(`{destinationNamedPort: dns}`), to(prom, model, 53, udp), denied},
		{"a name of another protocol", deny(`{destinationNamedPort: dns}`), to(prom, model, 53), allowed},
		{"a name and a network", admin("egress", "{action: Deny, to: [{networks: [0.0.0.0/0]}], protocols: [{destinationNamedPort: http}]}"), to(prom, model, 8000), unknown},
		{"two fields", deny(`{destinationNamedPort: http, tcp: {destinationPort: {number: 1}}}`), to(prom, model, 1), unknown},
		{"no field", deny(`{}`), to(prom, model, 1), unknown},
		{"neither number nor range", deny(`{tcp: {destinationPort: {}}}`), to(prom, model, 1), unknown},
	})
}
