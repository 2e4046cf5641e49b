package class

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Mentions are the ports that policies mention, by whom they isolate.
type Mentions struct {
	policies map[string][]mention // by namespace
	cluster  []Span               // of ClusterNetworkPolicies, whoever they select
}

type mention struct {
	verdict.Policy
	egress, ingress []Span
}

// NewMentions reads the policies of all the worlds.
func NewMentions(worlds ...verdict.World) Mentions {
	m := Mentions{policies: map[string][]mention{}}
	for _, w := range worlds {
		for _, p := range w.Policies {
			m.policies[p.Namespace] = append(m.policies[p.Namespace], mention{
				p, Spans(p, networkingv1.PolicyTypeEgress), Spans(p, networkingv1.PolicyTypeIngress)})
		}
		for i := range w.ClusterPolicies {
			m.cluster = append(m.cluster, ClusterSpans(&w.ClusterPolicies[i].Spec)...)
		}
	}
	return m
}

// Of returns the ports that the policies which decide about the pod mention.
func (m Mentions) Of(pod Member) (egress, ingress []Span) {
	egress, ingress = slices.Clone(m.cluster), slices.Clone(m.cluster)
	for _, p := range m.policies[pod.Is.Namespace] {
		if pod.MayIsolate(p.Policy, networkingv1.PolicyTypeEgress) {
			egress = append(egress, p.egress...)
		}
		if pod.MayIsolate(p.Policy, networkingv1.PolicyTypeIngress) {
			ingress = append(ingress, p.ingress...)
		}
	}
	return Distinct(egress), Distinct(ingress)
}

// MayIsolate reports whether the policy isolates the pod, before or after. It is
// true also where the selector is invalid, because then it may.
func (m Member) MayIsolate(p verdict.Policy, d networkingv1.PolicyType) bool {
	was, err := p.Isolates(*m.Was, d)
	if m.Is == m.Was {
		return was || err != nil
	}
	is, err2 := p.Isolates(*m.Is, d)
	return was || is || err != nil || err2 != nil
}
