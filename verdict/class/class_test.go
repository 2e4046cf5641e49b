package class

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/yaml"

	"github.com/tightrope-dev/tightrope/verdict"
)

func world(t *testing.T, specs ...string) verdict.World {
	t.Helper()
	w := verdict.World{Namespaces: map[string]map[string]string{"ai": nil, "apps": nil}}
	for i, spec := range specs {
		p := verdict.Policy{Namespace: "ai", Name: fmt.Sprint("p", i)}
		if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
			t.Fatal(err)
		}
		w.Policies = append(w.Policies, p)
	}
	return w
}

func TestPodsAreOfOneClassIfNoPolicyTellsThemApart(t *testing.T) {
	base := verdict.Pod{Namespace: "ai", Name: "a", Labels: map[string]string{"app": "x", "hash": "1"}, Node: "n1",
		IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Ports: []verdict.Port{{Name: "web", Number: 80}}}
	but := func(edit func(*verdict.Pod)) verdict.Pod {
		p := base
		p.Labels, p.Ports = maps.Clone(base.Labels), slices.Clone(base.Ports)
		edit(&p)
		return p
	}
	other := func(p *verdict.Pod) { p.Name, p.Node = "b", "n2" }
	label := func(key, value string) func(*verdict.Pod) {
		return func(p *verdict.Pod) { p.Labels[key] = value }
	}
	ip := func(s string) func(*verdict.Pod) {
		return func(p *verdict.Pod) { p.IPs = []netip.Addr{netip.MustParseAddr(s)} }
	}
	for _, tt := range []struct {
		name   string
		policy string
		edit   func(*verdict.Pod)
		alike  bool
	}{
		{"replicas", `{podSelector: {matchLabels: {app: x}}}`, other, true},
		{"a label that nobody mentions", `{podSelector: {matchLabels: {app: x}}}`, label("hash", "2"), true},
		{"a label that is selected", `{podSelector: {matchLabels: {app: x}}}`, label("app", "y"), false},
		{"two values that no selector lists", `{podSelector: {matchLabels: {hash: "7"}}}`, label("hash", "2"), true},
		{"a value that a peer lists", `{ingress: [{from: [{podSelector: {matchExpressions: [{key: hash, operator: NotIn, values: ["2"]}]}}]}]}`, label("hash", "2"), false},
		{"a key that must not be there", `{podSelector: {matchExpressions: [{key: extra, operator: DoesNotExist}]}}`, label("extra", ""), false},
		{"namespaces", `{}`, func(p *verdict.Pod) { p.Namespace = "apps" }, false},
		{"addresses, where none is mentioned", `{}`, ip("10.9.9.9"), true},
		{"addresses of one block", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]}`, ip("10.0.0.9"), true},
		{"addresses in and out of a block", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]}`, ip("10.0.1.1"), false},
		{"an except", `{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.8/29]}}]}]}`, ip("10.0.0.9"), false},
		{"families", `{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`, ip("fd00::1"), false},
		{"the host's network", `{}`, func(p *verdict.Pod) { p.HostNetwork = true }, false},
		{"declared ports", `{}`, func(p *verdict.Pod) { p.Ports[0].Number = 81 }, false},
		{"a name of a port that nobody mentions", `{}`, func(p *verdict.Pod) { p.Ports[0].Name = "http" }, true},
		{"a name of a port", `{ingress: [{ports: [{port: web}]}]}`, func(p *verdict.Pod) { p.Ports[0].Name = "http" }, false},
		{"a protocol that is written out", `{}`, func(p *verdict.Pod) { p.Ports[0].Protocol = corev1.ProtocolTCP }, true},
	} {
		v := NewVocabulary(world(t, tt.policy))
		a, b := base, but(tt.edit)
		if got := v.Signature(&a) == v.Signature(&b); got != tt.alike {
			t.Errorf("%s: alike is %t, want %t:\n%s\n%s", tt.name, got, tt.alike, v.Signature(&a), v.Signature(&b))
		}
	}
}

