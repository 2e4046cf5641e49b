package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	networkingv1 "k8s.io/api/networking/v1"
)

// addrRange is a range of IPv4 addresses as numbers, both ends included.
type addrRange struct{ first, last uint32 }

// block returns the ranges an ipBlock allows: cidr without its excepts. An IPv6
// block can match nothing on this lab's IPv4 network; that is said, and the
// other peers of the rule go on working.
func (c *compiler) block(p *networkingv1.NetworkPolicy, b *networkingv1.IPBlock, field string) ([]addrRange, *fieldError) {
	cidr, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return nil, &fieldError{field + ".cidr", err.Error()}
	}
	if !cidr.Addr().Is4() {
		c.refuse(p, field+".cidr", fmt.Sprintf("%s is IPv6 and this lab is IPv4 only: the peer matches nothing", cidr))
		return nil, nil
	}
	left := []addrRange{rangeOf(cidr)}
	for i, text := range b.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil || !except.Addr().Is4() {
			return nil, &fieldError{fmt.Sprintf("%s.except[%d]", field, i), fmt.Sprintf("%q is not an IPv4 CIDR", text)}
		}
		left = without(left, rangeOf(except))
	}
	return left, nil
}

func rangeOf(p netip.Prefix) addrRange {
	first := number(p.Masked().Addr())
	return addrRange{first, first | uint32(1<<(32-p.Bits())-1)}
}

// without cuts a range out of ranges.
func without(from []addrRange, cut addrRange) []addrRange {
	var left []addrRange
	for _, r := range from {
		if cut.last < r.first || cut.first > r.last {
			left = append(left, r)
			continue
		}
		if r.first < cut.first {
			left = append(left, addrRange{r.first, cut.first - 1})
		}
		if r.last > cut.last {
			left = append(left, addrRange{cut.last + 1, r.last})
		}
	}
	return left
}

// union merges ranges that overlap or touch; the kernel wants them apart.
func union(ranges []addrRange) []addrRange {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b addrRange) int {
		if a.first < b.first {
			return -1
		} else if a.first > b.first {
			return 1
		}
		return 0
	})
	var merged []addrRange
	for _, r := range sorted {
		n := len(merged)
		if n > 0 && uint64(r.first) <= uint64(merged[n-1].last)+1 {
			merged[n-1].last = max(merged[n-1].last, r.last)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// blockSet returns the set of these ranges, or "" for none. It is named after
// its content and therefore never changes: interval sets do not like that.
func (c *compiler) blockSet(ranges []addrRange) string {
	ranges = union(ranges)
	if len(ranges) == 0 {
		return ""
	}
	elements := map[ruleset.Element]bool{}
	var text strings.Builder
	for _, r := range ranges {
		fmt.Fprintf(&text, "%d-%d ", r.first, r.last)
		elements[ruleset.Element{Addr: address(r.first), Last: address(r.last)}] = true
	}
	set := "block-" + hash(text.String())
	c.out.Ruleset.Sets[set] = ruleset.Set{Kind: ruleset.AddrRanges, Elements: elements}
	return set
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}
