package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tightrope-dev/tightrope/clusters/labd/dataplane/ruleset"
	networkingv1 "k8s.io/api/networking/v1"
)

// addrRange is a range of addresses of one family, both ends included.
type addrRange struct{ first, last netip.Addr }

// block returns the ranges an ipBlock allows: cidr without its excepts. A block
// of a family that this lab does not have can match nothing; that is said, and
// the other peers of the rule go on working.
func (c *Compiler) block(f *fragment, p *networkingv1.NetworkPolicy, b *networkingv1.IPBlock, field string) ([]addrRange, *fieldError) {
	cidr, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return nil, &fieldError{field + ".cidr", err.Error()}
	}
	if !c.has(ruleset.FamilyOf(cidr.Addr())) {
		f.refuse(p, field+".cidr", fmt.Sprintf("%s is %s, which this lab does not have: the peer matches nothing", cidr, ruleset.FamilyOf(cidr.Addr())))
		return nil, nil
	}
	left := []addrRange{rangeOf(cidr)}
	for i, text := range b.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil || except.Addr().Is4() != cidr.Addr().Is4() {
			return nil, &fieldError{fmt.Sprintf("%s.except[%d]", field, i), fmt.Sprintf("%q is not a CIDR of %s", text, ruleset.FamilyOf(cidr.Addr()))}
		}
		left = without(left, rangeOf(except))
	}
	return left, nil
}

func rangeOf(p netip.Prefix) addrRange {
	first := p.Masked().Addr()
	last := first.AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last) // of the right length
	return addrRange{first, end}
}

// without cuts a range out of ranges.
func without(from []addrRange, cut addrRange) []addrRange {
	var left []addrRange
	for _, r := range from {
		if cut.last.Less(r.first) || r.last.Less(cut.first) {
			left = append(left, r)
			continue
		}
		if r.first.Less(cut.first) {
			left = append(left, addrRange{r.first, cut.first.Prev()})
		}
		if cut.last.Less(r.last) {
			left = append(left, addrRange{cut.last.Next(), r.last})
		}
	}
	return left
}

// union merges ranges of one family that overlap or touch; the kernel wants them
// apart.
func union(ranges []addrRange) []addrRange {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b addrRange) int { return a.first.Compare(b.first) })
	var merged []addrRange
	for _, r := range sorted {
		n := len(merged)
		if n == 0 || merged[n-1].last.Less(r.first) && merged[n-1].last.Next() != r.first {
			merged = append(merged, r)
		} else if merged[n-1].last.Less(r.last) {
			merged[n-1].last = r.last
		}
	}
	return merged
}

// blockSet returns the set of these ranges' part in a family, or "" for none. It
// is named after its content and therefore never changes: interval sets do not
// like that.
func (f *fragment) blockSet(ranges []addrRange, v ruleset.Family) string {
	ranges = union(slices.DeleteFunc(slices.Clone(ranges), func(r addrRange) bool { return ruleset.FamilyOf(r.first) != v }))
	if len(ranges) == 0 {
		return ""
	}
	elements := map[ruleset.Element]bool{}
	var text strings.Builder
	for _, r := range ranges {
		fmt.Fprintf(&text, "%s-%s ", r.first, r.last)
		elements[ruleset.Element{Addr: r.first, Last: r.last}] = true
	}
	set := "block-" + hash(text.String())
	f.sets[set] = ruleset.Set{Kind: ruleset.AddrRanges.For(v), Elements: elements}
	return set
}
