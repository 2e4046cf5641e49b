package kernel

import (
	"fmt"
	"net/netip"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Forget removes tracked connections that match, so that the next packet of
// such a connection is judged and translated anew. It returns how many.
func Forget(ns int, families []ruleset.Family, match func(Flow) bool) (int, error) {
	h, err := handle(ns)
	if err != nil {
		return 0, fmt.Errorf("conntrack: open netlink socket: %w", err)
	}
	defer h.Close()
	forgotten := 0
	for _, family := range families {
		n, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, inet[family], flowFilter(match))
		forgotten += int(n)
		if err != nil {
			return forgotten, fmt.Errorf("conntrack: delete entries of %s: %w", family, err)
		}
	}
	return forgotten, nil
}

var inet = map[ruleset.Family]netlink.InetFamily{ruleset.IPv4: unix.AF_INET, ruleset.IPv6: unix.AF_INET6}

// Flow is a tracked connection: where its first packet went, and from where
// answers come (another address than that if it was translated).
type Flow struct {
	Proto          uint8
	Src, Dst       netip.Addr
	DstPort        uint16
	AnswerFrom     netip.Addr
	AnswerFromPort uint16
	AnswerTo       netip.Addr
}

type flowFilter func(Flow) bool

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f flowFilter) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	addr := func(b []byte) netip.Addr {
		a, _ := netip.AddrFromSlice(b)
		return a.Unmap()
	}
	return f(Flow{
		Proto: flow.Forward.Protocol,
		Src:   addr(flow.Forward.SrcIP), Dst: addr(flow.Forward.DstIP), DstPort: flow.Forward.DstPort,
		AnswerFrom: addr(flow.Reverse.SrcIP), AnswerFromPort: flow.Reverse.SrcPort,
		AnswerTo: addr(flow.Reverse.DstIP),
	})
}

func handle(ns int) (*netlink.Handle, error) {
	if ns == 0 {
		return netlink.NewHandle(unix.NETLINK_NETFILTER)
	}
	return netlink.NewHandleAt(netns.NsHandle(ns), unix.NETLINK_NETFILTER)
}
