package strict

import (
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

var (
	tiers   = []v1alpha2.Tier{v1alpha2.AdminTier, v1alpha2.BaselineTier}
	actions = []v1alpha2.ClusterNetworkPolicyRuleAction{
		v1alpha2.ClusterNetworkPolicyRuleActionAccept,
		v1alpha2.ClusterNetworkPolicyRuleActionDeny,
		v1alpha2.ClusterNetworkPolicyRuleActionPass,
	}
	domainName = regexp.MustCompile(`^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$`)
)

// maxItems bounds rules, peers, protocols, networks and domain names alike.
const maxItems = 25

// CheckClusterPolicy holds a ClusterNetworkPolicy's spec, which stands at that
// path, against the validation of its CRD (v1alpha2 of network-policy-api 0.3).
func CheckClusterPolicy(at string, spec v1alpha2.ClusterNetworkPolicySpec) Faults {
	f := Faults{}
	if !slices.Contains(tiers, spec.Tier) {
		f.Add(at+".tier", "%q is not %s", Show(string(spec.Tier)), OneOf(tiers))
	}
	if spec.Priority < 0 || spec.Priority > 1000 {
		f.Add(at+".priority", "%d is not a priority: 0 to 1000", spec.Priority)
	}
	subject := at + ".subject"
	f.exactlyOne(subject, "namespaces or pods", spec.Subject.Namespaces != nil, spec.Subject.Pods != nil)
	f.Selector(subject+".namespaces", spec.Subject.Namespaces)
	f.namespacedPod(subject+".pods", spec.Subject.Pods)
	f.items(at+".ingress", "rules", len(spec.Ingress), 0)
	for i, rule := range spec.Ingress {
		f.ingressRule(index(at+".ingress", i), rule)
	}
	f.items(at+".egress", "rules", len(spec.Egress), 0)
	for i, rule := range spec.Egress {
		f.egressRule(index(at+".egress", i), rule)
	}
	return f
}

func (f *Faults) ingressRule(at string, rule v1alpha2.ClusterNetworkPolicyIngressRule) {
	f.ruleHead(at, rule.Name, rule.Action, rule.Protocols)
	f.items(at+".from", "peers", len(rule.From), 1)
	for i, peer := range rule.From {
		at := index(at+".from", i)
		f.exactlyOne(at, "namespaces or pods", peer.Namespaces != nil, peer.Pods != nil)
		f.Selector(at+".namespaces", peer.Namespaces)
		f.namespacedPod(at+".pods", peer.Pods)
	}
}

func (f *Faults) egressRule(at string, rule v1alpha2.ClusterNetworkPolicyEgressRule) {
	f.ruleHead(at, rule.Name, rule.Action, rule.Protocols)
	f.items(at+".to", "peers", len(rule.To), 1)
	named := slices.IndexFunc(rule.Protocols, func(p v1alpha2.ClusterNetworkPolicyProtocol) bool { return p.DestinationNamedPort != "" })
	for i, peer := range rule.To {
		at := index(at+".to", i)
		f.exactlyOne(at, "namespaces, pods, nodes, networks or domainNames", peer.Namespaces != nil, peer.Pods != nil,
			peer.Nodes != nil, peer.Networks != nil, peer.DomainNames != nil)
		f.Selector(at+".namespaces", peer.Namespaces)
		f.namespacedPod(at+".pods", peer.Pods)
		f.Selector(at+".nodes", peer.Nodes)
		f.networks(at+".networks", peer.Networks)
		f.domainNames(at+".domainNames", peer.DomainNames, rule.Action)
		if named >= 0 && (peer.Nodes != nil || peer.Networks != nil || peer.DomainNames != nil) {
			f.Add(at, "only pods have ports with names, and the rule's protocols[%d] asks for one: give this peer a rule of its own", named)
		}
	}
}

func (f *Faults) ruleHead(at, name string, action v1alpha2.ClusterNetworkPolicyRuleAction, protocols []v1alpha2.ClusterNetworkPolicyProtocol) {
	if len([]rune(name)) > 100 {
		f.Add(at+".name", "is longer than 100 characters")
	}
	if !slices.Contains(actions, action) {
		f.Add(at+".action", "%q is not %s", Show(string(action)), OneOf(actions))
	}
	if protocols != nil {
		f.items(at+".protocols", "protocols", len(protocols), 1)
	}
	for i, p := range protocols {
		at := index(at+".protocols", i)
		f.exactlyOne(at, "tcp, udp, sctp or destinationNamedPort", p.TCP != nil, p.UDP != nil, p.SCTP != nil, p.DestinationNamedPort != "")
		if p.TCP != nil {
			f.destination(at+".tcp", p.TCP.DestinationPort)
		}
		if p.UDP != nil {
			f.destination(at+".udp", p.UDP.DestinationPort)
		}
		if p.SCTP != nil {
			f.destination(at+".sctp", p.SCTP.DestinationPort)
		}
		if p.DestinationNamedPort != "" && len(validation.IsValidPortName(p.DestinationNamedPort)) > 0 {
			f.Add(at+".destinationNamedPort", "%q is not the name of a container's port", Show(p.DestinationNamedPort))
		}
	}
}

func (f *Faults) destination(at string, port *v1alpha2.Port) {
	if port == nil {
		f.Add(at, "is empty: state destinationPort")
		return
	}
	at += ".destinationPort"
	f.exactlyOne(at, "number or range", port.Number != 0, port.Range != nil)
	if port.Number != 0 {
		f.Port(at+".number", port.Number)
	}
	if r := port.Range; r != nil {
		f.Port(at+".range.start", r.Start)
		f.Port(at+".range.end", r.End)
		if r.Start >= r.End {
			f.Add(at+".range", "the start %d has to be less than the end %d", r.Start, r.End)
		}
	}
}

func (f *Faults) namespacedPod(at string, p *v1alpha2.NamespacedPod) {
	if p != nil {
		f.Selector(at+".namespaceSelector", &p.NamespaceSelector)
		f.Selector(at+".podSelector", &p.PodSelector)
	}
}

func (f *Faults) networks(at string, networks []v1alpha2.CIDR) {
	if networks == nil {
		return
	}
	f.items(at, "networks", len(networks), 1)
	for i, n := range networks {
		f.cidr(index(at, i), string(n))
		if slices.Contains(networks[:i], n) {
			f.Add(index(at, i), "%s is listed twice", Show(string(n)))
		}
	}
}

func (f *Faults) domainNames(at string, names []v1alpha2.DomainName, action v1alpha2.ClusterNetworkPolicyRuleAction) {
	if names == nil {
		return
	}
	f.items(at, "names", len(names), 1)
	if action != v1alpha2.ClusterNetworkPolicyRuleActionAccept {
		f.Add(at, "domain names go with the action Accept only, not with %s", Show(string(action)))
	}
	for i, n := range names {
		if !domainName.MatchString(string(n)) {
			f.Add(index(at, i), "%q is not a domain name such as example.com or *.example.com", Show(string(n)))
		}
	}
}

func (f *Faults) exactlyOne(at, of string, stated ...bool) {
	n := 0
	for _, s := range stated {
		if s {
			n++
		}
	}
	if n != 1 {
		f.Add(at, "state exactly one of %s; %d are stated", of, n)
	}
}

// items bounds a list that is stated.
func (f *Faults) items(at, what string, n, least int) {
	if n > maxItems || n < least {
		f.Add(at, "has %d %s: %d to %d are accepted", n, what, least, maxItems)
	}
}
