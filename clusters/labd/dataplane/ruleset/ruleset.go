// Package ruleset describes. A Ruleset is everything one node's nftables table
// should hold, as plain comparable data: named sets and maps with their
// elements, chains with their rules, named counters. Diff says what must be
// done to get from one Ruleset to the next. Nothing here knows Kubernetes or
// opens a socket, so a whole data plane can be compared in a unit test.
//
//	objects ──compile──► Ruleset ──Diff──► Change ──kernel──► one transaction
package ruleset

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Ruleset is the wanted content of the table, keyed by name. The zero value is
// the empty table.
type Ruleset struct {
	Counters map[string]bool // named counters; only the keys matter
	Sets     map[string]Set
	Chains   map[string]Chain
}

// New returns an empty Ruleset that can be filled.
func New() Ruleset {
	return Ruleset{Counters: map[string]bool{}, Sets: map[string]Set{}, Chains: map[string]Chain{}}
}

// Kind is what a set's elements look like: their key and, for maps, their data.
type Kind string

// The kinds of set, for IPv4; Kind.For gives those of IPv6.
const (
	Addrs        Kind = "ipv4_addr"                          // Element.Addr
	AddrRanges   Kind = "ipv4_addr interval"                 // Element.Addr to Element.Last, both included
	AddrPorts    Kind = "ipv4_addr . port"                   // Element.Addr, Port
	AddrPairs    Kind = "ipv4_addr . ipv4_addr"              // Element.Addr, Last
	AddrChains   Kind = "ipv4_addr : verdict"                // Element.Addr → goto Element.Chain
	Fronts       Kind = "ipv4_addr . proto . port"           // Element.Addr, Proto, Port
	FrontChains  Kind = "ipv4_addr . proto . port : verdict" // Element.Addr, Proto, Port → goto Chain
	IndexTargets Kind = "index : ipv4_addr . port"           // Element.Index → Addr, Port
	IndexChains  Kind = "index : verdict"                    // Element.Index → goto Chain
	Remembered   Kind = "ipv4_addr timeout"                  // filled by rules; no Elements here
)

// For is the kind's counterpart for the family's addresses.
func (k Kind) For(f Family) Kind {
	if f == IPv6 {
		return Kind(strings.ReplaceAll(string(k), "ipv4", "ipv6"))
	}
	return Kind(strings.ReplaceAll(string(k), "ipv6", "ipv4"))
}

// Family says which of the kind's two variants it is.
func (k Kind) Family() Family {
	if strings.Contains(string(k), "ipv6") {
		return IPv6
	}
	return IPv4
}

// Family is an IP version. The zero Family is none in particular.
type Family uint8

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf is the family of a valid address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

func (f Family) String() string { return fmt.Sprintf("IPv%d", uint8(f)) }

// Set is a named set or map. Two sets of one name must be of one kind: the
// kernel cannot change the type of a set that rules refer to. Elements must not
// be changed once the set is part of a Ruleset that was compared or applied:
// whoever wants others makes a new map.
type Set struct {
	Kind     Kind
	Elements map[Element]bool // only the keys matter
	Timeout  time.Duration    // of Remembered: how long since an element was last seen
}

// Element is one element of a set; which fields count, the set's Kind says.
// Fields that do not count are zero, so elements compare with ==.
type Element struct {
	Addr, Last netip.Addr
	Proto      Proto
	Port       uint16
	Index      uint32
	Chain      string
}

// Proto is an IP protocol number. 0 means any.
type Proto uint8

// The protocols that Kubernetes objects can name.
const (
	ICMP Proto = 1
	TCP  Proto = 6
	UDP  Proto = 17
	SCTP Proto = 132
)

func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	case ICMP:
		return "icmp"
	}
	return fmt.Sprintf("proto-%d", uint8(p))
}

// Hook is where a base chain sees packets. The zero Hook makes a chain that is
// reached by jump or goto only.
type Hook struct {
	Point    Point
	Priority int32
	NAT      bool // chain type nat instead of filter
}

// Point is a netfilter hook.
type Point string

// The hooks in use.
const (
	Prerouting  Point = "prerouting"
	Input       Point = "input"
	Forward     Point = "forward"
	Output      Point = "output"
	Postrouting Point = "postrouting"
)

// Chain is a chain with its rules in order. Base chains accept what no rule
// judged.
type Chain struct {
	Hook  Hook
	Rules []Rule
}

// Equal says whether two chains are the same, rule by rule.
func (c Chain) Equal(o Chain) bool { return c.Hook == o.Hook && slices.Equal(c.Rules, o.Rules) }

// String prints the whole ruleset in the manner of nft, sorted by name; tests
// compare it and people read it.
func (r Ruleset) String() string {
	var b strings.Builder
	for _, name := range sortedKeys(r.Sets) {
		fmt.Fprintf(&b, "set %s { type %s\n", name, r.Sets[name].Kind)
		lines := make([]string, 0, len(r.Sets[name].Elements))
		for e := range r.Sets[name].Elements {
			lines = append(lines, "\t"+e.describe(r.Sets[name].Kind)+"\n")
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, "") + "}\n")
	}
	for _, name := range sortedKeys(r.Chains) {
		c := r.Chains[name]
		fmt.Fprintf(&b, "chain %s {", name)
		if c.Hook != (Hook{}) {
			fmt.Fprintf(&b, " hook %s priority %d", c.Hook.Point, c.Hook.Priority)
		}
		b.WriteString("\n")
		for _, rule := range c.Rules {
			b.WriteString("\t" + rule.String() + "\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func (e Element) describe(k Kind) string {
	switch k.For(IPv4) {
	case AddrRanges:
		return fmt.Sprintf("%s-%s", e.Addr, e.Last)
	case AddrPorts:
		return fmt.Sprintf("%s . %d", e.Addr, e.Port)
	case AddrPairs:
		return fmt.Sprintf("%s . %s", e.Addr, e.Last)
	case AddrChains:
		return fmt.Sprintf("%s : goto %s", e.Addr, e.Chain)
	case Fronts:
		return fmt.Sprintf("%s . %s . %d", e.Addr, e.Proto, e.Port)
	case IndexChains:
		return fmt.Sprintf("%d : goto %s", e.Index, e.Chain)
	case FrontChains:
		return fmt.Sprintf("%s . %s . %d : goto %s", e.Addr, e.Proto, e.Port, e.Chain)
	case IndexTargets:
		return fmt.Sprintf("%d : %s . %d", e.Index, e.Addr, e.Port)
	}
	return e.Addr.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
