package explain

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/repair"
)

func rulesIn(spec networkingv1.NetworkPolicySpec, d networkingv1.PolicyType) int {
	if d == networkingv1.PolicyTypeEgress {
		return len(spec.Egress)
	}
	return len(spec.Ingress)
}

// only is the policy with nothing but one rule in one direction, without its
// peers or without its ports: to ask for one half of a rule.
func only(p verdict.Policy, d networkingv1.PolicyType, i int, peers, ports bool) verdict.Policy {
	spec := networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{d}}
	if d == networkingv1.PolicyTypeEgress {
		r := *p.Spec.Egress[i].DeepCopy()
		if !peers {
			r.To = nil
		}
		if !ports {
			r.Ports = nil
		}
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{r}
	} else {
		r := *p.Spec.Ingress[i].DeepCopy()
		if !peers {
			r.From = nil
		}
		if !ports {
			r.Ports = nil
		}
		spec.Ingress = []networkingv1.NetworkPolicyIngressRule{r}
	}
	p.Spec = spec
	return p
}

// nearest is the rule that lacks least, and what it lacks, in words; -1 where
// none has anything to do with it. A rule that
// is about the peer tells more than one that is about the port.
func (x *explainer) nearest(p verdict.Policy, d networkingv1.PolicyType) (int, string) {
	best, peer, port := 0, false, false
	for i := range rulesIn(p.Spec, d) {
		a, b := x.matches(only(p, d, i, true, false), d), x.matches(only(p, d, i, false, true), d)
		if i == 0 || a && !peer || a == peer && b && !port {
			best, peer, port = i, a, b
		}
	}
	other := x.conn.To
	if d == networkingv1.PolicyTypeIngress {
		other = x.conn.From
	}
	peers, ports := peersOf(p.Spec, d, best), portsIn(p.Spec, d, best)
	switch {
	case peer:
		return best, fmt.Sprintf("Its rule %s comes nearest: it is about %s, but only on %s.", field(d, best), other, ports)
	case port && peers != "":
		return best, fmt.Sprintf("Its rule %s comes nearest: it is about this port, but for %s, and not for %s.", field(d, best), peers, other)
	}
	if n := rulesIn(p.Spec, d); n > 1 {
		return -1, fmt.Sprintf("None of its %d rules is about %s or about this port.", n, other)
	}
	return -1, fmt.Sprintf("Its only rule is neither about %s nor about this port.", other)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// matches asks the engine whether the policy alone, with its one rule, allows
// the connection in the direction.
func (x *explainer) matches(p verdict.Policy, d networkingv1.PolicyType) bool {
	return x.decides(p, d) == verdict.Allow
}

// decides asks the engine what the policy alone says in the direction.
func (x *explainer) decides(p verdict.Policy, d networkingv1.PolicyType) verdict.Decision {
	w := verdict.World{Namespaces: x.set.World.Namespaces, Nodes: x.set.World.Nodes, Policies: []verdict.Policy{p}}
	v := verdict.Compile(w, nil).Judge(x.conn)
	if d == networkingv1.PolicyTypeEgress {
		return v.Egress.Decision
	}
	return v.Ingress.Decision
}

// withPeer is the policy with one rule of one peer.
func withPeer(p verdict.Policy, d networkingv1.PolicyType, i, j int) verdict.Policy {
	p = only(p, d, i, true, true)
	if d == networkingv1.PolicyTypeEgress {
		p.Spec.Egress[0].To = p.Spec.Egress[0].To[j : j+1]
	} else {
		p.Spec.Ingress[0].From = p.Spec.Ingress[0].From[j : j+1]
	}
	return p
}

func peersIn(spec networkingv1.NetworkPolicySpec, d networkingv1.PolicyType, i int) []networkingv1.NetworkPolicyPeer {
	if d == networkingv1.PolicyTypeEgress {
		return spec.Egress[i].To
	}
	return spec.Ingress[i].From
}

func peersOf(spec networkingv1.NetworkPolicySpec, d networkingv1.PolicyType, i int) string {
	peers := peersIn(spec, d, i)
	var all []string
	for _, p := range peers[:min(3, len(peers))] {
		all = append(all, peerInWords(p))
	}
	if more := len(peers) - len(all); more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return listed(all, "")
}

func peerInWords(p networkingv1.NetworkPolicyPeer) string {
	switch {
	case p.IPBlock != nil:
		return "addresses in " + p.IPBlock.CIDR + except(p.IPBlock.Except)
	case p.NamespaceSelector == nil:
		return pods(p.PodSelector) + " of its own namespace"
	}
	where := " of namespaces with " + metav1.FormatLabelSelector(p.NamespaceSelector)
	if name, ok := p.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]; ok && len(p.NamespaceSelector.MatchLabels) == 1 && len(p.NamespaceSelector.MatchExpressions) == 0 {
		where = " of namespace " + name
	} else if len(p.NamespaceSelector.MatchLabels)+len(p.NamespaceSelector.MatchExpressions) == 0 {
		where = " of every namespace"
	}
	return pods(p.PodSelector) + where
}

