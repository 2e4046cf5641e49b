package ruleset

import (
	"fmt"
	"net/netip"
	"strings"
)

// Rule is one rule: every match that is set must hold (in the order of the
// fields), then the counter counts, the log logs and the action is taken. It
// compares with ==. The zero Rule matches everything and does nothing.
type Rule struct {
	Family      Family       // IP version; required where addresses are read
	FromWire    bool         // came in by another interface than lo
	Marked      uint32       // has this bit in its mark; 0 means any
	Established bool         // ct state established or related
	Direction   Direction    // of the connection, that the packet goes in; "" means any
	Tagged      uint32       // the connection has this tag; 0 means any
	Src, Dst    netip.Addr   // exactly this address; the zero Addr means any
	DstIn       netip.Prefix // destination within; the zero Prefix means any
	SrcIn       netip.Prefix // source within; the zero Prefix means any
	SrcSet      string       // source address is in this set
	DstSet      string       // destination address is in this set
	NotSrcSet   bool         // SrcSet inverted: source is not in it
	NotDstSet   bool         // DstSet inverted
	Proto       Proto        // 0 means any
	PortFirst   uint16       // destination port range, both ends included; 0,0 means any
	PortLast    uint16
	DstPortSet  string // destination address . port is in this set of AddrPorts
	PairSet     string // source . destination is in this set of AddrPairs
	FrontSet    string // destination . protocol . port is in this set of Fronts

	Remember string // set of Remembered that the source is put into, its time begun anew
	Mark     uint32 // bit to set in the mark
	Tag      uint32 // tag to give to the connection; 0 means none
	Counter  string // named counter to count in
	LogGroup uint16 // nflog group to tell, at most LogRate packets a second; 0 means none
	LogText  string // prefix that the log carries, at most 127 bytes

	Action Action
	Target string     // chain of Jump; set of Dispatch and Balance
	Modulo uint32     // of Balance and BalanceChains: number of targets
	To     netip.Addr // of SNAT and DNAT
	ToPort uint16     // of DNAT
}

// LogRate is how many packets a second one rule reports at most, and how many it
// may report at once. A pod whose probes are dropped on purpose must not hide
// the first drop of one that should get through, and a flood must not keep the
// reader busy.
const LogRate = 200

// Action is what a rule does with a packet that matches.
type Action string

// The actions. The zero Action goes on with the next rule.
const (
	Continue          Action = ""
	Accept            Action = "accept" // ends this base chain only
	Drop              Action = "drop"   // final
	Jump              Action = "jump"
	DispatchSrc       Action = "ip saddr vmap"                           // Target is a set of AddrChains
	DispatchDst       Action = "ip daddr vmap"                           // Target is a set of AddrChains
	DispatchFront     Action = "ip daddr . meta l4proto . th dport vmap" // Target is a set of FrontChains
	Balance           Action = "dnat to numgen random map"               // Target is a set of IndexTargets
	BalanceChains     Action = "numgen random vmap"                      // Target is a set of IndexChains
	SNAT              Action = "snat to"
	DNAT              Action = "dnat to"
	RejectReset       Action = "reject with tcp reset"
	RejectUnreachable Action = "reject with icmpx port-unreachable"
	RejectProhibited  Action = "reject with icmpx admin-prohibited"
)

// Direction is a way that packets of a connection go.
type Direction string

// The directions: that of the packet which began the connection, and back.
const (
	Original Direction = "original"
	Reply    Direction = "reply"
)

// String prints the rule in the manner of nft.
func (r Rule) String() string {
	var w []string
	say := func(when bool, format string, args ...any) {
		if when {
			w = append(w, fmt.Sprintf(format, args...))
		}
	}
	not := func(b bool) string {
		if b {
			return "!= "
		}
		return ""
	}
	ip := "ip"
	if r.Family == IPv6 {
		ip = "ip6"
	}
	say(r.Family != 0, "%s", r.Family)
	say(r.FromWire, "iif != lo")
	say(r.Marked != 0, "mark & %#x", r.Marked)
	say(r.Established, "ct state established,related")
	say(r.Direction != "", "ct direction %s", r.Direction)
	say(r.Tagged != 0, "ct mark %#x", r.Tagged)
	say(r.Src.IsValid(), "%s saddr %s", ip, r.Src)
	say(r.Dst.IsValid(), "%s daddr %s", ip, r.Dst)
	say(r.SrcIn.IsValid(), "%s saddr %s", ip, r.SrcIn)
	say(r.DstIn.IsValid(), "%s daddr %s", ip, r.DstIn)
	say(r.SrcSet != "", "%s saddr %s@%s", ip, not(r.NotSrcSet), r.SrcSet)
	say(r.DstSet != "", "%s daddr %s@%s", ip, not(r.NotDstSet), r.DstSet)
	say(r.Proto != 0, "%s", r.Proto)
	say(r.PortLast != 0 && r.PortFirst == r.PortLast, "dport %d", r.PortFirst)
	say(r.PortLast != 0 && r.PortFirst != r.PortLast, "dport %d-%d", r.PortFirst, r.PortLast)
	say(r.DstPortSet != "", "%s daddr . th dport @%s", ip, r.DstPortSet)
	say(r.PairSet != "", "%s saddr . daddr @%s", ip, r.PairSet)
	say(r.FrontSet != "", "%s daddr . meta l4proto . th dport @%s", ip, r.FrontSet)
	say(r.Remember != "", "update @%s { saddr }", r.Remember)
	say(r.Mark != 0, "mark set mark | %#x", r.Mark)
	say(r.Tag != 0, "ct mark set %#x", r.Tag)
	say(r.Counter != "", "counter name %s", r.Counter)
	say(r.LogGroup != 0, "limit rate %d/second log group %d prefix %q", LogRate, r.LogGroup, r.LogText)
	say(r.Action != Continue, "%s", r.Action)
	say(r.Modulo != 0, "mod %d", r.Modulo)
	say(r.Target != "", "@%s", r.Target)
	say(r.To.IsValid(), "%s", r.To)
	say(r.ToPort != 0, "port %d", r.ToPort)
	return strings.Join(w, " ")
}