func TestClusterPoliciesTellPodsApartToo(t *testing.T) {
	var spec v1alpha2.ClusterNetworkPolicySpec
	if err := yaml.Unmarshal([]byte(`{tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}},
egress: [{action: Deny, to: [{networks: [10.0.0.0/24]}], protocols: [{tcp: {destinationPort: {range: {start: 80, end: 90}}}}, {destinationNamedPort: web}]}]}`), &spec); err != nil {
		t.Fatal(err)
	}
	v := NewVocabulary(verdict.World{ClusterPolicies: []verdict.ClusterPolicy{{Name: "c", Spec: spec}}})
	base := verdict.Pod{Namespace: "ai", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Ports: []verdict.Port{{Name: "web", Number: 1}}}
	for what, edit := range map[string]func(*verdict.Pod){
		"subject": func(p *verdict.Pod) { p.Labels = map[string]string{"app": "x"} },
		"network": func(p *verdict.Pod) { p.IPs = []netip.Addr{netip.MustParseAddr("10.0.1.1")} },
		"name":    func(p *verdict.Pod) { p.Ports = []verdict.Port{{Name: "api", Number: 1}} },
	} {
		p := base
		edit(&p)
		if v.Signature(&p) == v.Signature(&base) {
			t.Errorf("%s: not told apart", what)
		}
	}
	if want := []Span{{80, 90, "TCP"}}; !reflect.DeepEqual(ClusterSpans(&spec), want) {
		t.Errorf("spans %v, want %v", ClusterSpans(&spec), want)
	}
}

func TestPortsToTry(t *testing.T) {
	show := func(all []Try) string {
		var got []string
		for _, p := range all {
			s := fmt.Sprintf("%d/%s", p.Number, p.Protocol)
			if p.Last != p.Number {
				s = fmt.Sprintf("%d-%d/%s", p.Number, p.Last, p.Protocol)
			}
			if p.Rest {
				s += " and the rest"
			}
			got = append(got, s)
		}
		return strings.Join(got, ", ")
	}
	tcp := []corev1.Protocol{corev1.ProtocolTCP}
	declared := []verdict.Port{{Name: "web", Number: 80}}
	for _, tt := range []struct {
		name     string
		policy   string
		declared []verdict.Port
		rest     []corev1.Protocol
		want     string
	}{
		{"nothing is known", `{}`, nil, tcp, "65535/TCP and the rest"},
		{"a declared port", `{}`, declared, nil, "80/TCP"},
		{"a number", `{ingress: [{ports: [{port: 53, protocol: UDP}]}]}`, declared, nil, "80/TCP, 53/UDP"},
		{"a range around a declared port", `{ingress: [{ports: [{port: 80, endPort: 90}]}]}`, declared, nil, "80/TCP, 81-90/TCP"},
		{"ranges that overlap", `{ingress: [{ports: [{port: 10, endPort: 20}, {port: 15, endPort: 30}, {port: 20}]}]}`, nil, nil, "10-14/TCP, 15-19/TCP, 20/TCP, 21-30/TCP"},
		{"all ports of a protocol", `{ingress: [{ports: [{protocol: UDP}, {port: 5, protocol: UDP}]}]}`, declared, nil, "80/TCP, 5/UDP, 65535/UDP and the rest"},
		{"names are for those who declare them", `{ingress: [{ports: [{port: web}]}]}`, declared, nil, "80/TCP"},
		{"a range up to the last port", `{ingress: [{ports: [{port: 1024, endPort: 65535}]}]}`, nil, tcp, "1024-65535/TCP, 1023/TCP and the rest"},
		{"ranges that leave nothing", `{ingress: [{ports: [{port: 1, endPort: 99}, {port: 100, endPort: 65535}]}]}`, nil, tcp, "1-99/TCP, 100-65535/TCP"},
	} {
		w := world(t, tt.policy)
		v := NewVocabulary(w)
		got := show(Tries(tt.declared, nil, Spans(w.Policies[0], networkingv1.PolicyTypeIngress), tt.rest, v.Other(nil)))
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	v := NewVocabulary(world(t, `{ingress: [{ports: [{port: 1, endPort: 99}, {port: 100, endPort: 65535}]}]}`))
	if got := show(Tries(nil, nil, nil, tcp, v.Other(nil))); got != "65535/TCP and the rest" {
		t.Errorf("between ends that no policy with these ports is about: got %q", got)
	}
}

// Every outside address is judged like one of those returned, in random sets of
// nested blocks.
func TestOneAddressSpeaksForEachSet(t *testing.T) {
	checked := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w verdict.World
		p := verdict.Policy{Namespace: "ai", Name: "p"}
		var blocks []netip.Prefix
		for range 1 + r.IntN(6) {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(256))})
			if r.IntN(4) == 0 {
				a = netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.IntN(256))})
			}
			block := netip.PrefixFrom(a, a.BitLen()-r.IntN(9)).Masked()
			blocks = append(blocks, block)
			p.Spec.Ingress = append(p.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: block.String()}}}})
		}
		w.Policies = []verdict.Policy{p}
		taken := map[netip.Addr]bool{netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(256))}): true}
		in := func(a netip.Addr) string {
			s := fmt.Sprint(a.Is4())
			for _, b := range blocks {
				s += fmt.Sprint(b.Contains(a))
			}
			return s
		}
		spokenFor := map[string]int{}
		for _, a := range NewVocabulary(w).Outside(func(a netip.Addr) bool { return taken[a] }) {
			if taken[a] {
				t.Fatalf("seed %d: %s is taken", seed, a)
			}
			spokenFor[in(a)]++
		}
		has6 := slices.ContainsFunc(blocks, func(b netip.Prefix) bool { return !b.Addr().Is4() })
		for i := range 256 {
			for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom4([4]byte{9, 9, 9, byte(i)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)})} {
				if taken[a] || !a.Is4() && !has6 {
					continue
				}
				checked++
				if n := spokenFor[in(a)]; n != 1 {
					t.Fatalf("seed %d: %d addresses speak for %s; blocks %v", seed, n, a, blocks)
				}
			}
		}
	}
	if checked < 10000 {
		t.Errorf("only %d addresses checked", checked)
	}
}

