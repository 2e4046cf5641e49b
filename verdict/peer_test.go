package verdict

import (
	"net/netip"
	"testing"
)

func TestPodPeers(t *testing.T) {
	fromStranger := to(pod("new/x", "10.1.0.7"), model, 1)
	check(t, []clause{
		{"podSelector alone selects in the policy's namespace", `ingress: [{from: [{podSelector: {matchLabels: {app: gateway}}}]}]`, to(gateway, model, 1), Allow},
		{"podSelector alone selects nowhere else", `ingress: [{from: [{podSelector: {}}]}]`, to(prom, model, 1), Deny},
		{"an empty podSelector selects the whole own namespace", `ingress: [{from: [{podSelector: {}}]}]`, to(gateway, model, 1), Allow},
		{"namespaceSelector alone selects all pods there", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: data}}}]}]`, to(store, model, 1), Allow},
		{"namespaceSelector alone includes the own namespace only if it matches", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: data}}}]}]`, to(gateway, model, 1), Deny},
		{"an empty namespaceSelector selects all namespaces", `ingress: [{from: [{namespaceSelector: {}}]}]`, to(prom, model, 1), Allow},
		{"both selectors in one peer must match", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: data}}, podSelector: {matchLabels: {app: store}}}]}]`, to(store, model, 1), Allow},
		{"the pod matches and the namespace does not", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: ai}}, podSelector: {matchLabels: {app: store}}}]}]`, to(store, model, 1), Deny},
		{"the namespace matches and the pod does not", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: data}}, podSelector: {matchLabels: {app: x}}}]}]`, to(store, model, 1), Deny},
		{"selectors in two peers may match apart", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: ai}}}, {namespaceSelector: {matchLabels: {tier: data}}}]}]`, to(store, model, 1), Allow},
		{"namespaces have their name as a label", `ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: mon}}}]}]`, to(prom, model, 1), Allow},
		{"peer and port must match in one rule", `ingress: [{from: [{podSelector: {}}], ports: [{port: 1}]}, {from: [{namespaceSelector: {}}], ports: [{port: 2}]}]`, to(prom, model, 1), Deny},
		{"egress peers are read at the target", `{policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {tier: data}}}]}]}`, to(gateway, store, 1), Allow},
		{"pod selectors never match an outside address", `ingress: [{from: [{namespaceSelector: {}}]}]`, Conn{From: ip("10.1.0.5"), To: End{Pod: model}, Port: 1}, Deny},
		{"a namespace whose labels are not known is Unknown", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: x}}}]}]`, fromStranger, Unknown},
		{"an empty namespaceSelector needs no labels", `ingress: [{from: [{namespaceSelector: {}}]}]`, fromStranger, Allow},
		{"a pod that does not match needs no namespace labels", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: x}}, podSelector: {matchLabels: {app: y}}}]}]`, fromStranger, Deny},
		{"another rule that allows ends the doubt", `ingress: [{from: [{namespaceSelector: {matchLabels: {tier: x}}}]}, {}]`, fromStranger, Allow},
		{"an invalid peer selector is Unknown", `ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In}]}}]}]`, to(gateway, model, 1), Unknown},
		{"an invalid peer on another port is no doubt", `ingress: [{ports: [{port: 2}], from: [{podSelector: {matchExpressions: [{key: app, operator: In}]}}]}]`, to(gateway, model, 1), Deny},
		{"an empty peer is invalid and Unknown", `ingress: [{from: [{}]}]`, to(gateway, model, 1), Unknown},
	})
}

