package literal

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
)

const udp = corev1.ProtocolUDP

func pod(key, ips string, ports ...verdict.Port) *verdict.Pod {
	p := &verdict.Pod{Ports: ports}
	p.Namespace, p.Name, _ = strings.Cut(key, "/")
	p.Labels = map[string]string{"app": p.Name}
	for _, s := range strings.Fields(ips) {
		p.IPs = append(p.IPs, netip.MustParseAddr(s))
	}
	return p
}

// The platform of these tests: a gateway calls a model on another node.
var (
	gateway = pod("ai/gateway", "10.1.0.2")
	model   = pod("ai/model", "10.1.0.3", verdict.Port{Name: "http", Number: 8000}, verdict.Port{Name: "dns", Number: 53, Protocol: udp})
	prom    = pod("mon/prom", "10.1.0.5")
	lost    = pod("lost/lost", "10.1.0.6") // its namespace is not known
	hosted  = onNode(pod("mon/hosted", "192.0.2.1"), "n1")
	strayed = onNode(pod("mon/strayed", ""), "")
	dual    = pod("ai/dual", "10.1.0.7 fd00::7")
	dual2   = pod("mon/dual2", "10.1.0.8 fd00::8")
)

func onNode(p *verdict.Pod, node string) *verdict.Pod {
	p.HostNetwork, p.Node = true, node
	return p
}

func nodes() []verdict.Node {
	return []verdict.Node{
		{Name: "n1", Labels: map[string]string{"pool": "gpu"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		{Name: "n2", IPs: []netip.Addr{netip.MustParseAddr("192.0.2.2")}},
	}
}

// policies reads a list of ClusterNetworkPolicy specs as people write them, and
// of NetworkPolicies, which have a namespace.
func policies(t *testing.T, text string) verdict.World {
	t.Helper()
	var all []struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Spec      any    `json:"spec"`
	}
	if err := yaml.UnmarshalStrict([]byte(text), &all); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	w := verdict.World{Namespaces: map[string]map[string]string{"ai": {"tier": "ai"}, "mon": nil}, Nodes: nodes()}
	for _, p := range all {
		b, err := yaml.Marshal(p.Spec)
		if err != nil {
			t.Fatal(err)
		}
		if p.Namespace != "" {
			np := verdict.Policy{Namespace: p.Namespace, Name: p.Name}
			err = yaml.UnmarshalStrict(b, &np.Spec)
			w.Policies = append(w.Policies, np)
		} else {
			cnp := verdict.ClusterPolicy{Name: p.Name}
			err = yaml.UnmarshalStrict(b, &cnp.Spec)
			w.ClusterPolicies = append(w.ClusterPolicies, cnp)
		}
		if err != nil {
			t.Fatalf("policy %s: %v", p.Name, err)
		}
	}
	return w
}

func to(from, to *verdict.Pod, port int32, protocol ...corev1.Protocol) verdict.Conn {
	c := verdict.Conn{From: verdict.End{Pod: from}, To: verdict.End{Pod: to}, Port: port}
	if len(protocol) > 0 {
		c.Protocol = protocol[0]
	}
	return c
}

func out(from *verdict.Pod, ip string, port int32) verdict.Conn {
	c := verdict.Conn{From: verdict.End{Pod: from}, Port: port}
	if ip != "" {
		c.To.IP = netip.MustParseAddr(ip)
	}
	return c
}

// clause is one sentence of a specification: policies and what they make of a
// connection, by the literal reading and by the engine.
type clause struct {
	name, policies string
	conn           verdict.Conn
	want           verdict.Decision
}

func check(t *testing.T, clauses []clause) {
	t.Helper()
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			w := policies(t, c.policies)
			for reading, v := range map[string]verdict.Verdict{"the literal reading": Judge(w, c.conn), "the engine": verdict.Compile(w, nil).Judge(c.conn)} {
				if v.Decision != c.want {
					t.Errorf("%s: got %s (%s), want %s", reading, v.Decision, v.Reason, c.want)
				}
				if v.Reason == "" || v.Egress.Reason == "" || v.Ingress.Reason == "" || v.Egress.Rule == "" || v.Ingress.Rule == "" {
					t.Errorf("%s: a verdict without a reason: %+v", reading, v)
				}
			}
		})
	}
}

const (
	unknown = verdict.Unknown
	allowed = verdict.Allow
	denied  = verdict.Deny
)
