package lint

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// overruling names the ClusterNetworkPolicy that denies a connection at one end
// whatever NetworkPolicies allow there; empty: there is none. No rule of a
// NetworkPolicy then helps.
func (v *view) overruling(d networkingv1.PolicyType, c verdict.Conn) string {
	if len(v.world.ClusterPolicies) == 0 {
		return ""
	}
	judged := v.unbound().Judge(c)
	side := judged.Ingress
	if d == egress {
		side = judged.Egress
	}
	if side.Decision != verdict.Deny {
		return ""
	}
	return side.Policy
}

// unbound is the world in which a NetworkPolicy of each namespace allows everything,
// so that what is denied there is denied by other kinds.
func (v *view) unbound() *verdict.Snapshot {
	if v.free == nil {
		world := v.namingDNS()
		world.Policies = nil
		for namespace := range v.homes {
			world.Policies = append(world.Policies, verdict.Policy{Namespace: namespace, Name: "all", Spec: networkingv1.NetworkPolicySpec{
				PolicyTypes: []networkingv1.PolicyType{ingress, egress},
				Ingress:     []networkingv1.NetworkPolicyIngressRule{{}}, Egress: []networkingv1.NetworkPolicyEgressRule{{}},
			}})
		}
		v.free = verdict.Compile(world, nil)
	}
	return v.free
}

// overruled is overruling for a lookup.
func (v *view) overruled(l lookups, p corev1.Protocol) string {
	return v.overruling(egress, verdict.Conn{From: verdict.End{Pod: &l.class.Pod}, To: verdict.End{Pod: &l.resolver.Pod}, Port: l.resolver.port(p), Protocol: p})
}