func TestIPBlocks(t *testing.T) {
	from := func(s string) Conn { return Conn{From: ip(s), To: End{Pod: model}, Port: 1} }
	block := func(s string) string { return `ingress: [{from: [{ipBlock: ` + s + `}]}]` }
	dual := pod("mon/dual", "10.1.0.8")
	dual.IPs = append(dual.IPs, netip.MustParseAddr("fd00::8"))
	only4 := to(dual, model, 1)
	stated := to(dual, dualTarget(), 1)
	stated.From.IP = netip.MustParseAddr("fd00::8")
	check(t, []clause{
		{"an address inside the block", block(`{cidr: 203.0.113.0/24}`), from("203.0.113.9"), Allow},
		{"an address outside the block", block(`{cidr: 203.0.113.0/24}`), from("203.0.114.9"), Deny},
		{"an address in an except", block(`{cidr: 203.0.113.0/24, except: [203.0.113.8/31]}`), from("203.0.113.9"), Deny},
		{"an address beside an except", block(`{cidr: 203.0.113.0/24, except: [203.0.113.8/31]}`), from("203.0.113.10"), Allow},
		{"an except takes away from its own block only", `ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.8/31]}}, {ipBlock: {cidr: 203.0.113.9/32}}]}]`, from("203.0.113.9"), Allow},
		{"addresses of pods are addresses", block(`{cidr: 10.1.0.0/16}`), to(prom, model, 1), Allow},
		{"a pod in an except", block(`{cidr: 10.1.0.0/16, except: [10.1.0.5/32]}`), to(prom, model, 1), Deny},
		{"a pod behind an except may match a selector", `ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.0.0/24]}}, {namespaceSelector: {}}]}]`, to(prom, model, 1), Allow},
		{"egress to a block", `{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]}`, Conn{From: End{Pod: model}, To: ip("1.1.1.1"), Port: 443}, Allow},
		{"egress to an excepted pod", `{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]}`, to(model, store, 443), Deny},
		{"IPv6 inside", block(`{cidr: "2001:db8::/32", except: ["2001:db8:bad::/48"]}`), from("2001:db8:1::5"), Allow},
		{"IPv6 excepted", block(`{cidr: "2001:db8::/32", except: ["2001:db8:bad::/48"]}`), from("2001:db8:bad::5"), Deny},
		{"all of IPv4 holds no IPv6", block(`{cidr: 0.0.0.0/0}`), from("2001:db8::5"), Deny},
		{"a mapped address is its IPv4 address", block(`{cidr: 203.0.113.0/24}`), from("::ffff:203.0.113.9"), Allow},
		{"host bits in a cidr do not count", block(`{cidr: 203.0.113.77/24}`), from("203.0.113.9"), Allow},
		{"a pod without an address is Unknown", block(`{cidr: 0.0.0.0/0}`), to(pod("mon/new", ""), model, 1), Unknown},
		{"a cidr that does not parse is Unknown", block(`{cidr: 203.0.113/24}`), from("203.0.113.9"), Unknown},
		{"a block with a selector is invalid and Unknown", `ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}, podSelector: {}}]}]`, to(gateway, model, 1), Unknown},
		{"of two families, the one that both ends have decides", block(`{cidr: 10.0.0.0/8}`), only4, Allow},
		{"of two addresses, the one in use decides", block(`{cidr: 10.0.0.0/8}`), stated, Deny},
		{"of two possible addresses, one inside is Unknown", block(`{cidr: 10.0.0.0/8}`), to(dual, dualTarget(), 1), Unknown},
	})
}

func dualTarget() *Pod {
	p := pod("ai/dual", "10.1.0.10")
	p.IPs = append(p.IPs, netip.MustParseAddr("fd00::10"))
	return p
}

func TestHostNetworkIsUndefinedWhereItMatters(t *testing.T) {
	host := pod("mon/host", "192.0.2.10")
	host.HostNetwork, host.Node = true, "n1"
	hostTarget := pod("ai/hosted", "192.0.2.11")
	hostTarget.HostNetwork, hostTarget.Node = true, "n1"
	near := pod("ai/near", "10.1.0.11")
	near.Node = "n1"
	far := pod("ai/far", "10.1.0.12")
	far.Node = "n2"
	unplaced := pod("mon/unplaced", "192.0.2.12")
	unplaced.HostNetwork = true
	check(t, []clause{
		{"as a peer of a selector", `ingress: [{from: [{namespaceSelector: {}}]}]`, to(host, model, 1), Unknown},
		{"as a peer that no selector matches", `ingress: [{from: [{podSelector: {}}]}]`, to(host, far, 1), Deny},
		{"as a source, where the target's node is not known", `ingress: [{from: [{podSelector: {}}]}]`, to(host, model, 1), Unknown},
		{"as a source whose node is not known", `{}`, to(unplaced, near, 1), Unknown},
		{"as a target whose node is not known", `{policyTypes: [Egress]}`, to(near, unplaced, 1), Unknown},
		{"as a peer of a block that has its address", `ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]`, to(host, model, 1), Allow},
		{"as a source on the target's node, even where no rule allows", `{}`, to(host, near, 1), Unknown},
		{"as a selected pod that a rule lets through", `ingress: [{}]`, to(prom, hostTarget, 1), Allow},
		{"as a selected pod that no rule lets through", `{}`, to(prom, hostTarget, 1), Unknown},
		{"as a pod that no policy selects", `podSelector: {matchLabels: {app: model}}`, to(prom, hostTarget, 1), Allow},
	})
}