// Pairs of classes add up to all pairs of pods, each in the relation that it has.
func TestPairsAddUpToAllPairs(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		was, is := []verdict.Pod{}, []verdict.Pod{}
		for i := range 2 + r.IntN(8) {
			p := verdict.Pod{Namespace: []string{"ai", "apps"}[r.IntN(2)], Name: fmt.Sprint(i), Node: []string{"", "n1", "n2"}[r.IntN(3)], HostNetwork: r.IntN(3) == 0}
			was = append(was, p)
			if r.IntN(10) == 0 {
				p.Node = "n3"
			}
			is = append(is, p)
		}
		var members []Member
		for i := range was {
			members = append(members, Member{Was: &was[i], Is: &is[i]})
		}
		got, want := map[string]int{}, map[string]int{}
		key := func(from, to Member, r Relation) string {
			if !from.Is.HostNetwork && !to.Is.HostNetwork {
				r = Relation{}
			}
			return fmt.Sprintf("%s %t -> %s %t %+v", from.Is.Namespace, from.Is.HostNetwork, to.Is.Namespace, to.Is.HostNetwork, r)
		}
		relation := func(from, to Member) Relation {
			nodes := func(a, b string) Nodes {
				if a == "" || b == "" {
					return NotKnown
				}
				return map[bool]Nodes{true: Same, false: Apart}[a == b]
			}
			return Relation{nodes(from.Was.Node, to.Was.Node), nodes(from.Is.Node, to.Is.Node)}
		}
		for i, from := range members {
			for j, to := range members {
				if i != j {
					want[key(from, to, relation(from, to))]++
				}
			}
		}
		classes := Group(NewVocabulary(), members)
		for _, a := range classes {
			for _, b := range classes {
				for _, p := range Pairs(a, b) {
					if p.From.Is == p.To.Is || (a.HostNetwork() || b.HostNetwork()) && relation(p.From, p.To) != p.Relation {
						t.Fatalf("seed %d: %+v does not speak for its relation", seed, p)
					}
					got[key(p.From, p.To, p.Relation)] += p.Count
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("seed %d:\n got  %v\n want %v", seed, got, want)
		}
	}
}