func except(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return " but " + listed(firstOf(all), "")
}

func pods(s *metav1.LabelSelector) string {
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return "all pods"
	}
	return "pods with " + metav1.FormatLabelSelector(s)
}

func portsIn(spec networkingv1.NetworkPolicySpec, d networkingv1.PolicyType, i int) string {
	var ports []networkingv1.NetworkPolicyPort
	if d == networkingv1.PolicyTypeEgress {
		ports = spec.Egress[i].Ports
	} else {
		ports = spec.Ingress[i].Ports
	}
	var all []string
	for _, p := range ports {
		protocol := "TCP"
		if p.Protocol != nil {
			protocol = string(*p.Protocol)
		}
		switch {
		case p.Port == nil:
			all = append(all, "every "+protocol+" port")
		case p.EndPort != nil:
			all = append(all, fmt.Sprintf("%s-%d/%s", p.Port.String(), *p.EndPort, protocol))
		default:
			all = append(all, p.Port.String()+"/"+protocol)
		}
	}
	return listed(all, "")
}

// show puts the lines of a rule, or of the head of the policy for rule -1, where
// a reader finds them, without their comments.
func (s *Side) show(x *explainer, policy string, d networkingv1.PolicyType, rule int) {
	ns, name, _ := strings.Cut(policy, "/")
	at := "spec.podSelector"
	if rule >= 0 {
		at = field(d, rule)
	}
	s.Where = x.set.Where("NetworkPolicy", ns, name, at).String()
	if source, ok := x.set.Source("NetworkPolicy", ns, name); ok && source.Node() != nil && rule >= 0 {
		if n := within(source.Node(), "spec", strings.ToLower(string(d))); n != nil && rule < len(n.Content) {
			s.Lines = repair.Written(bare(n.Content[rule]))
			return
		}
	}
	i := slices.IndexFunc(x.set.World.Policies, func(p verdict.Policy) bool { return p.Key() == policy })
	if i < 0 || rule < 0 {
		return
	}
	spec := x.set.World.Policies[i].Spec
	if d == networkingv1.PolicyTypeEgress {
		s.Lines = repair.Item(spec.Egress[rule])
	} else {
		s.Lines = repair.Item(spec.Ingress[rule])
	}
}

// bare takes the comments out of a rule, which the caller owns: a page of them would
// push out of sight what decides.
func bare(n *yaml.Node) *yaml.Node {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, child := range n.Content {
		bare(child)
	}
	return n
}

func within(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n != nil && n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		i := slices.IndexFunc(n.Content, func(c *yaml.Node) bool { return c.Value == key })
		if i < 0 || i%2 == 1 || i+1 >= len(n.Content) {
			return nil
		}
		n = n.Content[i+1]
	}
	return n
}
