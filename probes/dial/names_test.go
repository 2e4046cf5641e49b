package dial

import (
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tightrope-dev/tightrope/probes"
)

func TestResolvConfIsReadAsResolversDo(t *testing.T) {
	got := parseResolvConf("# a pod's\nsearch apps.svc.cluster.local svc.cluster.local. .\nnameserver 10.96.0.10 # dns\nnameserver fd00::a\nnameserver nonsense\n" +
		"nameserver 10.0.0.2\nnameserver 10.0.0.3\noptions edns0 ndots:5 ndots:x\n\n")
	want := namesConfig{
		servers: []netip.AddrPort{netip.MustParseAddrPort("10.96.0.10:53"), netip.MustParseAddrPort("[fd00::a]:53"), netip.MustParseAddrPort("10.0.0.2:53")},
		search:  []string{"apps.svc.cluster.local.", "svc.cluster.local."}, ndots: 5,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
	if none := parseResolvConf(""); none.ndots != 1 || len(none.servers) != 1 {
		t.Errorf("an empty file: %+v", none)
	}
	if real := readNames(); len(real.servers) == 0 || !real.v4 && !real.v6 {
		t.Errorf("this machine's: %+v", real)
	}
}

func TestCandidatesFollowNdots(t *testing.T) {
	c := namesConfig{search: []string{"ns.svc.x.", "svc.x."}, ndots: 2}
	for host, want := range map[string]string{
		"a.b.svc.x.": "a.b.svc.x.",
		"a":          "a.ns.svc.x. a.svc.x. a.",
		"a.b":        "a.b.ns.svc.x. a.b.svc.x. a.b.",
		"a.b.svc":    "a.b.svc. a.b.svc.ns.svc.x. a.b.svc.svc.x.",
	} {
		if got := strings.Join(c.candidates(host), " "); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestFamiliesAreThoseThePodHas(t *testing.T) {
	for text, want := range map[string][2]bool{
		"127.0.0.1/8 ::1/128 10.0.0.7/24 fe80::1/64": {true, false},
		"10.0.0.7/24 fd00::7/64":                     {true, true},
		"::1/128 2001:db8::7/64":                     {false, true},
		"127.0.0.1/8":                                {true, true},
	} {
		var addrs []net.Addr
		for _, a := range strings.Fields(text) {
			ip, network, err := net.ParseCIDR(a)
			if err != nil {
				t.Fatal(err)
			}
			addrs = append(addrs, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		if v4, v6 := families(addrs); [2]bool{v4, v6} != want {
			t.Errorf("%s: IPv4 %v, IPv6 %v", text, v4, v6)
		}
	}
	var order []string
	for _, a := range sorted([]netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.0.0.2")}) {
		order = append(order, a.String())
	}
	if got := strings.Join(order, " "); got != "2001:db8::1 10.0.0.1 10.0.0.2 fd00::1" {
		t.Errorf("addresses are tried in the order %s", got)
	}
}

// zones answers from a table; a name that is not in it does not exist, and one with
// no address makes the server fail. It notes what it was asked.
type zones struct {
	mu    sync.Mutex
	asked []string
	table map[string]string
}

func (z *zones) answer(question []byte) [][]byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked = append(z.asked, q.Name.String()+" "+strings.TrimPrefix(q.Type.String(), "Type"))
	m.Response, m.Additionals, m.RCode = true, nil, dnsmessage.RCodeNameError
	text, known := z.table[q.Name.String()]
	switch addrs := strings.Fields(text); {
	case known && len(addrs) == 0:
		m.RCode = dnsmessage.RCodeServerFailure
	case known:
		m.RCode = dnsmessage.RCodeSuccess
		for _, a := range addrs {
			addr := netip.MustParseAddr(a)
			head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 5}
			if addr.Is4() && q.Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: addr.As4()}})
			} else if addr.Is6() && q.Type == dnsmessage.TypeAAAA {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
			}
		}
	}
	raw, err := m.Pack()
	if err != nil {
		return nil
	}
	return [][]byte{raw}
}

// heard is what was asked since the last call, sorted.
func (z *zones) heard() string {
	z.mu.Lock()
	defer z.mu.Unlock()
	asked := z.asked
	z.asked = nil
	slices.Sort(asked)
	return strings.Join(asked, ", ")
}

func TestANameIsLookedUpAsTheWorkloadWould(t *testing.T) {
	z := &zones{table: map[string]string{
		"gateway.ai.svc.x.": "127.0.0.1", "broken.": "", "six.": "::1",
		"two.":  "127.255.255.255 127.0.0.1", // the system says no to the first at once
		"dead.": "127.255.255.255",
	}}
	port, closed, target := serveUDP(t, z.answer), closedPort(t), serve(t, silence)
	for _, tt := range []struct {
		name, host string
		v6         bool
		servers    []int32
		want       probes.Outcome
		asked      string // in any order
	}{
		{"through the search list", "gateway.ai", false, []int32{port}, probes.Reached, "gateway.ai.ns.svc.x. A, gateway.ai.svc.x. A"},
		{"absolute: one question", "gateway.ai.svc.x.", false, []int32{port}, probes.Reached, "gateway.ai.svc.x. A"},
		{"one question per family", "gateway.ai.svc.x.", true, []int32{port}, probes.Reached, "gateway.ai.svc.x. A, gateway.ai.svc.x. AAAA"},
		{"in no list", "nobody", false, []int32{port}, probes.DNSFailure, "nobody. A, nobody.ns.svc.x. A, nobody.svc.x. A"},
		{"the server fails: the next is asked", "broken.", false, []int32{port, port}, probes.DNSFailure, "broken. A, broken. A"},
		{"the server is gone: the next is asked", "gateway.ai.svc.x.", true, []int32{closed, port}, probes.Reached, "gateway.ai.svc.x. A, gateway.ai.svc.x. AAAA"},
		{"every server is gone", "gateway.ai.svc.x.", true, []int32{closed, closed}, probes.DNSFailure, ""},
		{"in the hosts file", "Local.", false, []int32{port}, probes.Reached, ""},
		{"the first address fails, the next is tried", "two.", false, []int32{port}, probes.Reached, "two. A"},
		{"the only address fails", "dead.", false, []int32{port}, probes.Unreachable, "dead. A"},
		{"a name that cannot be asked for", strings.Repeat("x", 64) + ".", false, []int32{port, port}, probes.Unsent, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resolveAt(t, tt.servers...)
			config := readNames()
			config.v6, config.ndots, config.search = tt.v6, 2, []string{"ns.svc.x.", "svc.x."}
			config.hosts = parseHosts("127.0.0.1 local other # us\n")
			readNames = func() namesConfig { return config }
			z.heard()
			c := check("TCP", "TCP", target)
			c.Host = tt.host
			if got := try(t, patience, c); got.Outcome != tt.want || (got.Detail == "") != (tt.want == probes.Reached) {
				t.Errorf("%+v, want %q", got, tt.want)
			}
			if asked := z.heard(); asked != tt.asked {
				t.Errorf("asked %s; want %s", asked, tt.asked)
			}
		})
	}
}
