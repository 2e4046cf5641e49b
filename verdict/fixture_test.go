package verdict

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The platform of these tests: a gateway that calls a model, and their
// surroundings. Each test adds the policies that it is about.
func pod(key, ip string, ports ...Port) *Pod {
	p := &Pod{Ports: ports}
	for i, r := range key {
		if r == '/' {
			p.Namespace, p.Name = key[:i], key[i+1:]
		}
	}
	p.Labels = map[string]string{"app": p.Name}
	if ip != "" {
		p.IPs = []netip.Addr{netip.MustParseAddr(ip)}
	}
	return p
}

var (
	gateway = pod("ai/gateway", "10.1.0.2", Port{Name: "http", Number: 4000})
	model   = pod("ai/model", "10.1.0.3",
		Port{Name: "http", Number: 8000}, Port{Name: "dns", Number: 53, Protocol: corev1.ProtocolUDP})
	store = pod("data/store", "10.1.0.4", Port{Name: "http", Number: 6333})
	prom  = pod("mon/prom", "10.1.0.5")
)

func world(t *testing.T, policies ...Policy) World {
	t.Helper()
	return World{
		Namespaces: map[string]map[string]string{"ai": {"tier": "ai"}, "data": {"tier": "data"}, "mon": nil},
		Policies:   policies,
	}
}

// policy reads "namespace/name" and a spec in YAML, as people write it.
func policy(t *testing.T, key, spec string) Policy {
	t.Helper()
	at := pod(key, "")
	p := Policy{Namespace: at.Namespace, Name: at.Name}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("policy %s: %v", key, err)
	}
	return p
}

func to(from, to *Pod, port int32, protocol ...corev1.Protocol) Conn {
	c := Conn{From: End{Pod: from}, To: End{Pod: to}, Port: port}
	if len(protocol) > 0 {
		c.Protocol = protocol[0]
	}
	return c
}

func ip(s string) End { return End{IP: netip.MustParseAddr(s)} }

// clause is one sentence of the specification: a policy and what it makes of a
// connection.
type clause struct {
	name string
	spec string // of policy ai/p
	conn Conn
	want Decision
}

func check(t *testing.T, clauses []clause) {
	t.Helper()
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			v := judge(t, world(t, policy(t, "ai/p", c.spec)), c.conn)
			if v.Decision != c.want {
				t.Errorf("got %s (%s), want %s", v.Decision, v.Reason, c.want)
			}
			if v.Reason == "" || v.Rule() == "" || v.Egress.Reason == "" || v.Ingress.Reason == "" {
				t.Errorf("a verdict without a reason: %+v", v)
			}
		})
	}
}

const (
	udp  = corev1.ProtocolUDP
	sctp = corev1.ProtocolSCTP
)

// judge compiles the world, and holds Decide against what Judge says.
func judge(t *testing.T, w World, c Conn) Verdict {
	t.Helper()
	v := Compile(w, nil).Judge(c)
	if c.From.Pod == nil || c.To.Pod == nil || c.From.IP.IsValid() || c.To.IP.IsValid() || c.FromNode {
		return v
	}
	s := Compile(w, []Pod{*c.From.Pod, *c.To.Pod})
	from, _ := s.Find(c.From.Pod.Key())
	to, _ := s.Find(c.To.Pod.Key())
	if got := s.Decide(from, to, c.Port, c.Protocol); got != v.Decision {
		t.Errorf("Decide says %s, Judge %s (%s)", got, v.Decision, v.Reason)
	}
	return v
}
