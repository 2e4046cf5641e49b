package cover

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/verdict"
)

func (u *universe) addClusterPolicy(w verdict.World, at int) {
	spec := w.ClusterPolicies[at].Spec
	subjects := u.selected(w, spec.Subject)
	for _, d := range directions {
		n := len(spec.Ingress)
		if d == networkingv1.PolicyTypeEgress {
			n = len(spec.Egress)
		}
		for i := range n {
			r := u.clusterRule(w, at, d, i)
			r.subjects = subjects
			for _, k := range subjects {
				k.rules[d] = append(k.rules[d], len(u.rules))
			}
			u.rules = append(u.rules, r)
		}
	}
}

// selected are the kinds that a subject certainly selects: those that cannot be
// reached any more once a policy of that subject denies everything.
func (u *universe) selected(w verdict.World, subject v1alpha2.ClusterNetworkPolicySubject) []*kind {
	shut := verdict.ClusterPolicy{Name: "shut"}
	shut.Spec.Tier, shut.Spec.Subject = v1alpha2.AdminTier, subject
	shut.Spec.Ingress = []v1alpha2.ClusterNetworkPolicyIngressRule{{Action: v1alpha2.ClusterNetworkPolicyRuleActionDeny,
		From: []v1alpha2.ClusterNetworkPolicyIngressPeer{{Namespaces: &metav1.LabelSelector{}}}}}
	s := verdict.Compile(verdict.World{Namespaces: w.Namespaces, ClusterPolicies: []verdict.ClusterPolicy{shut}}, nil)
	var all []*kind
	for _, k := range u.kinds {
		anybody := verdict.Pod{Namespace: k.Rep().Is.Namespace}
		c := verdict.Conn{From: verdict.End{Pod: &anybody}, To: verdict.End{Pod: k.Rep().Is}, Port: 1}
		if s.Judge(c).Ingress.Decision == verdict.Deny {
			all = append(all, k)
		}
	}
	return all
}

// clusterRule makes the worlds in which the rule accepts and denies.
func (u *universe) clusterRule(w verdict.World, at int, d networkingv1.PolicyType, i int) *rule {
	r := &rule{Rule: Rule{w.ClusterPolicies[at].Name, d, i}}
	if d == networkingv1.PolicyTypeEgress {
		r.outside = !slices.ContainsFunc(w.ClusterPolicies[at].Spec.Egress[i].To, func(p v1alpha2.ClusterNetworkPolicyEgressPeer) bool {
			return p.Namespaces != nil || p.Pods != nil
		})
	}
	with := func(action v1alpha2.ClusterNetworkPolicyRuleAction) *verdict.Snapshot {
		other, spec := w, w.ClusterPolicies[at].Spec.DeepCopy()
		if d == networkingv1.PolicyTypeEgress {
			spec.Egress[i].Action = action
		} else {
			spec.Ingress[i].Action = action
		}
		other.ClusterPolicies = slices.Clone(w.ClusterPolicies)
		other.ClusterPolicies[at].Spec = *spec
		return verdict.Compile(other, nil)
	}
	r.opens, r.shut = with(v1alpha2.ClusterNetworkPolicyRuleActionAccept), with(v1alpha2.ClusterNetworkPolicyRuleActionDeny)
	return r
}
