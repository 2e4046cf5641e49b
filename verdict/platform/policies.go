package platform

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

type (
	peers = []networkingv1.NetworkPolicyPeer
	spec  = networkingv1.NetworkPolicySpec
)

// addPolicies lets the teams write in turn, the common ones first, until the
// number is reached.
func (c *cluster) addPolicies() {
	for round := 0; len(c.world.Policies) < c.Policies; round++ {
		for i, ns := range c.teams {
			if len(c.world.Policies) == c.Policies {
				return
			}
			name, s := c.policy(round, i, ns)
			c.world.Policies = append(c.world.Policies, verdict.Policy{Namespace: ns, Name: name, Spec: s})
		}
	}
}

// policy is the one that the team of this index writes in this round.
func (c *cluster) policy(round, team int, ns string) (string, spec) {
	switch {
	case round == 0 && team%4 == 3: // a team that protects its database only
		return "database", ingress(labels("app.kubernetes.io/name", "postgres"), from(own("gateway", "agent"), named("sql")))
	case round == 1 && team%4 == 3:
		return "redis", ingress(labels("app.kubernetes.io/name", "redis"), from(own("gateway", "agent"), tcp(6379)))
	case round == 0:
		return "default-deny", spec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}}
	case round == 1:
		return "dns", egress(labels(), to(pods("kube-system", "kube-dns"), udp(53), tcp(53)))
	case round == 2:
		return "metrics", ingress(labels(), from(pods("monitoring", "prometheus"), named("metrics")))
	case round == 3:
		return "gateway", both(labels("app.kubernetes.io/name", "gateway"),
			from(pods("ingress", "envoy"), named("http")), to(own("model", "embedder"), tcp(8000), tcp(8080)))
	}
	return fmt.Sprintf("rule-%d", round), c.special(round, team, ns)
}

// special are the policies that differ from team to team.
func (c *cluster) special(round, team int, ns string) spec {
	k := kinds[c.rand.IntN(len(kinds))].name
	app := labels("app.kubernetes.io/name", k)
	switch (round + team) % 8 {
	case 0: // the internet, but nothing inside
		return egress(app, to(peers{{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8", "192.168.0.0/16", "169.254.0.0/16"}}}}, tcp(443)))
	case 1: // a partner's network, with a hole
		a, b := c.rand.IntN(200), c.rand.IntN(256)
		return egress(app, to(peers{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("172.%d.0.0/16", a), Except: []string{fmt.Sprintf("172.%d.%d.0/24", a, b)}}}}, tcp(443), tcp(8443)))
	case 2: // trainers among each other
		return both(labels("app.kubernetes.io/name", "trainer"), from(own("trainer"), span(29400, 29500)), to(own("trainer"), span(29400, 29500)))
	case 3: // another team, by its namespace
		tier := peers{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": fmt.Sprintf("t%d", c.rand.IntN(1+len(c.teams)/3)), "env": "prod"}}, PodSelector: labels("app.kubernetes.io/name", "agent")}}
		return ingress(app, from(tier, named("http")))
	case 4: // the stores
		return both(labels("component", "serving"), from(own("gateway", "agent"), named("http"), named("grpc")), to(own("vectors", "postgres", "redis"), tcp(6333), tcp(5432), tcp(6379)))
	case 5: // one pod of a set
		return ingress(labels("statefulset.kubernetes.io/pod-name", "postgres-0"), from(peers{{PodSelector: labels("app.kubernetes.io/part-of", ns)}}, tcp(5432)))
	case 6: // everything but, in namespaces of a tier
		return ingress(app, from(peers{{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpIn, Values: []string{"serving", "system"}}}},
			PodSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "component", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"state"}}, {Key: "batch.kubernetes.io/job-name", Operator: metav1.LabelSelectorOpDoesNotExist}}}}},
			tcp(8000), span(8080, 8090)))
	}
	// a range of the cluster's own addresses
	n := c.rand.IntN(200)
	return ingress(app, from(peers{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("10.64.%d.0/22", n&^3)}}, {IPBlock: &networkingv1.IPBlock{CIDR: "192.168.0.0/16"}}}, named("http")))
}

// labels makes a selector of pairs.
func labels(pairs ...string) *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	for i := 0; i < len(pairs); i += 2 {
		metav1.AddLabelToSelector(s, pairs[i], pairs[i+1])
	}
	return s
}

func pods(ns, app string) peers {
	return peers{{NamespaceSelector: labels(corev1.LabelMetadataName, ns), PodSelector: labels("app.kubernetes.io/name", app)}}
}

func own(apps ...string) peers {
	var all peers
	for _, a := range apps {
		all = append(all, networkingv1.NetworkPolicyPeer{PodSelector: labels("app.kubernetes.io/name", a)})
	}
	return all
}

func from(p peers, list ...networkingv1.NetworkPolicyPort) []networkingv1.NetworkPolicyIngressRule {
	return []networkingv1.NetworkPolicyIngressRule{{From: p, Ports: list}}
}

func to(p peers, list ...networkingv1.NetworkPolicyPort) []networkingv1.NetworkPolicyEgressRule {
	return []networkingv1.NetworkPolicyEgressRule{{To: p, Ports: list}}
}

func ingress(subject *metav1.LabelSelector, rules []networkingv1.NetworkPolicyIngressRule) spec {
	return spec{PodSelector: *subject, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, Ingress: rules}
}

func egress(subject *metav1.LabelSelector, rules []networkingv1.NetworkPolicyEgressRule) spec {
	return spec{PodSelector: *subject, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, Egress: rules}
}

func both(subject *metav1.LabelSelector, in []networkingv1.NetworkPolicyIngressRule, out []networkingv1.NetworkPolicyEgressRule) spec {
	s := ingress(subject, in)
	s.PolicyTypes, s.Egress = append(s.PolicyTypes, networkingv1.PolicyTypeEgress), out
	return s
}

func port(protocol corev1.Protocol, p intstr.IntOrString) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &p}
}

func tcp(n int32) networkingv1.NetworkPolicyPort {
	return port(corev1.ProtocolTCP, intstr.FromInt32(n))
}
func udp(n int32) networkingv1.NetworkPolicyPort {
	return port(corev1.ProtocolUDP, intstr.FromInt32(n))
}
func named(name string) networkingv1.NetworkPolicyPort {
	return port(corev1.ProtocolTCP, intstr.FromString(name))
}

func span(first, last int32) networkingv1.NetworkPolicyPort {
	p := tcp(first)
	p.EndPort = &last
	return p
}
