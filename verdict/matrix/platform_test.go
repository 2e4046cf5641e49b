package matrix

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/tightrope-dev/tightrope/verdict"
)

// The teams and workloads of a large platform, to make names of.
var (
	teams = []string{"ai-gateway", "ai-models", "analytics", "auth", "billing", "catalog", "checkout", "ci", "data-lake", "dns", "edge", "features",
		"fraud", "ingest", "mail", "monitoring", "notebooks", "orders", "payments", "pricing", "search", "shipping", "support", "training", "vectors"}
	roles = []string{"api", "worker", "cache", "db", "queue", "scheduler", "web", "gateway", "indexer", "exporter",
		"importer", "proxy", "sync", "mailer", "reports", "archive", "webhook", "admin", "batch", "canary"}
)

// platform is a cluster of perTeam workloads in each of the first namespaces,
// most of them locked down: a default deny, a policy per workload, monitoring
// everywhere, and the mistakes that real ones have.
func platform(namespaces, perTeam int) Query {
	w := verdict.World{Namespaces: map[string]map[string]string{}}
	var pods []verdict.Pod
	var workloads []string
	for i, team := range teams[:namespaces] {
		w.Namespaces[team] = map[string]string{"tier": []string{"core", "edge", "data"}[i%3]}
		if i%5 != 4 { // every fifth namespace is open
			w.Policies = append(w.Policies, policy(team, "default-deny", nil, networkingv1.NetworkPolicySpec{PolicyTypes: both}))
		}
		for j := range perTeam {
			role := roles[j%len(roles)]
			for r := range 1 + rankOf(j%9 == 7) {
				workloads = append(workloads, "deployment/"+role)
				pods = append(pods, podOf(team, role, r, i, j))
			}
			if i%5 != 4 {
				w.Policies = append(w.Policies, policy(team, role, map[string]string{"app": role}, rulesOf(i, j)))
			}
		}
	}
	q := Query{Snapshot: verdict.Compile(w, pods)}
	for i := range pods {
		q.From = append(q.From, End{Pod: &pods[i], Workload: workloads[i]})
	}
	q.To = q.From
	return q
}

var both = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}

func podOf(team, role string, replica, i, j int) verdict.Pod {
	p := verdict.Pod{
		Namespace: team, Name: fmt.Sprintf("%s-%d", role, replica), Labels: map[string]string{"app": role},
		IPs:  []netip.Addr{netip.AddrFrom4([4]byte{10, byte(replica), byte(i), byte(j + 1)})},
		Node: fmt.Sprintf("node-%d", (i+j+replica)%7),
	}
	switch role {
	case "importer": // declares nothing
	case "exporter":
		p.HostNetwork = true
		p.Ports = []verdict.Port{{Name: "metrics", Number: 9100}}
	case "db":
		p.Ports = []verdict.Port{{Name: "sql", Number: 5432}, {Name: "metrics", Number: 9090}}
	case "gateway", "api":
		p.Ports = []verdict.Port{{Name: "http", Number: 8080}, {Name: "admin", Number: 8001}, {Name: "metrics", Number: 9090}}
	default:
		p.Ports = []verdict.Port{{Name: "http", Number: 8080}}
	}
	return p
}

func policy(ns, name string, labels map[string]string, spec networkingv1.NetworkPolicySpec) verdict.Policy {
	spec.PodSelector = metav1.LabelSelector{MatchLabels: labels}
	return verdict.Policy{Namespace: ns, Name: name, Spec: spec}
}

func rulesOf(i, j int) networkingv1.NetworkPolicySpec {
	in := func(port int, peers ...networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: peers, Ports: tcp(port)}
	}
	team := func(k int) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": teams[k%len(teams)]}}
	}
	spec := networkingv1.NetworkPolicySpec{PolicyTypes: both, Ingress: []networkingv1.NetworkPolicyIngressRule{
		in(9090, networkingv1.NetworkPolicyPeer{NamespaceSelector: team(15)}),
		in(8080, networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}}, networkingv1.NetworkPolicyPeer{NamespaceSelector: team(i + j%4 + 1)}),
	}}
	if j%4 == 3 {
		spec.Ingress = append(spec.Ingress, in(5432, networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}}}))
	}
	if j%9 == 7 { // only one of the replicas lies in the block
		spec.Ingress = append(spec.Ingress, in(8080, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/16"}}))
	}
	if j%3 == 0 {
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
	} else {
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: team(i + j)}, {PodSelector: &metav1.LabelSelector{}}}}}
	}
	return spec
}

func tcp(port int) []networkingv1.NetworkPolicyPort {
	p, protocol := intstr.FromInt32(int32(port)), corev1.ProtocolTCP
	return []networkingv1.NetworkPolicyPort{{Port: &p, Protocol: &protocol}}
}

// small is three workloads that say everything: web may call the api's http port
// and nothing else, batch may do nothing, the api answers web only.
func small(t *testing.T) Query {
	t.Helper()
	pods := []verdict.Pod{
		{Namespace: "apps", Name: "web-0", Labels: map[string]string{"app": "web"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		{Namespace: "apps", Name: "web-1", Labels: map[string]string{"app": "web"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
		{Namespace: "ai", Name: "api-0", Labels: map[string]string{"app": "api"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.1.1")},
			Ports: []verdict.Port{{Name: "http", Number: 8080}, {Name: "metrics", Number: 9090}, {Name: "http", Number: 8080}}},
		{Namespace: "apps", Name: "batch", Labels: map[string]string{"app": "batch"}, IPs: []netip.Addr{netip.MustParseAddr("10.0.0.9")},
			Ports: []verdict.Port{{Name: "http", Number: 80}}},
	}
	web := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}
	s := verdict.Compile(verdict.World{
		Namespaces: map[string]map[string]string{"apps": nil, "ai": nil},
		Policies: []verdict.Policy{
			policy("ai", "api", map[string]string{"app": "api"}, networkingv1.NetworkPolicySpec{
				Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{web}, Ports: tcp(8080)}}}),
			policy("apps", "batch", map[string]string{"app": "batch"}, networkingv1.NetworkPolicySpec{PolicyTypes: both}),
		},
	}, pods)
	q := Query{Snapshot: s}
	for i, workload := range []string{"deployment/web", "deployment/web", "statefulset/api", ""} {
		q.From = append(q.From, End{Pod: &pods[i], Workload: workload})
	}
	q.To = q.From
	return q
}
