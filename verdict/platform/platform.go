// Package platform imagines. Given a size and a seed it makes up the cluster of
// an AI platform, as benchmarks need it: teams with gateways, model servers,
// stores, trainers and jobs, in the surroundings of DNS, monitoring and an
// ingress, and the policies that such teams write. It is for tests only.
//
//	Size ──► namespaces, pods with addresses and labels ──► policies of each team
//
// The same Size gives the same cluster, byte for byte.
package platform

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/tightrope-dev/tightrope/verdict"
)

// Size says how large the cluster is. The zero Size has nothing in it.
type Size struct {
	Pods      int // at least one namespace for 50 of them
	Policies  int
	Seed      uint64
	DualStack bool // pods have an IPv6 address as well
}

// Sizes are those of the published figures.
func Sizes() []Size {
	return []Size{{Pods: 9}, {Pods: 100, Policies: 50}, {Pods: 1000, Policies: 250}, {Pods: 5000, Policies: 1000}, {Pods: 20000, Policies: 3000}}
}

const podsPerNode = 50

// The namespaces that every cluster has, before those of teams.
var system = []string{"kube-system", "monitoring", "ingress"}

// New makes up the cluster.
func New(s Size) (verdict.World, []verdict.Pod) {
	c := cluster{Size: s, rand: rand.New(rand.NewPCG(s.Seed, 4)), world: verdict.World{Namespaces: map[string]map[string]string{}}}
	c.addNodes()
	c.addNamespaces()
	c.addPods()
	c.addPolicies()
	return c.world, c.pods
}

type cluster struct {
	Size
	rand  *rand.Rand
	teams []string // namespaces of teams
	world verdict.World
	pods  []verdict.Pod
}

func (c *cluster) addNodes() {
	for i := range c.Pods/podsPerNode + 1 {
		c.world.Nodes = append(c.world.Nodes, verdict.Node{
			Name:   fmt.Sprintf("node-%d", i),
			Labels: map[string]string{"kubernetes.io/hostname": fmt.Sprintf("node-%d", i), "pool": []string{"cpu", "gpu"}[i%2]},
			IPs:    []netip.Addr{netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)})},
		})
	}
}

func (c *cluster) addNamespaces() {
	for _, name := range system {
		c.world.Namespaces[name] = map[string]string{"tier": "system"}
	}
	for i := range c.Pods/podsPerNode + 1 {
		name := fmt.Sprintf("team-%03d", i)
		c.teams = append(c.teams, name)
		c.world.Namespaces[name] = map[string]string{
			"tier": []string{"serving", "training", "data"}[i%3], "team": fmt.Sprintf("t%d", i/3), "env": []string{"prod", "staging"}[i%2],
		}
	}
}

// kind is one workload that a team runs.
type kind struct {
	name     string
	replicas int
	stateful bool // every pod has a label of its own
	job      bool // every pod belongs to a run of its own
	ports    []verdict.Port
}

var kinds = []kind{
	{name: "gateway", replicas: 4, ports: []verdict.Port{{Name: "http", Number: 4000}, {Name: "metrics", Number: 9090}}},
	{name: "model", replicas: 6, ports: []verdict.Port{{Name: "http", Number: 8000}, {Name: "grpc", Number: 8001}, {Name: "metrics", Number: 8002}}},
	{name: "embedder", replicas: 4, ports: []verdict.Port{{Name: "http", Number: 8080}, {Name: "metrics", Number: 9090}}},
	{name: "vectors", replicas: 3, stateful: true, ports: []verdict.Port{{Name: "http", Number: 6333}, {Name: "grpc", Number: 6334}, {Name: "peer", Number: 6335}}},
	{name: "postgres", replicas: 3, stateful: true, ports: []verdict.Port{{Name: "sql", Number: 5432}, {Name: "metrics", Number: 9187}}},
	{name: "redis", replicas: 2, ports: []verdict.Port{{Name: "redis", Number: 6379}}},
	{name: "trainer", replicas: 8, stateful: true, ports: []verdict.Port{{Name: "rdzv", Number: 29400}}},
	{name: "batch", replicas: 6, job: true},
	{name: "agent", replicas: 6, ports: []verdict.Port{{Name: "http", Number: 3000}, {Name: "metrics", Number: 9100}}},
	{name: "notebook", replicas: 8, stateful: true, ports: []verdict.Port{{Name: "http", Number: 8888}}},
}

var services = map[string]kind{
	"kube-system": {name: "kube-dns", replicas: 2, ports: []verdict.Port{{Name: "dns", Number: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns-tcp", Number: 53}, {Name: "metrics", Number: 9153}}},
	"monitoring":  {name: "prometheus", replicas: 2, stateful: true, ports: []verdict.Port{{Name: "web", Number: 9090}}},
	"ingress":     {name: "envoy", replicas: 3, ports: []verdict.Port{{Name: "https", Number: 8443}, {Name: "metrics", Number: 19001}}},
}

// addPods fills the namespaces of the system, one host-network exporter for a
// node, then the teams in turn, kind by kind, until the number is reached.
func (c *cluster) addPods() {
	for _, ns := range system {
		c.addWorkload(ns, services[ns], 0)
	}
	for i := range c.world.Nodes {
		c.add("monitoring", fmt.Sprintf("exporter-%d", i), map[string]string{"app.kubernetes.io/name": "exporter"}, []verdict.Port{{Name: "metrics", Number: 9100}}, &c.world.Nodes[i])
	}
	for round := 0; len(c.pods) < c.Pods; round++ {
		for _, ns := range c.teams {
			c.addWorkload(ns, kinds[round%len(kinds)], round/len(kinds))
		}
	}
}

func (c *cluster) addWorkload(ns string, k kind, instance int) {
	name := k.name
	if instance > 0 {
		name = fmt.Sprintf("%s-%d", k.name, instance)
	}
	hash := fmt.Sprintf("%08x", c.rand.Uint32())
	for i := range k.replicas {
		labels := map[string]string{
			"app.kubernetes.io/name": k.name, "app.kubernetes.io/instance": name,
			"app.kubernetes.io/part-of": ns, "component": []string{"serving", "state", "work"}[len(k.name)%3],
		}
		pod := fmt.Sprintf("%s-%s-%05x", name, hash, c.rand.Uint32()&0xfffff)
		switch {
		case k.stateful:
			pod = fmt.Sprintf("%s-%d", name, i)
			labels["statefulset.kubernetes.io/pod-name"], labels["apps.kubernetes.io/pod-index"] = pod, fmt.Sprint(i)
			labels["controller-revision-hash"] = hash
		case k.job:
			labels["batch.kubernetes.io/job-name"] = pod
		default:
			labels["pod-template-hash"] = hash
		}
		c.add(ns, pod, labels, k.ports, nil)
	}
}

func (c *cluster) add(ns, name string, labels map[string]string, ports []verdict.Port, host *verdict.Node) {
	n := len(c.pods)
	if n == c.Pods {
		return
	}
	p := verdict.Pod{Namespace: ns, Name: name, Labels: labels, Ports: ports, Node: c.world.Nodes[c.rand.IntN(len(c.world.Nodes))].Name}
	p.IPs = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(64 + n>>16), byte(n >> 8), byte(n)})}
	if c.DualStack {
		p.IPs = append(p.IPs, netip.AddrFrom16([16]byte{0xfd, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}))
	}
	if host != nil {
		p.HostNetwork, p.Node, p.IPs = true, host.Name, host.IPs
	}
	c.pods = append(c.pods, p)
}
