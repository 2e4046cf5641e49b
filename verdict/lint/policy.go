package lint

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tightrope-dev/tightrope/verdict"
	"github.com/tightrope-dev/tightrope/verdict/manifest"
)

// Annotation on a policy, or on the rollout that brings it, lists rules that are
// not to be reported for it, separated by commas. They are still found, and
// marked as suppressed.
const Annotation = "tightrope.dev/lint-ignore"

// policy is a NetworkPolicy under examination.
type policy struct {
	verdict.Policy
	source  manifest.Source
	root    path // of the policy in its document; empty unless a rollout brings it
	object  *networkingv1.NetworkPolicy
	ignored []string

	read bool // whether node was asked for
	node *yaml.Node
}

// live reports whether the policy is one of a cluster, which has all its pods;
// manifests need not hold them.
func (p *policy) live() bool { return p.source.File == "" }

// policiesOf lists those of the set and the candidates of its rollouts, which
// replace those of the same name: that is what the rollout will do.
func policiesOf(set *manifest.Set) []*policy {
	byKey := map[string]*policy{}
	put := func(o manifest.Typed[networkingv1.NetworkPolicy], ignore map[string]string, root path) {
		p := &policy{Policy: verdict.PolicyOf(o.Object), source: o.Source, object: o.Object, root: root}
		p.ignored = append(ignored(ignore), ignored(o.Object.Annotations)...)
		byKey[p.Key()] = p
	}
	for _, o := range set.Objects.NetworkPolicies {
		put(o, nil, nil)
	}
	for _, r := range set.Objects.Rollouts {
		for i, c := range r.Candidates {
			if len(r.Object.Spec.Policies.Inline) == 0 { // written elsewhere, as documents of their own
				put(c, r.Object.Annotations, nil)
				continue
			}
			c.Source = r.Source
			put(c, r.Object.Annotations, at("spec", "policies", "inline", i))
		}
	}
	all := make([]*policy, 0, len(byKey))
	for _, k := range slices.Sorted(maps.Keys(byKey)) {
		all = append(all, byKey[k])
	}
	return all
}

func ignored(annotations map[string]string) []string {
	return strings.FieldsFunc(annotations[Annotation], func(r rune) bool { return r == ',' || r == ' ' })
}

// owner is the controller that keeps the policy as it is; empty if there is none.
func (p *policy) owner() string {
	if ref := metav1.GetControllerOf(p.object); ref != nil {
		return ref.Kind + " " + ref.Name
	}
	return ""
}

// breadth orders policies from the one that a forgotten rule belongs in to the
// one that it does not: rules before none, a selection before everything.
func (p *policy) breadth(d networkingv1.PolicyType) int {
	b := 0
	if len(p.rules(d)) == 0 {
		b++
	}
	if everything(&p.Spec.PodSelector) {
		b += 2
	}
	return b
}

// everything reports whether the selector is there and empty.
func everything(s *metav1.LabelSelector) bool {
	return s != nil && len(s.MatchLabels)+len(s.MatchExpressions) == 0
}

// rule is one rule of a policy, of either direction.
type rule struct {
	policy    *policy
	direction networkingv1.PolicyType
	index     int
	ports     []networkingv1.NetworkPolicyPort
	peers     []networkingv1.NetworkPolicyPeer
}

// rules lists the rules as written, also those without effect.
func (p *policy) rules(d networkingv1.PolicyType) []rule {
	var all []rule
	if d == egress {
		for i, r := range p.Spec.Egress {
			all = append(all, rule{p, d, i, r.Ports, r.To})
		}
		return all
	}
	for i, r := range p.Spec.Ingress {
		all = append(all, rule{p, d, i, r.Ports, r.From})
	}
	return all
}

// allRules lists the rules of both directions that have an effect.
func (p *policy) allRules() []rule {
	var all []rule
	for _, d := range []networkingv1.PolicyType{ingress, egress} {
		if p.Affects(d) {
			all = append(all, p.rules(d)...)
		}
	}
	return all
}

func word(d networkingv1.PolicyType) string { return strings.ToLower(string(d)) }

// peersKey is the field that lists the rule's peers.
func (r rule) peersKey() string {
	if r.direction == egress {
		return "to"
	}
	return "from"
}

// at is the path of the rule, or of a field in it, from the policy's root.
func (r rule) at(steps ...any) path { return at("spec", word(r.direction), r.index).plus(steps...) }

// allows asks the engine whether this rule alone lets the connection through.
func (r rule) allows(w verdict.World, c verdict.Conn) verdict.Decision {
	spec := networkingv1.NetworkPolicySpec{PodSelector: r.policy.Spec.PodSelector, PolicyTypes: []networkingv1.PolicyType{r.direction}}
	if r.direction == egress {
		spec.Egress = r.policy.Spec.Egress[r.index : r.index+1]
	} else {
		spec.Ingress = r.policy.Spec.Ingress[r.index : r.index+1]
	}
	own := verdict.World{Namespaces: w.Namespaces, Policies: []verdict.Policy{{Namespace: r.policy.Namespace, Name: r.policy.Name, Spec: spec}}}
	return verdict.Compile(own, nil).Judge(c).Decision
}

// onlyPods reports whether every peer is one that selects pods.
func (r rule) onlyPods() bool {
	return len(r.peers) > 0 && !slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool { return p.IPBlock != nil })
}

// definite reports whether the rule can only be about pods of namespaces that it
// names, which are in the set with whatever they have; others may hold anything.
func (r rule) definite() bool {
	return r.direction == ingress || !slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool {
		return p.NamespaceSelector != nil && p.NamespaceSelector.MatchLabels[corev1.LabelMetadataName] == ""
	})
}

// anywhere reports whether the rule leads to every pod of every namespace, so that
// it tells nothing of whom it is meant for.
func (r rule) anywhere() bool {
	return r.direction == egress && slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool {
		return everything(p.NamespaceSelector) && (p.PodSelector == nil || everything(p.PodSelector))
	})
}

func protocolOf(p networkingv1.NetworkPolicyPort) corev1.Protocol {
	if p.Protocol == nil {
		return tcp
	}
	return cmp.Or(*p.Protocol, tcp)
}

// lists reports whether one of the ports is that number, or a range around it,
// or all ports of the protocol. A name depends on the pod and never matches.
func lists(ports []networkingv1.NetworkPolicyPort, number int32, protocol corev1.Protocol) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		switch {
		case protocolOf(p) != protocol:
			return false
		case p.Port == nil:
			return true
		case p.Port.StrVal != "":
			return false
		case p.EndPort != nil:
			return p.Port.IntVal <= number && number <= *p.EndPort
		}
		return p.Port.IntVal == number
	})
}
