package ruleset

import (
	"net/netip"
	"reflect"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// sample is a small table: a dispatch map, a set that a policy chain looks in,
// a pod chain that jumps there, and a counter.
func sample() Ruleset {
	r := New()
	r.Counters["allowed"] = true
	r.Sets["peers"] = Set{Kind: Addrs, Elements: map[Element]bool{{Addr: addr("10.0.0.1")}: true, {Addr: addr("10.0.0.2")}: true}}
	r.Sets["pods"] = Set{Kind: AddrChains, Elements: map[Element]bool{{Addr: addr("10.0.0.9"), Chain: "pod"}: true}}
	r.Chains["policy"] = Chain{Rules: []Rule{{SrcSet: "peers", Counter: "allowed", Action: Accept}}}
	r.Chains["pod"] = Chain{Rules: []Rule{{Action: Jump, Target: "policy"}, {Action: Drop}}}
	r.Chains["ingress"] = Chain{Hook: Hook{Point: Forward}, Rules: []Rule{{Action: DispatchDst, Target: "pods"}}}
	return r
}

func TestDiffTouchesOnlyWhatChanged(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(Ruleset)
		want Change
	}{
		{"nothing", func(Ruleset) {}, Change{}},
		{"a peer comes and another goes", func(r Ruleset) {
			r.Sets["peers"] = Set{Kind: Addrs, Elements: map[Element]bool{{Addr: addr("10.0.0.2")}: true, {Addr: addr("10.0.0.3")}: true}}
		}, Change{Elements: []SetDelta{{"peers", Addrs, []Element{{Addr: addr("10.0.0.1")}}, []Element{{Addr: addr("10.0.0.3")}}}}}},
		{"a rule changes: its chain is refilled, counters stay", func(r Ruleset) {
			r.Chains["policy"] = Chain{Rules: []Rule{{Counter: "allowed", Action: Accept}}}
		}, Change{Fill: []NamedChain{{"policy", Chain{Rules: []Rule{{Counter: "allowed", Action: Accept}}}}}}},
		{"a pod's chain is another", func(r Ruleset) {
			r.Chains["pod2"] = Chain{}
			r.Sets["pods"] = Set{Kind: AddrChains, Elements: map[Element]bool{{Addr: addr("10.0.0.9"), Chain: "pod2"}: true}}
		}, Change{
			AddChains: []NamedChain{{"pod2", Chain{}}},
			Elements: []SetDelta{{"pods", AddrChains,
				[]Element{{Addr: addr("10.0.0.9"), Chain: "pod"}}, []Element{{Addr: addr("10.0.0.9"), Chain: "pod2"}}}},
		}},
		{"a policy goes with its counter", func(r Ruleset) {
			delete(r.Chains, "policy")
			delete(r.Counters, "allowed")
			r.Chains["pod"] = Chain{Rules: []Rule{{Action: Drop}}}
		}, Change{
			Fill:         []NamedChain{{"pod", Chain{Rules: []Rule{{Action: Drop}}}}},
			DropChains:   []string{"policy"},
			DropCounters: []string{"allowed"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wanted := sample()
			tt.edit(wanted)
			if got := Diff(sample(), wanted); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestDiffFromNothingMakesEverything(t *testing.T) {
	c := Diff(New(), sample())
	if len(c.AddCounters) != 1 || len(c.AddSets) != 2 || len(c.AddChains) != 3 || len(c.Fill) != 3 || len(c.Elements)+len(c.DropChains) != 0 {
		t.Errorf("got %+v", c)
	}
	if c.Empty() || !(Change{}).Empty() {
		t.Error("Empty is wrong")
	}
}
