package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// The world of the tests. All pods but far are on the node; api is the name of
// different ports on gateway and db.
var world = []struct {
	namespace, name, addr string
	api                   int32
}{
	{"ai", "gateway", "10.244.1.2", 4000},
	{"ai", "db", "10.244.1.3", 5432},
	{"apps", "chat", "10.244.1.4", 0},
	{"apps", "far", "10.244.2.5", 0},
}

func pods() []*corev1.Pod {
	var all []*corev1.Pod
	for _, w := range world {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.name, UID: types.UID(w.name), Labels: map[string]string{"app": w.name}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: w.addr},
		}
		if w.api != 0 {
			p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "api", ContainerPort: w.api, Protocol: corev1.ProtocolTCP}}}}
		}
		all = append(all, p)
	}
	return all
}

func input(t *testing.T, policies ...string) Input {
	t.Helper()
	in := Input{
		Options: Options{NodeName: "node-1", NodeIPs: []netip.Addr{netip.MustParseAddr("172.31.0.11")},
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24")}, Enforce: true},
		Pods: pods(),
	}
	for _, ns := range []string{"ai", "apps"} {
		in.Namespaces = append(in.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"team": ns}}})
	}
	for i, p := range in.Pods {
		if addr := netip.MustParseAddr(world[i].addr); in.PodCIDRs[0].Contains(addr) {
			in.Local = append(in.Local, LocalPod{p.Namespace, p.Name, string(p.UID), []netip.Addr{addr}, p})
		}
	}
	for i, text := range policies {
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ai", Name: fmt.Sprintf("p%d", i)}}
		if err := yaml.UnmarshalStrict([]byte(text), &p.Spec); err != nil {
			t.Fatalf("policy %d: %v", i, err)
		}
		in.Policies = append(in.Policies, p)
	}
	return in
}

// packet is the first packet of a connection, as the forward hook sees it.
type packet struct {
	src, dst netip.Addr
	proto    ruleset.Proto
	port     uint16
}

// parse reads "chat > gateway:4000/tcp"; a name of no pod is an address.
func parse(t *testing.T, s string) packet {
	t.Helper()
	f := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" >:/", r) })
	addr := func(name string) netip.Addr {
		for _, w := range world {
			if w.name == name {
				return netip.MustParseAddr(w.addr)
			}
		}
		return netip.MustParseAddr(name)
	}
	p := packet{src: addr(f[0]), dst: addr(f[1])}
	if _, err := fmt.Sscan(f[2], &p.port); err != nil {
		t.Fatal(err)
	}
	p.proto = map[string]ruleset.Proto{"tcp": ruleset.TCP, "udp": ruleset.UDP, "sctp": ruleset.SCTP, "icmp": ruleset.ICMP}[f[3]]
	return p
}

// forward runs a packet through the base chains of the forward hook as the
// kernel would: a small interpreter of rulesets.
func forward(rs ruleset.Ruleset, p packet) bool {
	var bases []string
	for name, c := range rs.Chains {
		if c.Hook.Point == ruleset.Forward {
			bases = append(bases, name)
		}
	}
	slices.SortFunc(bases, func(a, b string) int { return int(rs.Chains[a].Hook.Priority - rs.Chains[b].Hook.Priority) })
	for _, name := range bases {
		if walk(rs, name, p) == ruleset.Drop {
			return false
		}
	}
	return true
}

func walk(rs ruleset.Ruleset, chain string, p packet) ruleset.Action {
	for _, r := range rs.Chains[chain].Rules {
		if !matches(rs, r, p) {
			continue
		}
		verdict := ruleset.Continue
		switch r.Action {
		case ruleset.Jump:
			verdict = walk(rs, r.Target, p)
		case ruleset.DispatchSrc, ruleset.DispatchDst:
			addr := map[ruleset.Action]netip.Addr{ruleset.DispatchSrc: p.src, ruleset.DispatchDst: p.dst}[r.Action]
			for e := range rs.Sets[r.Target].Elements {
				if e.Addr == addr {
					return walk(rs, e.Chain, p)
				}
			}
		default:
			verdict = r.Action
		}
		if verdict != ruleset.Continue {
			return verdict
		}
	}
	return ruleset.Continue
}

func matches(rs ruleset.Ruleset, r ruleset.Rule, p packet) bool {
	in := func(set string, want ruleset.Element) bool {
		for e := range rs.Sets[set].Elements {
			if e == want || rs.Sets[set].Kind == ruleset.AddrRanges && e.Addr.Compare(want.Addr) <= 0 && want.Addr.Compare(e.Last) <= 0 {
				return true
			}
		}
		return false
	}
	return !r.Established && !r.FromWire && r.Marked == 0 && r.PairSet == "" &&
		(r.Family == 0 || r.Family == ruleset.FamilyOf(p.src)) &&
		(r.FrontSet == "" || in(r.FrontSet, ruleset.Element{Addr: p.dst, Proto: p.proto, Port: p.port})) &&
		(!r.Src.IsValid() || r.Src == p.src) && (!r.Dst.IsValid() || r.Dst == p.dst) &&
		(!r.SrcIn.IsValid() || r.SrcIn.Contains(p.src)) && (!r.DstIn.IsValid() || r.DstIn.Contains(p.dst)) &&
		(r.SrcSet == "" || in(r.SrcSet, ruleset.Element{Addr: p.src}) != r.NotSrcSet) &&
		(r.DstSet == "" || in(r.DstSet, ruleset.Element{Addr: p.dst}) != r.NotDstSet) &&
		(r.Proto == 0 || r.Proto == p.proto) &&
		(r.PortLast == 0 || r.PortFirst <= p.port && p.port <= r.PortLast) &&
		(r.DstPortSet == "" || in(r.DstPortSet, ruleset.Element{Addr: p.dst, Port: p.port}))
}

// check expects each packet to pass (a line beginning with +) or not (-).
func check(t *testing.T, out Output, lines string) {
	t.Helper()
	checked := 0
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		want := line[0] == '+'
		if got := forward(out.Ruleset, parse(t, line[1:])); got != want {
			t.Errorf("%s: passed = %v\n%s", line, got, out.Ruleset)
		}
		checked++
	}
	if checked == 0 {
		t.Error("nothing was checked")
	}
}
