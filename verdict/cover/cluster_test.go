package cover

import (
	"math/rand/v2"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/tightrope-dev/tightrope/verdict"
)

func clusterPolicy(r *rand.Rand, name string, selector func() metav1.LabelSelector) verdict.ClusterPolicy {
	pods := func() *v1alpha2.NamespacedPod { return &v1alpha2.NamespacedPod{PodSelector: selector()} }
	action := func() v1alpha2.ClusterNetworkPolicyRuleAction {
		return []v1alpha2.ClusterNetworkPolicyRuleAction{"Accept", "Deny", "Pass"}[r.IntN(3)]
	}
	ports := func() []v1alpha2.ClusterNetworkPolicyProtocol {
		if r.IntN(2) == 0 {
			return nil
		}
		return []v1alpha2.ClusterNetworkPolicyProtocol{{TCP: &v1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: &v1alpha2.Port{Number: int32(80 + r.IntN(3))}}}}
	}
	p := verdict.ClusterPolicy{Name: name}
	p.Spec.Tier = []v1alpha2.Tier{v1alpha2.AdminTier, v1alpha2.BaselineTier}[r.IntN(2)]
	p.Spec.Priority = int32(r.IntN(2))
	p.Spec.Subject.Pods = pods()
	for range r.IntN(3) {
		p.Spec.Ingress = append(p.Spec.Ingress, v1alpha2.ClusterNetworkPolicyIngressRule{Action: action(), Protocols: ports(), From: []v1alpha2.ClusterNetworkPolicyIngressPeer{{Pods: pods()}}})
	}
	for range r.IntN(3) {
		peer := v1alpha2.ClusterNetworkPolicyEgressPeer{Pods: pods()}
		if r.IntN(4) == 0 {
			peer = v1alpha2.ClusterNetworkPolicyEgressPeer{Networks: []v1alpha2.CIDR{"192.0.2.0/24"}}
		}
		p.Spec.Egress = append(p.Spec.Egress, v1alpha2.ClusterNetworkPolicyEgressRule{Action: action(), Protocols: ports(), To: []v1alpha2.ClusterNetworkPolicyEgressPeer{peer}})
	}
	return p
}

// mutant is a world in which one rule of a ClusterNetworkPolicy has another action.
type mutant struct {
	Rule
	accepts, denies *verdict.Snapshot
}

var mutants = map[*verdict.Snapshot][]mutant{} // of the snapshots of this test

func mutantsOf(s *verdict.Snapshot) []mutant {
	if all, ok := mutants[s]; ok {
		return all
	}
	w, all := s.World(), []mutant{}
	for at, p := range w.ClusterPolicies {
		with := func(change func(*v1alpha2.ClusterNetworkPolicySpec)) *verdict.Snapshot {
			other, q := w, verdict.ClusterPolicy{Name: p.Name, Spec: *p.Spec.DeepCopy()}
			change(&q.Spec)
			other.ClusterPolicies = slices.Clone(w.ClusterPolicies)
			other.ClusterPolicies[at] = q
			return verdict.Compile(other, nil)
		}
		for i := range p.Spec.Ingress {
			all = append(all, mutant{Rule{p.Name, "Ingress", i}, with(func(s *v1alpha2.ClusterNetworkPolicySpec) { s.Ingress[i].Action = "Accept" }),
				with(func(s *v1alpha2.ClusterNetworkPolicySpec) { s.Ingress[i].Action = "Deny" })})
		}
		for i := range p.Spec.Egress {
			all = append(all, mutant{Rule{p.Name, "Egress", i}, with(func(s *v1alpha2.ClusterNetworkPolicySpec) { s.Egress[i].Action = "Accept" }),
				with(func(s *v1alpha2.ClusterNetworkPolicySpec) { s.Egress[i].Action = "Deny" })})
		}
	}
	mutants[s] = all
	return all
}

// decisive are the rules of ClusterNetworkPolicies of which the action makes the
// side of the connection what it is.
func decisive(s *verdict.Snapshot, c verdict.Conn, d networkingv1.PolicyType) (all []Rule) {
	for _, m := range mutantsOf(s) {
		if m.Direction != d {
			continue
		}
		a, _ := sides(m.accepts.Judge(c), d)
		b, _ := sides(m.denies.Judge(c), d)
		if a.Decision == verdict.Allow && b.Decision == verdict.Deny {
			all = append(all, m.Rule)
		}
	}
	return all
}
