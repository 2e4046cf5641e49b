package lint

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
)

// port is a port that a rule is to list. A zero number means every port.
type port struct {
	number   int32
	protocol corev1.Protocol
}

// portsNode writes ports as a rule lists them.
func portsNode(ports ...port) *yaml.Node {
	all := list()
	for _, p := range ports {
		item := object("protocol", text(string(p.protocol)))
		if p.number != 0 {
			item = object("protocol", text(string(p.protocol)), "port", intNode(p.number))
		}
		all.Content = append(all.Content, item)
	}
	return all
}

// labelsNode writes a selector of these labels; of none it selects everything.
func labelsNode(set map[string]string) *yaml.Node {
	if len(set) == 0 {
		return flow(object())
	}
	pairs := object()
	for _, k := range slices.Sorted(maps.Keys(set)) {
		pairs.Content = append(pairs.Content, text(k), text(set[k]))
	}
	return object("matchLabels", pairs)
}

// namespaceNode selects a namespace by the name that the API server labels it with.
func namespaceNode(name string) *yaml.Node {
	return labelsNode(map[string]string{corev1.LabelMetadataName: name})
}

// podsNode is a peer: the pods of those labels, as seen from a policy in home.
func podsNode(home, namespace string, set map[string]string) *yaml.Node {
	if home == namespace {
		return object("podSelector", labelsNode(set))
	}
	return object("namespaceSelector", namespaceNode(namespace), "podSelector", labelsNode(set))
}

// blockNode is a peer: a network with parts left out.
func blockNode(cidr string, except ...string) *yaml.Node {
	block := object("cidr", text(cidr))
	if len(except) > 0 {
		parts := list()
		for _, e := range except {
			parts.Content = append(parts.Content, text(e))
		}
		block = object("cidr", text(cidr), "except", parts)
	}
	return object("ipBlock", block)
}

// ruleNode is a rule; without peers it is for everyone, without ports for every port.
func ruleNode(peersKey string, peers []*yaml.Node, ports ...port) *yaml.Node {
	rule := object()
	if len(peers) > 0 {
		rule = object(peersKey, list(peers...))
	}
	if len(ports) > 0 {
		rule.Content = append(rule.Content, text("ports"), portsNode(ports...))
	}
	return rule
}
